"""Find the handler for a path such as /users/7."""

import re

_PARAMETER = re.compile(r"<(?:(int|str|path):)?(\w+)>")
_PATTERNS = {"int": r"\d+", "str": r"[^/]+", "path": r".+"}


class NotFound(LookupError):
    pass


def compile_route(route):
    """Regular expression of a route, and the kind of each of its parameters."""
    kinds = {}
    pattern = ""
    end = 0
    for match in _PARAMETER.finditer(route):
        kind, name = match.group(1) or "str", match.group(2)
        kinds[name] = kind
        pattern += re.escape(route[end : match.start()]) + f"(?P<{name}>{_PATTERNS[kind]})"
        end = match.end()
    return re.compile(pattern + re.escape(route[end:])), kinds


class Router:
    """Routes are tried in the order in which they were added."""

    def __init__(self):
        self._routes = []

    def add(self, route, handler, methods=("GET",)):
        pattern, kinds = compile_route(route)
        self._routes.append((pattern, kinds, handler, {m.upper() for m in methods}))

    def find(self, path, method="GET"):
        """Return (handler, parameters). Raises NotFound."""
        for pattern, kinds, handler, methods in self._routes:
            match = pattern.fullmatch(path)
            if match is None or method.upper() not in methods:
                continue
            values = match.groupdict()
            return handler, {n: int(v) if kinds[n] == "int" else v for n, v in values.items()}
        raise NotFound(f"{method} {path}")

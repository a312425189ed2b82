"""Cut an expression into tokens (kind, text)."""

import re

_TOKENS = [
    ("number", r"\d+(?:\.\d+)?|\.\d+"),
    ("name", r"[A-Za-z_]\w*"),
    ("operator", r"\*\*|[-+*/%(),]"),
    ("space", r"\s+"),
]
_PATTERN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _TOKENS))


class LexError(ValueError):
    def __init__(self, text, position):
        super().__init__(f"unexpected {text[position]!r} at position {position}")
        self.position = position


def tokenize(text):
    tokens = []
    position = 0
    while position < len(text):
        match = _PATTERN.match(text, position)
        if match is None:
            raise LexError(text, position)
        if match.lastgroup != "space":
            tokens.append((match.lastgroup, match.group()))
        position = match.end()
    return tokens

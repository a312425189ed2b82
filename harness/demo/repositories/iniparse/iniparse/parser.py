"""Read the text of an INI file."""


class ParseError(ValueError):
    def __init__(self, number, message):
        super().__init__(f"line {number}: {message}")
        self.number = number


def _strip_comment(line):
    """Cut a comment: # or ; at the start of the line or after white space."""
    for i, char in enumerate(line):
        if char in "#;" and (i == 0 or line[i - 1].isspace()):
            return line[:i]
    return line


def parse(text):
    """Return {section: {key: value}}. Keys are lower case; keys before any section belong to ""."""
    sections = {}
    current = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = _strip_comment(raw).strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise ParseError(number, "section is never closed")
            current = line[1:-1].strip()
            sections.setdefault(current, {})
            continue
        key, sign, value = line.partition("=")
        if not sign:
            raise ParseError(number, "expected key = value")
        sections.setdefault(current, {})[key.strip().lower()] = value.strip()
    return sections

"""The commands of a shell line, as words. The parser is simple: it only has to distinguish programs from prose."""

import re
from collections.abc import Iterator

Words = list[str]

_TOKEN = re.compile(
    r"(?P<end>[;&|()`\n]|\$\()"
    r"|(?P<space>[ \t\r]+)"
    r"|(?P<comment>(?<![^\s;&|()])#[^\n]*+)"
    r"|(?P<part>'[^']*+'|\"[^\"]*+\"|\\.|[^\s;&|()`$'\"\\#]++|.)",
    re.DOTALL,
)
_HEREDOC = re.compile(r"<<-?[ \t]{0,8}(['\"]?)([A-Za-z_]\w{0,80})\1")
_BEFORE = frozenset(
    {"sudo", "env", "command", "time", "nohup", "nice", "exec", "xargs", "then", "do", "else", "!"}
)
_SHELLS = frozenset({"bash", "sh", "zsh", "dash"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def commands(line: str) -> Iterator[Words]:
    """Yield the commands of a shell line: program first, quotes removed, bodies of here-documents skipped.

    >>> list(commands("cd /w && PAGER= git -C . log '--all' | head # now\\ncat > a <<E\\ngit fetch\\nE"))
    [['cd', '/w'], ['git', '-C', '.', 'log', '--all'], ['head'], ['cat', '>', 'a', '<<E']]
    """
    for words in _split(_without_documents(line)):
        program = _program(words)
        if program[:1] and program[0].rpartition("/")[2] in _SHELLS and "-c" in program[1:-1]:
            inner = program[program.index("-c") + 1]
            yield from (_program(words) for words in _split(inner))
        elif program:
            yield program


def _split(line: str) -> Iterator[Words]:
    words: Words = []
    parts: list[str] = []
    for token in _TOKEN.finditer(line):
        if token.lastgroup == "part":
            parts.append(_unquoted(token[0]))
            continue
        if parts:
            words.append("".join(parts))
            parts = []
        if token.lastgroup == "end" and words:
            yield words
            words = []
    if parts:
        words.append("".join(parts))
    if words:
        yield words


def _unquoted(part: str) -> str:
    if len(part) > 1 and part[0] in "'\"" and part[-1] == part[0]:
        return part[1:-1]
    return part[1:] if len(part) == 2 and part[0] == "\\" else part


def _program(words: Words) -> Words:
    """Return the words from the program on."""
    start = 0
    while start < len(words) and (words[start] in _BEFORE or _ASSIGNMENT.match(words[start])):
        start += 1
    if words[start : start + 1] == ["timeout"]:
        start += 2
    return words[start:]


def _without_documents(line: str) -> str:
    """Return the line without the bodies of its here-documents, which are data."""
    if "<<" not in line:
        return line
    kept, ends = [], None
    for text in line.split("\n"):
        if ends is not None:
            ends = None if text.strip() == ends else ends
            continue
        kept.append(text)
        if match := _HEREDOC.search(text):
            ends = match[2]
    return "\n".join(kept)

"""Parse Python source with the running interpreter."""

import ast
import threading
import warnings

_PARSING = threading.Lock()  # warning filters are global to the process


def parse_python(text: str) -> ast.Module:
    """Call ``ast.parse`` without warnings on stderr. Raises SyntaxError for everything that the parser rejects."""
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or type(error).__name__) from error


def syntax_error(text: str) -> str | None:
    """Describe the syntax error of a text, None if there is none.

    >>> syntax_error("x = 1"), syntax_error("x = (")
    (None, "'(' was never closed (line 1)")
    """
    try:
        parse_python(text)
    except SyntaxError as error:
        return f"{error.msg or error} (line {error.lineno})" if error.lineno else str(error)
    return None

"""Python texts as the running interpreter reads them."""

import ast
import threading
import warnings

_PARSING = threading.Lock()  # the filters of warnings belong to the whole process


def parse_python(text: str) -> ast.Module:
    """``ast.parse`` without warnings on stderr. Raises SyntaxError for anything that the parser cannot take."""
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or type(error).__name__) from error


def syntax_error(text: str) -> str | None:
    """What is wrong with a text, None if nothing is.

    >>> syntax_error("x = 1"), syntax_error("x = (")
    (None, "'(' was never closed (line 1)")
    """
    try:
        parse_python(text)
    except SyntaxError as error:
        return f"{error.msg or error} (line {error.lineno})" if error.lineno else str(error)
    return None

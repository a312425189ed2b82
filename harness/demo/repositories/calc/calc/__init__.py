from calc.evaluate import evaluate
from calc.lexer import LexError, tokenize

__all__ = ["LexError", "evaluate", "tokenize"]

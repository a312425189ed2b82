"""Read roman numerals."""

import re

VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

_NUMERAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


class InvalidNumeral(ValueError):
    pass


def is_numeral(text):
    """Whether parse accepts the text."""
    text = text.strip().upper()
    return text != "" and _NUMERAL.fullmatch(text) is not None


def parse(text):
    """The number of a numeral; lower case and white space around it are allowed."""
    if not is_numeral(text):
        raise InvalidNumeral(f"not a roman numeral: {text!r}")
    letters = text.strip().upper()
    total = 0
    for letter, following in zip(letters, letters[1:] + " ", strict=True):
        value = VALUES[letter]
        if value < VALUES.get(following, 0):
            total -= value
        else:
            total += value
    return total

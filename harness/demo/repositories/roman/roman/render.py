"""Write roman numerals."""

LARGEST = 3999

_PARTS = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
]


def render(number, lower=False):
    """The numeral of a number from 1 to 3999."""
    if not 1 <= number <= LARGEST:
        raise ValueError(f"no roman numeral for {number}")
    text = ""
    for value, letters in _PARTS:
        count, number = divmod(number, value)
        text += letters * count
    return text.lower() if lower else text

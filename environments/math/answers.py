r"""Extract the answer of a completion, and normalise answers for the comparison.

The last ``\boxed`` counts. Without one, in this order: the text after the last "####", the text after the last
"answer is" or "answer:" that gives a number or a letter (after "final" also a word), the last number. Text before
``</think>`` counts only if nothing follows it.
"""

import re
from typing import Literal

AnswerStatus = Literal["correct", "wrong", "unjudged"]  # the result of a comparison

_MARKS = re.compile(r"<\|\w+\|>|</?think>|</?answer>")
_BRACES = re.compile(r"\\f?box(?:ed)?(?![a-zA-Z])\s?(?P<opens>\{)?|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"\d+(?:[.,]\d+)*|[^\s$\\{}.,;:]+|\\[a-zA-Z]+(?:\{[^{}\n]{0,200}\})*")  # of "\boxed 5"
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_ANSWER_IS = re.compile(r"\b(final )?answer\b\**(?:[ \t]+(?:is|are|was|=)\b|[ \t]*:)\**:?[ \t]*", re.I)
_DIGIT = re.compile(r"\d")
_MATH = re.compile(r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_COMMENTS = ("correct", "right", "wrong", "incorrect", "valid", "given", "indeed")  # "the answer is correct"
_NUMBER = re.compile(r"(?:(?<![\w.)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


def extract_answer(completion: str) -> str | None:
    r"""Return the answer that a completion gives, or None.

    >>> extract_answer(r"so \boxed{\frac{1}{2}} it is"), extract_answer("The answer is $x=3$."), extract_answer("?")
    ('\\frac{1}{2}', 'x=3', None)
    """
    _, closed, rest = completion.rpartition("</think>")
    text = rest if closed and _MARKS.sub("", rest).strip() else completion
    box = last_box(text)
    if box is not None:
        return box
    text = _MARKS.sub(" ", text)
    if hashes := _HASHES.findall(text):
        return _tidy(hashes[-1]) or None
    for match in reversed(list(_ANSWER_IS.finditer(text))):
        answer = _from_sentence(text[match.end() : match.end() + 500].partition("\n")[0])
        if len(answer) == 1 or _DIGIT.search(answer) or (match[1] and _is_word(answer)):
            return answer
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "") if numbers else None


def last_box(text: str) -> str | None:
    r"""Return the content of the last ``\boxed`` or ``\fbox`` that is closed and not empty; braces may be nested.

    >>> last_box(r"\boxed{1} and \boxed{\text{(}2\}}"), last_box(r"\boxed 5"), last_box(r"\boxed{")
    ('\\text{(}2\\}', '5', None)
    """
    last, position = None, -1
    opened: list[int | None] = []  # per open brace: where its content starts if it is a box's, else None
    for match in _BRACES.finditer(text):
        if match[0] == "{":
            opened.append(None)
        elif match["opens"]:
            opened.append(match.end())
        elif match[0].startswith(("\\box", "\\fbox")):
            bare = _BARE.match(text, match.end())
            if bare:
                last, position = bare[0], match.end()
        elif match[0] == "}" and opened:
            start = opened.pop()
            if start is not None and start > position and (content := text[start : match.start()].strip()):
                last, position = content, start
    return last


def _is_word(text: str) -> bool:
    """Return whether a text is one word that can be an answer, not a comment such as "correct"."""
    return text.isalpha() and text.lower() not in _COMMENTS


def _from_sentence(sentence: str) -> str:
    """Return the mathematics after "the answer is", else the first sentence."""
    if math := _MATH.search(sentence):
        return _tidy(next(group for group in math.groups() if group is not None))
    return _tidy(re.split(r"\.(?:\s|$)", sentence)[0])


def _tidy(text: str) -> str:
    return text.strip().strip("*$:").strip().rstrip(".").strip()


# Notation that math-verify does not read, or reads as something else; each pattern occurs in the graded outputs
# (docs/math_verifier.md).
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[\s\0]+", " "),
        ("−", "-"),
        (r"\\! ?|(?<=\d)\{,\}(?=\d)", ""),  # 32,\!348
        (r"(?<!\\)\\[()\[\]]|\\\$|\$|\\(?:display|text)style(?![a-zA-Z])", " "),
        # 12^{th}
        (r"\^ ?(?:\{ ?\\(?:text|mathrm)\{(?:st|nd|rd|th)\} ?\}|\\(?:text|mathrm)\{(?:st|nd|rd|th)\})", ""),
        (r",? ?(?:\\q?quad ?|\\[ ,;])?\\text ?\{ ?(?:for|where|when)\b.*", ""),  # A = 1/w, for w ≠ 0
        (r"(?<!\\)\\[ ,;:]|\\q?quad(?![a-zA-Z])|~", " "),
        (r" +", " "),
        (r"\bnp\.(?=[a-z])", r"\\"),  # np.arcsin(10/13)
        (r"(?<=\d)\.(?![\d.])", ""),  # -1./3
        (r"_(?:\{ ?\\odot ?\}|\\odot(?![a-zA-Z]))", "_{o}"),  # a mass in suns
        (r"(?<![a-zA-Z\\])E_", r"\\Xi_"),  # an energy; a lone E is Euler's number
        # 8.7e8
        (r"(?<![\w.])(-?\d+(?:\.\d*)?|-?\.\d+)[eE]([+-]?)0*(\d{1,9})(?![\w.])", r"\1\\times 10^{\2\3}"),
    )
)
_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_INTEGER = re.compile(r"[+-]?\d{1,1000}", re.ASCII)


def normalise(text: str) -> str:
    r"""Normalise a text for the comparison: no dollar signs, one kind of space, 8.7e8 as a product.

    >>> normalise(r"$8.7e-8\,\text{m}$."), normalise("x  = 5")
    ('8.7\\times 10^{-8} \\text{m}', 'x = 5')
    """
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().rstrip(".\\").strip()


def plainly_equal(gold: str, answer: str) -> bool | None:
    """Return whether two normalised texts are equal if that can be decided without mathematics, else None.

    >>> plainly_equal("007", "7"), plainly_equal("7", "8"), plainly_equal("1/2", "0.5")
    (True, False, None)
    """
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
        return int(gold) == int(answer)
    return True if _SPACE.sub("", gold) == _SPACE.sub("", answer) else None

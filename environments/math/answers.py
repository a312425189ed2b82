r"""What of a completion is its answer.

The last box counts; without one, in this order, what follows the last "####", what follows the last "answer is" or
"Answer:", and the last number. A thought (``<think>…</think>``) counts only if nothing follows it.
"""

import re

_THOUGHT_ENDS = re.compile(r"</think>|<\|end_of_thought\|>")
_MARKS = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>|<\|im_end\|>|</?think>|</?answer>")
_BOX = re.compile(r"\\f?box(?:ed)?(?![a-zA-Z])\s*")
_BARE = re.compile(r"[^\s$\\{}.,;:]+(?:[.,]\d+)*|\\[a-zA-Z]+(?:\{[^{}\n]{0,200}\})*")  # of "\boxed 5"
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_ANSWER_IS = re.compile(
    r"\banswer\b\**(?:[ \t]+(?:is|are|was|=)\b|[ \t]*:)\**:?[ \t]*([^\n]{0,500})", re.IGNORECASE
)
_MATH = re.compile(r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


def extract_answer(completion: str) -> str | None:
    r"""The answer that a completion gives, or None.

    >>> extract_answer(r"so \boxed{\frac{1}{2}} it is"), extract_answer("The answer is $x=3$."), extract_answer("?")
    ('\\frac{1}{2}', 'x=3', None)
    """
    text = _after_thought(completion)
    box = last_box(text)
    if box is not None:
        return box
    text = _MARKS.sub(" ", text)
    if hashes := _HASHES.findall(text):
        return _tidy(hashes[-1]) or None
    if said := _ANSWER_IS.findall(text):
        answer = _of_sentence(said[-1])
        if answer:
            return answer
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "") if numbers else None


def last_box(text: str) -> str | None:
    r"""What stands in the last ``\boxed`` or ``\fbox`` that is closed and not empty, braces nested as they may be.

    >>> last_box(r"\boxed{1} and \boxed{\text{(}2\}}"), last_box(r"\boxed 5"), last_box(r"\boxed{")
    ('\\text{(}2\\}', '5', None)
    """
    for match in reversed(list(_BOX.finditer(text))):
        start = match.end()
        if text.startswith("{", start):
            end = _closing_brace(text, start)
            content = text[start + 1 : end].strip() if end is not None else ""
        else:
            bare = _BARE.match(text, start)
            content = bare[0] if bare else ""
        if content:
            return content
    return None


_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def _closing_brace(text: str, start: int) -> int | None:
    depth = 0
    for match in _BRACE.finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None


def _after_thought(completion: str) -> str:
    ends = list(_THOUGHT_ENDS.finditer(completion))
    if ends and _MARKS.sub("", completion[ends[-1].end() :]).strip():
        return completion[ends[-1].end() :]
    return completion


def _of_sentence(sentence: str) -> str:
    """The mathematics of what follows "the answer is", else its first sentence."""
    if math := _MATH.search(sentence):
        return _tidy(next(group for group in math.groups() if group is not None))
    return _tidy(re.split(r"\.(?:\s|$)", sentence)[0])


def _tidy(text: str) -> str:
    return text.strip().strip("*$:").strip().rstrip(".").strip()

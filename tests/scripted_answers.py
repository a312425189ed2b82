"""Answers that tests write for a policy: in turn by task, and as SEARCH/REPLACE edits of a known change."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from srl_agent.formats import Message
from srl_agent.policies import PolicyError
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds.search_replace import Edit, apply_edits, parse_edits


def answers_in_turn(answers: Mapping[str, Sequence[str]], *, name: str = "scripted") -> ScriptedPolicy:
    """Return a policy that gives the next answer of the first key, e.g. an issue's text, that is in the prompt."""
    given = dict.fromkeys(answers, 0)

    def answer(prompt: Sequence[Message]) -> str:
        text = "\n".join(message["content"] for message in prompt)
        key = next((key for key in answers if key in text), None)
        if key is None:
            raise PolicyError(f"{name}: no script for this prompt: {prompt[-1]['content'][:200]!r}")
        if given[key] == len(answers[key]):
            raise PolicyError(f"{name}: the script of {key[:60]!r} ends after {len(answers[key])} answers")
        given[key] += 1
        return answers[key][given[key] - 1]

    return ScriptedPolicy(answer, name=name)


def render_edits(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return an answer whose edits turn texts ``before`` into ``after``, by path: the inverse of reading and applying.

    Files that are not in ``after`` stay. Raises ValueError for changes that edits cannot express: lines that look like
    markers, a newline added or removed at the end of a file, and whatever is refused when it is applied.
    """
    blocks = []
    for path, new in after.items():
        old = before.get(path, "")
        if old != new:
            edits = _edits_between(path, old, new)
            body = "\n".join(f"<<<<<<< SEARCH\n{e.search}=======\n{e.replace}>>>>>>> REPLACE" for e in edits)
            blocks.append(f"```python\n### {path}\n{body}\n```")
    answer = "\n\n".join(blocks)
    read_back = apply_edits(parse_edits(answer).edits, before.get)
    if {**before, **read_back.files} != {**before, **after}:
        raise ValueError(f"no SEARCH/REPLACE edits make this change: {read_back.rejected or 'not read back'}")
    return answer


def _edits_between(path: str, old: str, new: str) -> list[Edit]:
    """Return one edit per change, each with enough lines around it to make its SEARCH unique in the text."""
    a, b = (_as_lines(text.replace("\r\n", "\n")) for text in (old, new))
    if not a:
        return [Edit(path=path, search="", replace="".join(b))]
    changes = [op for op in SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes() if op[0] != "equal"]
    edits: list[Edit] = []
    lines = list(a)
    shift = 0  # lines that earlier edits have added
    for _, a1, a2, b1, b2 in changes:
        begin, end = a1 + shift, a2 + shift
        first, stop = begin, end
        while first == stop or _occurrences(lines, lines[first:stop]) > 1:
            first, stop = max(first - 1, 0), min(stop + 1, len(lines))
        new_lines = [*lines[first:begin], *b[b1:b2], *lines[end:stop]]
        edits.append(Edit(path=path, search="".join(lines[first:stop]), replace="".join(new_lines)))
        lines[begin:end] = b[b1:b2]
        shift += (b2 - b1) - (a2 - a1)
    return edits


def _occurrences(lines: list[str], part: list[str]) -> int:
    """Count occurrences, also overlapping ones, of which only the first would be replaced."""
    return sum(lines[at : at + len(part)] == part for at in range(len(lines) - len(part) + 1))


def _as_lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [f"{line}\n" for line in (lines[:-1] if text.endswith("\n") or not text else lines)]

"""The diff that a run of SWE-agent submitted, and whether a data set's ``patch`` column is the same."""

import json
import re
from collections.abc import Sequence

from trajectories.types import JSONObject, Step

COLUMN_EQUAL = "patch_column_equals_the_run"
COLUMN_DIFFERS = "patch_column_differs"  # the run's own diff is kept
COLUMN_USED = "patch_column_used"  # the run shows no diff; its calls name every file of the column's
COLUMN_NOT_TRUSTED = "patch_column_not_trusted"  # the same, and they do not

# On a line of its own: the review message also says "Use below <diff> to find the files you need to revert".
_DIFF = re.compile(r"^<diff>\r?\n", re.MULTILINE)
_FILE = re.compile(r"^(?:\+\+\+ b/|--- a/)([^\n\t\r]+)", re.MULTILINE)


def submitted_diff(steps: Sequence[Step]) -> str | None:
    """Return the diff that the run ended with, from the observations of its submits.

    The first ``submit`` shows a review message with ``<diff>…</diff>``, the second the bare diff. Where the last
    observation is missing, as in ``xml`` rows, only the ``<diff>`` is left.
    """
    for step in reversed(steps):
        if not any(is_submit(action.name, action.arguments) for action in step.actions):
            continue
        if (found := _shown(step.observation)) is not None:
            return _with_newline(_unix(found))
        if step.observation.lstrip().startswith("diff --git"):
            return _with_newline(_unix(step.observation.lstrip("\r\n")))
    return None


def is_submit(name: str, arguments: JSONObject) -> bool:
    if name in ("submit", "finish"):  # SWE-agent's parser takes the latter for the former
        return True
    return name == "bash" and str(arguments.get("command", "")).strip() == "submit"


def compare(column: str, own: str | None, steps: Sequence[Step]) -> str:
    """Return a note on a ``patch`` column beside the diff that the run shows."""
    if own is not None:
        return COLUMN_EQUAL if _unix(column).strip() == own.strip() else COLUMN_DIFFERS
    calls = "\n".join(
        json.dumps(dict(action.arguments), ensure_ascii=False) for step in steps for action in step.actions
    )
    files = set(_FILE.findall(column))
    return COLUMN_USED if files and all(name in calls for name in files) else COLUMN_NOT_TRUSTED


def _shown(observation: str) -> str | None:
    """Return the last ``<diff>…</diff>``; no line of a diff begins with either tag."""
    last = observation.rfind("</diff>")
    starts = [match.end() for match in _DIFF.finditer(observation) if match.end() <= last]
    if not starts:
        return None
    start = starts[-1]
    end = observation.find("\n</diff>", start - 1)
    end = observation.find("</diff>", start) if end < 0 else end
    return observation[start : max(end, start)].removesuffix("\r")


def _unix(diff: str) -> str:
    """Return the diff as it was before a terminal ended each of its lines with CR LF."""
    return diff.replace("\r\n", "\n") if diff.count("\r\n") == diff.count("\n") else diff


def _with_newline(diff: str) -> str:
    return diff if not diff or diff.endswith("\n") else diff + "\n"

"""Harbor's job folders: ``<job>/<trial>/agent/…``, with the task and its rewards in the trial's ``result.json``.

A trial is named by the task, cut at 32 characters, and seven random ones. Its agent's folder may hold one run in two
forms: the agent's own session, and the ATIF that Harbor made of it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from trajectories.conversation.fields import RowFacts, row_facts
from trajectories.ledger import FileLedger
from trajectories.sources.documents import Document
from trajectories.sources.sidecars import object_in
from trajectories.task_ids import task_id
from trajectories.types import JSON, JSONObject, Trajectory

OF_A_TRIAL = "file_of_a_trial"
TOLD_TWICE = "same_run_in_another_form"

_AGENT = "agent"
_STEPS = "steps"  # <trial>/steps/<step>/agent: a task of several steps
_CUT = 32
_TRIAL = re.compile(r"(?P<task>.+)__[A-Za-z0-9]{7}", re.ASCII)
_ATIF = re.compile(r"trajectory(\..*)?\.json")
_FOLDERS_BESIDE = {"verifier", "artifacts"}
_OF_HARBOR = {
    "result.json": ("task_name", "trial_name", "n_total_trials", "stats"),
    "config.json": ("trial_name", "trials_dir", "job_name", "jobs_dir"),
    "lock.json": ("trial", "trials", "task", "tasks", "requested_trials"),
}
_ID = re.compile(rb'"(?:id|call_id|tool_call_id|tool_use_id|toolCallId)"\s{0,4}:\s{0,4}"([^"\\]{1,200})"')
_MADE_ID = re.compile(rb"call_\d+_\d+|[0-9a-f]{8}")  # by Harbor, for a call without one
_NATIVE = (
    "mini-swe-agent.trajectory.json", "swe-agent.trajectory.json", "openhands.trajectory.json",
    "openclaw.session.jsonl", "gemini-cli.trajectory.json", "gemini-cli.trajectory.jsonl", "trae-trajectory.json",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where in a job a document lies."""

    trial: str  # the folder's path, of an archive with its name before ``!``
    step: str | None
    inside: tuple[str, ...]  # the path below the agent's folder

    @property
    def name(self) -> str:
        return PurePosixPath(self.trial.rpartition("!")[2]).name

    @property
    def agent(self) -> str:
        return f"{self.trial}/{_STEPS}/{self.step}" if self.step else self.trial


def place_of(origin: str) -> Place | None:
    """Return where a file lies in a trial's folder for its agent, None for any other place.

    >>> place_of("jobs/j/acme__w-1__AbCdEfg/agent/trajectory.json")
    Place(trial='jobs/j/acme__w-1__AbCdEfg', step=None, inside=('trajectory.json',))
    """
    archive, mark, path = origin.rpartition("!")
    parts = path.split("/")
    # Of each folder for an agent: the end of the trial's path, and the end of its own.
    found = [(_trial_end(parts, at), at) for at, part in enumerate(parts[:-1]) if part == _AGENT and at]
    if not found:
        return None
    end, at = next((ends for ends in found if _TRIAL.fullmatch(parts[ends[0] - 1])), found[-1])
    step = parts[at - 1] if end < at else None
    return Place(f"{archive}{mark}{'/'.join(parts[:end])}", step, tuple(parts[at + 1 :]))


def _trial_end(parts: list[str], at: int) -> int:
    return at - 2 if at > 2 and parts[at - 2] == _STEPS else at


class Trials:
    """Facts about trials: on disk from the files beside, in an archive from the members read so far."""

    def __init__(self) -> None:
        self._results: dict[str, JSONObject] = {}  # by trial, of archives
        self._forms: dict[str, str] = {}  # by agent's folder, of archives: the form that was read

    def sidecar(self, document: Document) -> bool:
        """Return whether a document is one of Harbor's own files beside a run, and remember its result."""
        path = document.path
        if document.line is not None or not isinstance(document.value, dict | list):
            return False
        value = document.value if isinstance(document.value, dict) else {}
        if any(key in value for key in _OF_HARBOR.get(path.name, ())):
            if "!" in document.origin and "task_name" in value:
                self._results[document.origin.rpartition("/")[0]] = value
            return True
        beside = next((at for at, part in enumerate(path.parts) if part in _FOLDERS_BESIDE and at), None)
        return beside is not None and _TRIAL.fullmatch(path.parts[beside - 1]) is not None

    def twice(self, document: Document, format_name: str) -> bool:
        """Return whether another form of this run, of the same archive, was read before."""
        place = place_of(document.origin)
        if place is None or "!" not in document.origin:
            return False
        return self._forms.setdefault(place.agent, format_name) != format_name

    def of_its_task(self, trajectory: Trajectory, document: Document, account: FileLedger) -> Trajectory:
        """Return the trajectory with its trial's task and verdict; any other as it is."""
        place = place_of(document.origin)
        if place is None:
            return trajectory
        result = self._result(place)
        match = _TRIAL.fullmatch(place.name)
        named = _task_name(result, place)
        task = named or (match and match["task"])
        if not task:
            return trajectory
        if not named and len(task) >= _CUT - 1:
            account.note("task_name_cut_by_the_trial", document.position)
        facts = _facts(result, place)
        named_by_file = document.path.name in _NATIVE and trajectory.trajectory_id == document.name
        metadata = {"trial": place.name, **facts.metadata, **trajectory.metadata}
        return replace(
            trajectory,
            trajectory_id=place.name if named_by_file else trajectory.trajectory_id,
            instance_id=task_id(task),
            model=trajectory.model or _model(result),
            resolved=facts.resolved if trajectory.resolved is None else trajectory.resolved,
            metadata=metadata,
        )

    def _result(self, place: Place) -> JSONObject:
        if "!" in place.trial:
            return self._results.get(place.trial, {})
        return object_in(Path(place.trial) / "result.json")


def _task_name(result: JSONObject, place: Place) -> str | None:
    """Return the task's whole name: the result's, or that of the trial's configuration where no result was written."""
    if isinstance(result.get("task_name"), str) and "trial_name" in result:
        return str(result["task_name"])
    config = {} if "!" in place.trial else object_in(Path(place.trial) / "config.json")
    task = _object(config.get("task"))
    if "trial_name" not in config:
        return None
    named = next((task[key] for key in ("name", "path") if isinstance(task.get(key), str) and task[key]), "")
    return named if "name" in task and named == task["name"] else PurePosixPath(named).name or None


def _facts(result: JSONObject, place: Place) -> RowFacts:
    """Return the verdict and the reward of the trial, of a task of several steps those of the step."""
    holder = result
    if place.step is not None:
        steps = result.get("step_results")
        found = [step for step in (steps if isinstance(steps, list) else []) if isinstance(step, dict)]
        holder = next((step for step in found if step.get("step_name") == place.step), {})
    return row_facts({"rewards": _object(holder.get("verifier_result")).get("rewards")})


def _model(result: JSONObject) -> str | None:
    info = _object(_object(result.get("agent_info")).get("model_info"))
    parts = [info.get(key) for key in ("provider", "name")]
    named = [part for part in parts if isinstance(part, str) and part]
    return "/".join(named) if info.get("name") in named else None


def is_told_better(path: Path) -> bool:
    """Return whether a file tells a run that other files of its folder tell better.

    The agent's own session is richer than the ATIF made of it, unless calls of the ATIF are missing there.
    """
    place = place_of(path.as_posix())
    return place is not None and path in _poorer(Path(place.agent) / _AGENT)


@lru_cache(maxsize=16)
def _poorer(agent: Path) -> frozenset[Path]:
    atif, native = [], []
    for path in sorted(agent.rglob("*.json*")):
        inside = path.relative_to(agent).parts
        if len(inside) == 1 and _ATIF.fullmatch(inside[0]):
            atif.append(path)
        elif _is_native(inside):
            native.append(path)
    if not atif or not native:
        return frozenset()
    calls, known = {one for one in _ids(atif) if not _MADE_ID.fullmatch(one)}, _ids(native)
    return frozenset(native if known and not calls <= known else atif)


def _is_native(inside: tuple[str, ...]) -> bool:
    if len(inside) == 1:
        return inside[0] in _NATIVE
    return "sessions" in inside[:2] and inside[-1].endswith(".jsonl")


def _ids(files: Iterable[Path]) -> set[bytes]:
    """Return the ids that files mention, to compare which calls they tell."""
    found: set[bytes] = set()
    for path in files:
        try:
            with path.open("rb") as lines:
                for line in lines:
                    found.update(match[1] for match in _ID.finditer(line))
        except OSError:
            continue
    return found


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}

"""From a recipe to training data: trajectories on disk, their split, target steps (``step_index``), rows on demand."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

from harness.cli import UsageError, UserError, user_errors
from harness.config.tables import Recipe
from harness.data.selection import SelectionRow, select_by_profile
from harness.data.split import evenly, split_groups
from harness.data.step_index import Entry, index_steps
from harness.data.tools import AUTO, Call, Tools, with_tools
from harness.demo import expert_path
from harness.demo.math import solved_path
from srl_agent.formats import ActionFormat, get_format
from srl_agent.plugins import PluginError
from srl_agent.steps import (
    TARGET_WITHOUT_THOUGHT,
    StepExample,
    StepRef,
    StepSettings,
    render_example,
    select_targets,
)
from trajectories import Trajectory
from trajectories.store import StoreError, read_trajectory

_CACHED_TRAJECTORIES = 64


@dataclass(frozen=True, kw_only=True)
class StepData:
    """The training and validation steps of a recipe."""

    path: Path
    digest: str  # sha256 of the file
    action_format: ActionFormat
    tools: str | Tools  # of the format: actions.tools, or what it stands for where it is "auto"
    settings: StepSettings
    train: tuple[StepRef, ...]
    validation: tuple[StepRef, ...]
    # Positions in the file, also of trajectories without a target step.
    train_trajectories: tuple[int, ...]
    validation_trajectories: tuple[int, ...]
    left_out: Mapping[str, Mapping[str, int]]  # side -> reason -> count
    without_thought: Mapping[str, int]  # side -> targets whose expert wrote no thought that a target can hold
    selection: tuple[SelectionRow, ...]  # by data.select, one for each training step
    trajectory: Callable[[int], Trajectory]  # by position in the file
    calls: Callable[[StepRef], Sequence[Call]]  # tools and argument names of a step's calls

    def example(self, ref: StepRef) -> StepExample:
        """Render one step."""
        trajectory = self.trajectory(ref.trajectory)
        return render_example(trajectory, ref.step, settings=self.settings, action_format=self.action_format)

    def count_fillers(self, side: str) -> int:
        """Return how many targets of a side (train, validation) hold the filler instead of an expert's thought."""
        if self.settings.thoughts == "expert":
            return self.without_thought[side]
        targets = {"train": self.train, "validation": self.validation}[side]
        return len(targets) if self.settings.thoughts == "filler" else 0

    def count_trajectories(self, refs: Sequence[StepRef]) -> int:
        return len({ref.trajectory for ref in refs})


def load_step_data(recipe: Recipe) -> StepData:
    """Load the steps that a recipe trains and validates on. Raises UserError."""
    path = _existing_path(recipe)
    if recipe.steps.show_title and recipe.actions.format != "math-step":
        raise UserError("steps.show_title: only steps of solutions have titles (actions.format: math-step)")
    settings, tools, action_format = step_settings(recipe), recipe.actions.tools, _format(recipe)
    index = index_steps(
        path, settings=settings, action_format=action_format, tools_of_data=recipe.actions.tools == AUTO
    )
    if tools == AUTO:
        tools = index.tools()
        action_format = with_tools(action_format, tools)
    entries, sides = index.entries, _split(recipe, path, index.entries)
    chosen: dict[str, tuple[StepRef, ...]] = {}
    left_out: dict[str, Counter[str]] = {}
    selection: list[SelectionRow] = []
    limits = {"train": recipe.data.train_steps, "validation": recipe.data.validation_steps}
    for side, limit in limits.items():
        positions = sides[side]
        refs, left_out[side] = select_targets(
            ((i, entries[i].target_status) for i in positions), format_name=action_format.name
        )
        if not refs:
            causes = "; ".join(f"{reason}: {n}" for reason, n in left_out[side].items())
            raise UserError(f"no {side} step is left ({causes or 'trajectories too short'})")
        if side == "train" and recipe.data.select is not None:
            keys = [(entries[ref.trajectory].trajectory_id, ref.step) for ref in refs]
            refs, why, selection = select_by_profile(refs, keys, recipe.data.select, what="training steps")
            left_out[side] += why
        chosen[side] = tuple(evenly(refs, limit))
        if len(chosen[side]) < len(refs):
            left_out[side][f"over data.{side}_steps"] = len(refs) - len(chosen[side])
    if unresolved := len(entries) - sum(map(len, sides.values())):
        left_out["train"]["trajectories not known to be right (data.resolved_only)"] = unresolved
    return StepData(
        path=path,
        digest=index.digest,
        action_format=action_format,
        tools=tools,
        settings=settings,
        train=chosen["train"],
        validation=chosen["validation"],
        train_trajectories=sides["train"],
        validation_trajectories=sides["validation"],
        left_out=left_out,
        without_thought={side: _count_without_thought(entries, refs) for side, refs in chosen.items()},
        selection=tuple(selection),
        trajectory=lru_cache(maxsize=_CACHED_TRAJECTORIES)(partial(_read, path, entries)),
        calls=lambda ref: index.turns[entries[ref.trajectory].calls[ref.step]],
    )


def _count_without_thought(entries: Sequence[Entry], refs: Sequence[StepRef]) -> int:
    return sum(entries[ref.trajectory].target_status[ref.step] == TARGET_WITHOUT_THOUGHT for ref in refs)


def _existing_path(recipe: Recipe) -> Path:
    path = data_path(recipe)
    if path.is_dir():
        raise UsageError(f"data.path: {path} is a folder; give the file of it")
    if not path.is_file():
        raise UsageError(f"data.path: no file {path}; make one with `python -m harness.convert`")
    return path


def _split(recipe: Recipe, path: Path, entries: Sequence[Entry]) -> dict[str, tuple[int, ...]]:
    """Return the positions of the trajectories of each side."""
    if not entries:
        raise UserError(f"data.path: {path} holds no trajectory")
    wanted = [i for i, e in enumerate(entries) if not recipe.data.resolved_only or e.resolved is True]
    if not wanted:
        raise UserError(f"data.resolved_only: none of the {len(entries)} trajectories in {path} is resolved")
    by = recipe.data.split_by
    with user_errors(ValueError, about="data"):
        split = split_groups(
            [entries[i].repository if by == "repository" else entries[i].instance_id for i in wanted],
            by=by,
            fraction=recipe.data.validation_fraction,
            count=recipe.data.validation_count,
            held_out=recipe.data.held_out,
            seed=recipe.split_seed,
        )
    sides = {"train": split.train, "validation": split.validation}
    return {side: tuple(wanted[i] for i in positions) for side, positions in sides.items()}


def _read(path: Path, entries: Sequence[Entry], position: int) -> Trajectory:
    """Read the trajectory of an entry. Raises StoreError, also if the file has changed since it was indexed."""
    entry = entries[position]
    found = read_trajectory(path, number=entry.line, offset=entry.offset)
    if found.trajectory_id != entry.trajectory_id:
        raise StoreError(
            f"{path}:{entry.line}: the file has changed since the start: found {found.trajectory_id} "
            f"instead of {entry.trajectory_id}"
        )
    return found


def data_path(recipe: Recipe) -> Path:
    """Return the file that data.path names."""
    embedded = {"demo": expert_path, "math-demo": solved_path}
    return embedded.get(recipe.data.path, lambda: Path(recipe.data.path).expanduser())()


def make_format(recipe: Recipe, store: Path | None = None) -> ActionFormat:
    """Return the recipe's action format; ``store``: the data of ``actions.tools: auto``. Raises UserError."""
    action_format = _format(recipe)
    if recipe.actions.tools != AUTO:
        return action_format
    if store is None:
        raise UsageError(
            "actions.tools: auto lists the tools that a whole store calls: give one store (python -m harness.convert "
            "writes it), or name the tools"
        )
    settings = step_settings(recipe)
    index = index_steps(store, settings=settings, action_format=action_format, tools_of_data=True)
    return with_tools(action_format, index.tools())


def _format(recipe: Recipe) -> ActionFormat:
    """Return the action format, without tools where they are those of the data."""
    with user_errors(PluginError, about="actions", usage=True):
        thinks, tools = recipe.steps.thoughts != "none", recipe.actions.tools
        return get_format(recipe.actions.format, {} if tools == AUTO else tools, thinks=thinks)


def prompt_digest(data: StepData) -> str:
    """Return a digest of the first training step's prompt and target, which changes with their wording."""
    example = data.example(data.train[0])
    return sha256(json.dumps([example.prompt, example.expert_action]).encode()).hexdigest()


def step_settings(recipe: Recipe) -> StepSettings:
    """Return how the recipe renders prompts and targets of steps."""
    settings = recipe.steps.model_dump()
    if settings["context_window"] == "full":
        settings["context_window"] = None
    return StepSettings(**settings)

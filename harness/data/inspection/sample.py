"""Trajectories, or rows of a recipe, sampled with a seed and formatted for reading."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from harness.data.step_index import index_steps
from srl_agent.formats import ActionFormat
from srl_agent.steps import StepSettings, render_example, select_targets, truncate_middle
from trajectories import Trajectory
from trajectories.store import read_lines, read_trajectory

_SHOWN = 1500  # characters of one text; a longer one keeps head and tail
_RULE = "─" * 100


def sample_trajectories(path: Path, count: int, seed: int) -> Iterator[str]:
    """Sample ``count`` of the store's trajectories, in its order. Raises StoreError."""
    places = [(line.number, line.offset) for line in read_lines(path) if line.text.strip()]
    for number, offset in sorted(Random(seed).sample(places, min(count, len(places)))):
        yield as_text(read_trajectory(path, number=number, offset=offset), f"{path}:{number}")


def sample_rows(
    path: Path, count: int, seed: int, *, settings: StepSettings, action_format: ActionFormat
) -> Iterator[str]:
    """Sample ``count`` target steps as a policy sees them: the prompt, then the expert action."""
    entries = index_steps(path, settings=settings, action_format=action_format).entries
    statuses = ((position, entry.target_status) for position, entry in enumerate(entries))
    refs, _ = select_targets(statuses, format_name=action_format.name)
    for ref in sorted(Random(seed).sample(refs, min(count, len(refs)))):
        entry = entries[ref.trajectory]
        trajectory = read_trajectory(path, number=entry.line, offset=entry.offset)
        example = render_example(trajectory, ref.step, settings=settings, action_format=action_format)
        parts = [f"{_RULE}\n{path}:{entry.line} step {ref.step}  {entry.trajectory_id}  {example.kind}"]
        parts += [f"[{message['role']}]\n{_short(message['content'])}" for message in example.prompt]
        parts.append(f"[expert action]\n{_short(example.expert_action)}")
        yield "\n\n".join(parts)


def as_text(trajectory: Trajectory, where: str) -> str:
    """Format a trajectory for reading; long texts keep head and tail."""
    resolved = {True: "resolved", False: "not resolved", None: "not judged"}[trajectory.resolved]
    about = [where, trajectory.trajectory_id, trajectory.source, trajectory.model or "", resolved]
    parts = [f"{_RULE}\n{'  '.join(filter(None, about))}", f"[task]\n{_short(trajectory.task)}"]
    for index, step in enumerate(trajectory.steps):
        lines = [f"[step {index}] {_short(step.thought.strip())}".rstrip()]
        for action in step.actions:
            lines.append(f"  > {action.name}")
            lines += [
                f"    {name}: {_indented(value if isinstance(value, str) else json.dumps(value))}"
                for name, value in action.arguments.items()
            ]
        if step.observation.strip():
            lines.append(f"  < {_indented(step.observation.rstrip())}")
        parts.append("\n".join(lines))
    if trajectory.patch:
        parts.append(f"[patch]\n{_short(trajectory.patch)}")
    return "\n\n".join(parts)


def _short(text: str) -> str:
    # Broken sources have lone surrogates, which no terminal prints.
    return truncate_middle(text, _SHOWN).encode("utf-8", "replace").decode()


def _indented(text: str) -> str:
    return _short(text).replace("\n", "\n      ")

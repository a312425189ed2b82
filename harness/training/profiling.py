"""Profile a model on the training steps or tasks: sample several completions of each and store what they score."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

import torch

from harness.cli import UsageError, user_errors
from harness.config.load import as_yaml
from harness.config.tables import Recipe
from harness.console import Console
from harness.data.scoring import Tokenizer, format_error, make_rewards, score_examples
from harness.data.selection import Key, Profile, read_profile, summarize
from harness.data.step_data import StepData, data_path, load_step_data
from harness.jsonl import drop_torn_line
from harness.machine.describe import describe_machine
from harness.run_folder import RunFolder, now
from harness.training.outcomes.base import VerifiedTasks, ids
from harness.training.outcomes.load import load_tasks
from harness.training.sampling import recipe_chat, stage_sampling
from harness.training.trainer_state import before_training
from harness.training.trl_tables import trl_table
from srl_agent.context_length import ContextError
from srl_agent.formats import Message
from srl_agent.generation.generate import complete
from srl_agent.generation.types import Completion, Sampling
from srl_agent.models.load import load_policy, model_warnings
from srl_agent.models.packaged import ModelError, resolve_model

ProfiledStage = Literal["srl", "rlvr"]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Prompts to profile, by key, and how to score their completions."""

    keys: list[Key]
    prompt: Callable[[Key], list[Message]]
    score: Callable[[Sequence[Key], Sequence[Completion], Tokenizer], list[float | None]]
    format_error: Callable[[str], str | None]
    tasks: VerifiedTasks | None = None  # to start before scoring


def resume(folder: RunFolder) -> None:
    """Resume an interrupted profile. Raises UserError."""
    known = folder.read_manifest().get("profile")
    if known is None:
        raise UsageError(f"{folder.path}: no profile to resume here")
    profile(folder.recipe(), folder, known["stage"], known["adapter"])


def _settings(recipe: Recipe, stage: ProfiledStage) -> tuple[Sampling, int, int]:
    """Return (sampling, G, prompts at once), as the stage samples. Raises UserError."""
    trl: Mapping[str, Any] = trl_table(recipe, stage)
    if trl.get("generation_kwargs"):
        raise UsageError(
            f"{stage}.trl.generation_kwargs: TRL alone knows them, so a profile would sample otherwise than {stage}; "
            "write top_p, top_k, min_p and repetition_penalty in the table model.generation, and remove the others"
        )
    group, rows = trl.get("num_generations", 8), trl.get("per_device_train_batch_size", 8)
    return stage_sampling(recipe, stage), group, max(rows // group, 1)


def dry_run(recipe: Recipe, stage: ProfiledStage) -> None:
    """Print the resolved recipe and how much there is to sample. Raises UserError."""
    work = _work(recipe, stage)
    print(as_yaml(recipe), end="")
    print(f"# {_cost(recipe, stage, len(work.keys))}")
    print("# nothing was sampled: this was a dry run")


def _cost(recipe: Recipe, stage: ProfiledStage, count: int) -> str:
    sampling, group, _ = _settings(recipe, stage)
    what = "training steps" if stage == "srl" else "training tasks"
    tokens = count * group * sampling.max_tokens
    return f"{count} {what} x {group} completions, at most {tokens:,} tokens"


def _work(recipe: Recipe, stage: ProfiledStage) -> _Work:
    """Load what the stage trains on, before any selection. Raises UserError."""
    free = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"select": None}),
            "outcomes": recipe.outcomes.model_copy(update={"select": None}) if recipe.outcomes else None,
        }
    )
    data = load_step_data(free)
    return _task_work(load_tasks(free, data)) if stage == "rlvr" else _step_work(free, data)


def _task_work(tasks: VerifiedTasks | None) -> _Work:
    if tasks is None:
        raise UsageError("--stage rlvr: the recipe has no table `outcomes`")

    def score(keys: Sequence[Key], found: Sequence[Completion], _: Tokenizer) -> list[float | None]:
        names, texts = [name for name, _ in keys], [completion.text for completion in found]
        return [grade.reward for grade in tasks.grade(names, texts)]

    return _Work(
        keys=[(name, 0) for name in ids(tasks.split.train)],
        prompt=lambda key: tasks.prompt(key[0]),
        score=score,
        format_error=tasks.format_error,
        tasks=tasks,
    )


def _step_work(recipe: Recipe, data: StepData) -> _Work:
    rewards = make_rewards(recipe, data.action_format)
    refs = {(data.trajectory(ref.trajectory).trajectory_id, ref.step): ref for ref in data.train}

    def score(keys: Sequence[Key], found: Sequence[Completion], tokenizer: Tokenizer) -> list[float | None]:
        examples = [data.example(refs[key]) for key in keys]
        scores = score_examples(rewards, examples, found, tokenizer=tokenizer, state=before_training())
        return [score.total for score in scores]

    return _Work(
        keys=list(refs),
        prompt=lambda key: data.example(refs[key]).prompt,
        score=score,
        format_error=lambda text: format_error(data.action_format, text),
    )


def profile(recipe: Recipe, folder: RunFolder, stage: ProfiledStage, adapter: str | None) -> None:
    """Sample and score what is not in the folder yet, then print a summary. Raises UserError."""
    console, work = Console(), _work(recipe, stage)
    path = folder.path / "profile.jsonl"
    drop_torn_line(path)
    done = read_profile(path) if path.exists() else {}
    left = left_to_sample(work.keys, done, again=work.tasks is not None)
    cost = _cost(recipe, stage, len(work.keys))
    console.info(f"profile: {folder.path}; {cost}; {len(left)} left to sample")
    _begin(recipe, folder, stage, adapter)
    with closing(work.tasks) if work.tasks else nullcontext():
        if work.tasks:
            work.tasks.start(console)
        for profiles in _sample(recipe, stage, adapter, work, left, console):
            folder.append(path, [profile.as_row() for profile in profiles])
    found = summarize(read_profile(path).values())
    folder.update_manifest(status="finished", finished=now(), summary=found)
    print(
        f"{found['profiled']} profiled: {found['with_spread']} with a spread of rewards, {found['without_spread']} "
        f"without, {found['unjudged']} unjudged; mean reward {_number(found['mean'])}, "
        f"broken format {_number(found['format_failure_rate'])}"
    )
    select = "data.select" if stage == "srl" else "outcomes.select"
    print(f"profile: {path}; train on the pivots: {select}.profile={path} {select}.min_variance=0.001")


def left_to_sample(keys: Sequence[Key], done: Mapping[Key, Profile], *, again: bool) -> list[Key]:
    """Return the keys without a profile; with ``again`` also those with completions that could not be verified.

    The latter come last: the seed of a batch is that of its first key, and the others keep theirs.
    """
    new = [key for key in keys if key not in done]
    return new + [key for key in keys if again and key in done and None in done[key].rewards]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _begin(recipe: Recipe, folder: RunFolder, stage: ProfiledStage, adapter: str | None) -> None:
    sampling, group, _ = _settings(recipe, stage)
    folder.update_manifest(
        run_name=folder.path.name,
        status="running",
        started=now(),
        profile={
            "stage": stage,
            "model": recipe.model.name,
            "adapter": adapter,
            "num_generations": group,
            "temperature": sampling.temperature,
            "max_completion_length": sampling.max_tokens,
            "generation": recipe.model.generation.model_dump(),
            "data_digest": _digest(data_path(recipe)),
        },
        **describe_machine(),
    )


def _sample(
    recipe: Recipe, stage: ProfiledStage, adapter: str | None, work: _Work, left: list[Key], console: Console
) -> Iterator[list[Profile]]:
    """Yield profiles in batches; print an estimate of the time left after each. Raises UserError."""
    if not left:
        return
    sampling, group, at_once = _settings(recipe, stage)
    with user_errors(ModelError, ContextError):
        name = resolve_model(recipe.model.name, console.info)
        chat = recipe_chat(recipe, name)
        for warning in model_warnings(name):
            console.info(f"warning: {warning}")
        options = recipe.model.options
        model = load_policy(name, dtype=recipe.model.dtype, lora=None, adapter=adapter, **options)
    model.to(torch.accelerator.current_accelerator() or "cpu").eval()
    places = {key: place for place, key in enumerate(work.keys)}
    started = time.monotonic()
    for start in range(0, len(left), at_once):
        keys = left[start : start + at_once]
        # The seed is the place's own, so that a profile that was interrupted ends as one that was not.
        torch.manual_seed(recipe.seed * 1_000_003 + places[keys[0]])
        rows = [key for key in keys for _ in range(group)]
        prompts = {key: chat.prompt_ids(work.prompt(key)) for key in keys}
        completions = complete(model, chat, [prompts[key] for key in rows], sampling)
        rewards = work.score(rows, completions, chat.tokenizer)
        broken = [work.format_error(completion.text) is not None for completion in completions]
        parts = [slice(first, first + group) for first in range(0, len(rows), group)]
        yield [
            Profile(name=name, step=step, rewards=tuple(rewards[part]), format_failures=sum(broken[part]))
            for (name, step), part in zip(keys, parts, strict=True)
        ]
        done = min(start + at_once, len(left))
        minutes = (time.monotonic() - started) / done * (len(left) - done) / 60
        console.info(f"{done}/{len(left)}  about {minutes:.1f} min left")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()

"""Profile a model on the training steps or tasks: sample several completions of each and store what they score."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from harness.cli import UserError
from harness.config.tables import GrpoTable, Recipe
from harness.console import Teller
from harness.data.scoring import format_error, make_rewards, score_examples
from harness.data.selection import Key, Profile, read_profile, summarize
from harness.data.step_data import data_path, load_step_data
from harness.jsonl import drop_torn_line
from harness.machine.describe import describe_machine
from harness.run_folder import RunFolder, now
from harness.training.outcomes import make_outcomes
from srl_agent.formats import Message
from srl_agent.generation.generate import complete, tokenize_prompt
from srl_agent.generation.types import Sampling
from srl_agent.models.load import load_policy, load_tokenizer
from srl_agent.models.packaged import ModelError, resolve_model

ProfiledStage = Literal["srl", "rlvr"]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is profiled: prompts by key, and how completions of one are scored."""

    keys: list[Key]
    prompt: Callable[[Key], list[Message]]
    score: Callable[[Sequence[Key], Sequence[str]], list[float | None]]
    malformed: Callable[[str], str | None]


def resume(folder: RunFolder) -> int:
    """Resume an interrupted profile; the exit code. Raises UserError."""
    known = json.loads(folder.manifest.read_text(encoding="utf-8")) if folder.manifest.exists() else {}
    if "profile" not in known:
        raise UserError(f"{folder.path}: no profile to go on with", exit_code=2)
    return profile(folder.recipe(), folder, known["profile"]["stage"], known["profile"]["adapter"])


def _settings(recipe: Recipe, stage: ProfiledStage) -> tuple[int, float, int, int]:
    """(G, temperature, longest completion, prompts at once), as the stage samples."""
    table: GrpoTable = getattr(recipe, stage)
    trl = table.trl
    group = int(trl.get("num_generations", 8))
    rows = int(trl.get("per_device_train_batch_size", 8))
    longest = int(trl.get("max_completion_length", 256))
    return group, float(trl.get("temperature", 1.0)), longest, max(rows // group, 1)


def dry_run(recipe: Recipe, stage: ProfiledStage) -> int:
    work, close = _work(recipe, stage)
    close()
    print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    print(f"# {_cost(recipe, stage, len(work.keys))}")
    print("# nothing was sampled: this was a dry run")
    return 0


def _cost(recipe: Recipe, stage: ProfiledStage, count: int) -> str:
    group, _, longest, _ = _settings(recipe, stage)
    what = "training steps" if stage == "srl" else "training tasks"
    tokens = count * group * longest
    return f"{count} {what} x {group} completions, at most {tokens:,} tokens"


def _work(recipe: Recipe, stage: ProfiledStage) -> tuple[_Work, Callable[[], None]]:
    """Raises UserError."""
    free = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"select": None}),
            "outcomes": recipe.outcomes.model_copy(update={"select": None}) if recipe.outcomes else None,
        }
    )
    data = load_step_data(free)
    if stage == "rlvr":
        outcomes = make_outcomes(free, data, Teller())
        if outcomes is None:
            raise UserError("--stage rlvr: the recipe has no table `outcomes`", exit_code=2)

        def verified(keys: Sequence[Key], texts: Sequence[str]) -> list[float | None]:
            return [one.reward for one in outcomes.judge([name for name, _ in keys], texts)]

        work = _Work(
            keys=[(name, 0) for name in outcomes.train],
            prompt=lambda key: outcomes.prompt(key[0]),
            score=verified,
            malformed=outcomes.malformed,
        )
        return work, outcomes.close
    rewards = make_rewards(free, data.action_format)
    refs = {(data.trajectory(ref.trajectory).trajectory_id, ref.step): ref for ref in data.train}

    def similar(keys: Sequence[Key], texts: Sequence[str]) -> list[float | None]:
        examples = [data.example(refs[key]) for key in keys]
        return [score.total for score in score_examples(rewards, examples, texts)]

    work = _Work(
        keys=list(refs),
        prompt=lambda key: data.example(refs[key]).prompt,
        score=similar,
        malformed=lambda text: format_error(data.action_format, text),
    )
    return work, lambda: None


def profile(recipe: Recipe, folder: RunFolder, stage: ProfiledStage, adapter: str | None) -> int:
    teller = Teller()
    work, close = _work(recipe, stage)
    path = folder.path / "profile.jsonl"
    drop_torn_line(path)
    done = read_profile(path) if path.exists() else {}
    left = [key for key in work.keys if key not in done]
    teller.say(f"profile: {folder.path}; {_cost(recipe, stage, len(work.keys))}; {len(left)} left to sample")
    _begin(recipe, folder, stage, adapter)
    try:
        for profiles in _sample(recipe, stage, adapter, work, left, teller):
            folder.append(path, [profile.as_row() for profile in profiles])
    finally:
        close()
    found = summarize(read_profile(path).values())
    folder.update_manifest(status="finished", finished=now(), summary=found)
    print(
        f"{found['profiled']} profiled: {found['with_spread']} with a spread of rewards, {found['without_spread']} "
        f"without, {found['unjudged']} unjudged; mean reward {_number(found['mean'])}, "
        f"broken format {_number(found['format_failure_rate'])}"
    )
    table = "data" if stage == "srl" else "outcomes"
    print(
        f"profile: {path}; train on the pivots: {table}.select.profile={path} {table}.select.min_variance=0.001"
    )
    return 0


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _begin(recipe: Recipe, folder: RunFolder, stage: ProfiledStage, adapter: str | None) -> None:
    group, temperature, longest, _ = _settings(recipe, stage)
    folder.update_manifest(
        run_name=folder.path.name,
        status="running",
        started=now(),
        profile={
            "stage": stage,
            "model": recipe.model.name,
            "adapter": adapter,
            "num_generations": group,
            "temperature": temperature,
            "max_completion_length": longest,
            "data_digest": _digest(data_path(recipe)),
        },
        **describe_machine(),
    )


def _sample(
    recipe: Recipe, stage: ProfiledStage, adapter: str | None, work: _Work, left: list[Key], teller: Any
) -> Iterator[list[Profile]]:
    """Profiles in batches; what is left to do is told after each, from what they took. Raises UserError."""
    if not left:
        return
    group, temperature, longest, at_once = _settings(recipe, stage)
    try:
        name = resolve_model(recipe.model.name, teller.say)
        tokenizer = load_tokenizer(name)
        model = load_policy(
            name, dtype=recipe.model.dtype, lora=None, adapter=adapter, **recipe.model.options
        )
    except ModelError as error:
        raise UserError(str(error)) from error
    model.to(torch.accelerator.current_accelerator() or "cpu").eval()
    sampling = Sampling(temperature=temperature, max_tokens=longest)
    places = {key: place for place, key in enumerate(work.keys)}
    started = time.monotonic()
    for start in range(0, len(left), at_once):
        keys = left[start : start + at_once]
        # The seed is the place's own, so that a profile that was interrupted ends as one that was not.
        torch.manual_seed(recipe.seed * 1_000_003 + places[keys[0]])
        rows = [key for key in keys for _ in range(group)]
        prompts = {key: tokenize_prompt(tokenizer, work.prompt(key)) for key in keys}
        texts = [c.text for c in complete(model, tokenizer, [prompts[key] for key in rows], sampling)]
        rewards = work.score(rows, texts)
        broken = [work.malformed(text) is not None for text in texts]
        yield [
            Profile(
                name=key[0],
                step=key[1],
                rewards=tuple(rewards[i * group : (i + 1) * group]),
                format_failures=sum(broken[i * group : (i + 1) * group]),
            )
            for i, key in enumerate(keys)
        ]
        done = min(start + at_once, len(left))
        minutes = (time.monotonic() - started) / done * (len(left) - done) / 60
        teller.say(f"{done}/{len(left)}  about {minutes:.1f} min left")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()

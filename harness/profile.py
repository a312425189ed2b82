"""What a start model scores on the training steps: ``python -m harness.profile [recipe] [key=value …]``.

Several completions of each step, or of each verified task, their mean and variance; a training recipe selects by them
(``data.select``, ``outcomes.select``).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.cli import (
    UserError,
    add_recipe_arguments,
    new_run,
    recipe_and_overrides,
    resumed_run,
    run,
)
from harness.config import GrpoTable, Recipe, load_recipe, shipped_recipes
from harness.run_folder import RunFolder, describe_machine, file_digest, now

if TYPE_CHECKING:
    from harness.pivots import Key, Profile
    from srl_agent.formats import Message

ProfiledStage = Literal["srl", "rlvr"]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is profiled: prompts by key, and how completions of one are scored."""

    keys: "list[Key]"
    prompt: "Callable[[Key], list[Message]]"
    score: "Callable[[Sequence[Key], Sequence[str]], list[float | None]]"
    malformed: Callable[[str], str | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    if resumed := resumed_run(options):
        folder = RunFolder(resumed)
        known = json.loads(folder.manifest.read_text(encoding="utf-8")) if folder.manifest.exists() else {}
        if "profile" not in known:
            raise UserError(f"{resumed}: no profile to go on with", exit_code=2)
        return _profile(folder.recipe(), folder, known["profile"]["stage"], known["profile"]["adapter"])
    recipe = load_recipe(*recipe_and_overrides(options))
    stage: ProfiledStage = options.stage or ("rlvr" if set(recipe.stages) == {"rlvr"} else "srl")
    if options.dry_run:
        return _dry_run(recipe, stage)
    folder = RunFolder(new_run(recipe.output, f"profile-{recipe.name}" if not options.name else options.name))
    folder.create(recipe)
    return _profile(recipe, folder, stage, options.adapter)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.profile",
        description="Sample completions of every training step with the start model and store what they score, so that "
        "training can be restricted to steps with a spread.",
        epilog="shipped recipes: " + ", ".join(shipped_recipes()),
    )
    add_recipe_arguments(parser, example="data.train_steps=200 srl.trl.num_generations=8")
    parser.add_argument(
        "--stage", choices=("srl", "rlvr"), help="whose rewards (default: srl, if the recipe has it)"
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="a LoRA adapter over the recipe's model, as start model"
    )
    parser.add_argument("--name", help="of the profile's folder (default: profile-<the recipe's name>)")
    return parser


def _settings(recipe: Recipe, stage: ProfiledStage) -> tuple[int, float, int, int]:
    """(G, temperature, longest completion, prompts at once), as the stage samples."""
    table: GrpoTable = getattr(recipe, stage)
    trl = table.trl
    group = int(trl.get("num_generations", 8))
    rows = int(trl.get("per_device_train_batch_size", 8))
    longest = int(trl.get("max_completion_length", 256))
    return group, float(trl.get("temperature", 1.0)), longest, max(rows // group, 1)


def _dry_run(recipe: Recipe, stage: ProfiledStage) -> int:
    import yaml

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
    from harness.console import Teller
    from harness.outcomes import make_outcomes
    from harness.step_data import format_error, load_step_data, make_rewards, score_examples

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

        def verified(keys: "Sequence[Key]", texts: Sequence[str]) -> list[float | None]:
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

    def similar(keys: "Sequence[Key]", texts: Sequence[str]) -> list[float | None]:
        examples = [data.example(refs[key]) for key in keys]
        return [score.total for score in score_examples(rewards, examples, texts)]

    work = _Work(
        keys=list(refs),
        prompt=lambda key: data.example(refs[key]).prompt,
        score=similar,
        malformed=lambda text: format_error(data.action_format, text),
    )
    return work, lambda: None


def _profile(recipe: Recipe, folder: RunFolder, stage: ProfiledStage, adapter: str | None) -> int:
    from harness.console import Teller
    from harness.evaluation.records import mend_last_line
    from harness.pivots import read_profile, summarize

    teller = Teller()
    work, close = _work(recipe, stage)
    path = folder.path / "profile.jsonl"
    mend_last_line(path)
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
    from harness.step_data import data_path

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
            "data_digest": file_digest(data_path(recipe)),
        },
        **describe_machine(),
    )


def _sample(
    recipe: Recipe, stage: ProfiledStage, adapter: str | None, work: _Work, left: "list[Key]", teller: Any
) -> "Iterator[list[Profile]]":
    """Profiles in batches; what is left to do is told after each, from what they took. Raises UserError."""
    if not left:
        return
    import torch

    from harness.pivots import Profile
    from srl_agent.models import ModelError, load_policy, load_tokenizer, resolve_model
    from srl_agent.policies.base import Sampling
    from srl_agent.training.generation import complete, tokenize_prompt

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


if __name__ == "__main__":
    sys.exit(run(main))

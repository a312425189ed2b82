"""Do the rewards give the expert's own actions their maximum, and trivial actions less?"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from harness.cli import UserError
from harness.config.tables import Recipe
from harness.data.scoring import Tokenizer, score_examples, written
from harness.data.split import evenly
from harness.data.step_data import StepData
from harness.data.trl_rows import step_completion
from harness.training.checks.base import Finding, Subject, error, note, refusal, warning
from harness.training.outcomes.base import ids
from srl_agent.formats import UnrepresentableActionError
from srl_agent.rewards import BASELINES, READS_EXPERT, REWARDS, Score, WeightedRewards, baseline_step
from srl_agent.steps import StepExample, StepRef

_STEPS = 20  # whose expert actions are scored
_TASKS = 8  # whose reference answers are verified
_ROUNDING = 1e-6

Means = Mapping[str, float | None]


def check_rewards(subject: Subject) -> Iterator[Finding]:
    """Score expert actions, which must get the maximum of the built-in rewards, and trivial ones, the floor."""
    data, rewards = subject.data, subject.rewards
    if data is None or rewards is None or "srl" not in subject.recipe.stages:
        return
    refs = evenly(data.train, _STEPS)
    examples = [data.example(ref) for ref in refs]
    completions = [step_completion(example, data.action_format, data.settings) for example in examples]
    try:
        scores = _score(subject, rewards, examples, completions)
        floors = {
            name: _trivial(name, subject, data, refs, rewards)
            for name in BASELINES
            if name not in READS_EXPERT
        }
    except UserError as problem:  # what a plug-in raised or returned
        yield refusal(problem)
        return
    except Exception as problem:
        yield error(
            f"rewards: scoring the expert's own actions ends in {type(problem).__name__}: "
            f"{' '.join(str(problem).split())[:200]}; fix the reward function, or its settings"
        )
        return
    for name in rewards.functions:
        yield from _of_expert(name, examples, [score.parts[name] for score in scores], floors)
    yield note(_summary(subject.recipe, scores, floors))


class _Characters:
    """A tokenizer for rewards that read token ids, where the model's is not on this machine."""

    eos_token_id = 0

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(character) for character in text]


def _score(
    subject: Subject, rewards: WeightedRewards, examples: Sequence[StepExample], texts: Sequence[str]
) -> list[Score]:
    tokenizer: Tokenizer = subject.model.chat.tokenizer if subject.model else _Characters()
    found = [written(text) for text in texts]
    return score_examples(rewards, examples, found, tokenizer=tokenizer, state=subject.state)


def _of_expert(
    name: str, examples: Sequence[StepExample], scored: Sequence[float | None], floors: Mapping[str, Means]
) -> Iterator[Finding]:
    judged = [value for value in scored if value is not None]
    if not judged:
        yield error(
            f"rewards: {name} judges none of {len(scored)} expert actions: nothing could be learned from it"
        )
        return
    lowest = min(judged)
    if name in REWARDS:
        if lowest < 1 - _ROUNDING:
            example = examples[scored.index(lowest)]
            yield error(
                f"rewards: {name} gives {lowest:.3f} instead of 1 to the expert's own action "
                f"({example.trajectory_id} step {example.step_index}): the action format does not read back what it "
                "writes, or the reward is wrong"
            )
        return
    best = max(
        ((value, one) for one, means in floors.items() if (value := means[name]) is not None), default=None
    )
    if best and best[0] > fmean(judged) - _ROUNDING:
        yield warning(
            f"rewards: {name} gives the expert's own actions {fmean(judged):.3f} on average, and the trivial policy "
            f"{best[1]} {best[0]:.3f}: it does not prefer the expert; is its sign right?"
        )


def _trivial(
    policy: str, subject: Subject, data: StepData, refs: Sequence[StepRef], rewards: WeightedRewards
) -> dict[str, float | None]:
    """Return the mean of each reward for a policy that needs no model."""
    answers = []
    for ref in refs:
        try:
            step = baseline_step(policy, data.trajectory(ref.trajectory), ref.step)
            answers.append((data.example(ref), data.action_format.render(step)))
        except UnrepresentableActionError:
            continue
    scores = (
        _score(subject, rewards, [e for e, _ in answers], [text for _, text in answers]) if answers else []
    )
    return {name: _mean([score.parts[name] for score in scores]) for name in rewards.functions}


def _mean(values: Sequence[float | None]) -> float | None:
    judged = [value for value in values if value is not None]
    return fmean(judged) if judged else None


def _summary(recipe: Recipe, scores: Sequence[Score], floors: Mapping[str, Means]) -> str:
    parts = []
    for table in recipe.rewards:
        expert = _number(_mean([score.parts[table.logged_as] for score in scores]))
        trivial = ", ".join(f"{policy} {_number(means[table.logged_as])}" for policy, means in floors.items())
        parts.append(f"{table.logged_as}: expert {expert}; {trivial}")
    return f"rewards of {len(scores)} expert actions, and of trivial policies on these steps: {' | '.join(parts)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def check_references(subject: Subject) -> Iterator[Finding]:
    """Verify the reference answers of some problems, which must be right."""
    tasks, outcomes = subject.tasks, subject.recipe.outcomes
    if tasks is None or outcomes is None:
        return
    if outcomes.domain != "math":
        yield note(
            "verified tasks: no reference patch was verified, which needs containers (harness.evaluate does it)"
        )
        return
    names = evenly(ids(tasks.split.train), _TASKS)
    grades = tasks.grade(names, [f"\\boxed{{{tasks.reference(name)}}}" for name in names])
    wrong = [
        f"{name} ({tasks.reference(name)!r})" for name, g in zip(names, grades, strict=True) if not g.solved
    ]
    if wrong:
        yield warning(
            f"outcomes: {len(wrong)} of {len(names)} reference answers are not verified as right, so their problems "
            f"teach nothing: {', '.join(wrong)}; are the answers given as they should be?"
        )

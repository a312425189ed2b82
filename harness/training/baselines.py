"""Score trivial policies, which need no model, on the held-out steps."""

from collections.abc import Mapping, Sequence

from harness.data.scoring import score_examples
from harness.data.split import evenly
from harness.data.step_data import StepData
from harness.training.records import BaselineLine
from srl_agent.formats import UnrepresentableActionError
from srl_agent.rewards import REWARDS, Score, WeightedRewards
from srl_agent.rewards.baselines import BASELINES, BEST_CONSTANT, as_step, baseline_step, constant_candidates
from srl_agent.steps import StepExample

# The best constant is chosen among this many actions, on this many training steps. More hardly find a better one.
_CANDIDATES, _TRAINING_STEPS = 40, 200
_TOTAL = ""  # the weighted sum, where rewards are named


def baseline_lines(data: StepData, rewards: WeightedRewards) -> list[BaselineLine]:
    """Score each baseline on the held-out steps; skip steps whose action the syntax cannot write."""
    examples = [data.example(ref) for ref in data.validation]
    lines: list[BaselineLine] = []
    for policy in BASELINES:
        written = []
        for ref, example in zip(data.validation, examples, strict=True):
            try:
                step = baseline_step(policy, data.trajectory(ref.trajectory), ref.step)
                written.append((example, data.action_format.render(step)))
            except UnrepresentableActionError:
                continue
        scores = _score(rewards, written)
        lines += [
            _line(policy, example, data.action_format.split(text)[1], score.parts, score.total)
            for (example, text), score in zip(written, scores, strict=True)
        ]
    return lines + _constant_lines(data, rewards, examples)


def _constant_lines(
    data: StepData, rewards: WeightedRewards, examples: Sequence[StepExample]
) -> list[BaselineLine]:
    """Score the best constant action, which differs by reward."""
    constants = _best_constants(data, rewards)
    texts = set(constants.values())
    scored = {text: _score(rewards, [(example, text) for example in examples]) for text in texts}
    action = data.action_format.split(constants[_TOTAL])[1]
    lines = []
    for index, example in enumerate(examples):
        parts = {name: scored[constants[name]][index].parts[name] for name in rewards.functions}
        lines.append(_line(BEST_CONSTANT, example, action, parts, scored[constants[_TOTAL]][index].total))
    return lines


def _best_constants(data: StepData, rewards: WeightedRewards) -> Mapping[str, str]:
    """Return the completion that scores best on training steps, by reward.

    Only built-in rewards choose, because a plug-in may cost too much for thousands of calls: for it, and for a sum with
    it, the constant is that of the structured reward.
    """
    ours = {name: f for name, f in rewards.functions.items() if name in REWARDS}
    own = WeightedRewards(functions=ours, weights={name: rewards.weights[name] for name in ours})
    examples = [data.example(ref) for ref in evenly(data.train, _TRAINING_STEPS)]
    steps = {example.expert_action: example.expert for example in examples}
    candidates = [
        data.action_format.render(as_step(steps[action].actions))
        for action in constant_candidates([e.expert_action for e in examples], _CANDIDATES)
    ]
    scored = {text: _score(own, [(example, text) for example in examples]) for text in candidates}

    def value(score: Score, name: str) -> float:
        return (score.total if name == _TOTAL else score.parts[name]) or 0.0

    def best(name: str) -> str:
        return max(candidates, key=lambda text: sum(value(score, name) for score in scored[text]))

    only_ours = all(name in ours for name, weight in rewards.weights.items() if weight)
    constants = {name: best(name if name in ours else "structured") for name in rewards.functions}
    return {**constants, _TOTAL: best(_TOTAL if only_ours else "structured")}


def _score(rewards: WeightedRewards, written: Sequence[tuple[StepExample, str]]) -> list[Score]:
    if not written:
        return []
    return score_examples(rewards, [example for example, _ in written], [text for _, text in written])


def _line(
    policy: str, example: StepExample, action: str, rewards: Mapping[str, float | None], reward: float | None
) -> BaselineLine:
    return BaselineLine(
        policy=policy,
        trajectory_id=example.trajectory_id,
        step_index=example.step_index,
        kind=example.kind,
        action=action,
        rewards=rewards,
        reward=reward,
    )

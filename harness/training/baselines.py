"""Score trivial policies, which need no model, on the held-out steps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.data.scoring import Tokenizer, score_examples, written
from harness.data.split import evenly
from harness.data.step_data import StepData
from harness.training.records import BaselineLine
from harness.training.trainer_state import before_training
from srl_agent.formats import UnrepresentableActionError
from srl_agent.rewards import Score, SimilarityReward, StructuredReward, WeightedRewards
from srl_agent.rewards.baselines import (
    BASELINES,
    BEST_CONSTANT,
    EXPERT,
    as_step,
    baseline_step,
    constant_candidates,
)
from srl_agent.steps import StepExample

# The best constant is chosen among this many actions, on this many training steps. More hardly find a better one.
_CANDIDATES, _TRAINING_STEPS = 40, 200
_TOTAL = ""  # the weighted sum, where rewards are named


Answers = Sequence[tuple[StepExample, str]]  # steps with a completion each


def baseline_lines(data: StepData, rewards: WeightedRewards, tokenizer: Tokenizer) -> list[BaselineLine]:
    """Score the expert and each baseline on the held-out steps; skip steps whose action the syntax cannot write.

    Raises UserError.
    """
    examples = [data.example(ref) for ref in data.validation]
    answers: dict[str, list[tuple[StepExample, str]]] = {EXPERT: _experts(data, examples)}
    for policy in BASELINES:
        answers[policy] = []
        for ref, example in zip(data.validation, examples, strict=True):
            try:
                step = baseline_step(policy, data.trajectory(ref.trajectory), ref.step)
                answers[policy].append((example, data.action_format.render(step)))
            except UnrepresentableActionError:
                continue
    lines = [
        _line(policy, example, data.action_format.split(text)[1], score.parts, score.total)
        for policy, some in answers.items()
        for (example, text), score in zip(some, _score(rewards, some, tokenizer), strict=True)
    ]
    return lines + _constant_lines(data, rewards, examples, tokenizer)


def _experts(data: StepData, examples: Sequence[StepExample]) -> list[tuple[StepExample, str]]:
    return [(example, data.action_format.render(as_step(example.expert.actions))) for example in examples]


def _constant_lines(
    data: StepData, rewards: WeightedRewards, examples: Sequence[StepExample], tokenizer: Tokenizer
) -> list[BaselineLine]:
    """Score the best constant action, which differs by reward."""
    constants = _best_constants(data, rewards, tokenizer)
    texts = set(constants.values())
    scored = {text: _score(rewards, [(example, text) for example in examples], tokenizer) for text in texts}
    action = data.action_format.split(constants[_TOTAL])[1]
    lines = []
    for index, example in enumerate(examples):
        parts = {name: scored[constants[name]][index].parts[name] for name in rewards.functions}
        lines.append(_line(BEST_CONSTANT, example, action, parts, scored[constants[_TOTAL]][index].total))
    return lines


def _best_constants(data: StepData, rewards: WeightedRewards, tokenizer: Tokenizer) -> Mapping[str, str]:
    """Return the completion that scores best on training steps, by reward.

    Only built-in rewards choose, because a plug-in may cost too much for thousands of calls: for it, and for a sum with
    it, the constant is that of the structured reward.
    """
    ours = {
        name: f for name, f in rewards.functions.items() if isinstance(f, SimilarityReward | StructuredReward)
    }
    own = replace(rewards, functions=ours, weights={name: rewards.weights[name] for name in ours})
    examples = [data.example(ref) for ref in evenly(data.train, _TRAINING_STEPS)]
    steps = {example.expert_action: example.expert for example in examples}
    candidates = [
        data.action_format.render(as_step(steps[action].actions))
        for action in constant_candidates([e.expert_action for e in examples], _CANDIDATES)
    ]
    scored = {text: _score(own, [(example, text) for example in examples], tokenizer) for text in candidates}

    def value(score: Score, name: str) -> float:
        return (score.total if name == _TOTAL else score.parts[name]) or 0.0

    def best(name: str) -> str:
        return max(candidates, key=lambda text: sum(value(score, name) for score in scored[text]))

    only_ours = all(name in ours for name, weight in rewards.weights.items() if weight)
    constants = {name: best(name if name in ours else "structured") for name in rewards.functions}
    return {**constants, _TOTAL: best(_TOTAL if only_ours else "structured")}


def _score(rewards: WeightedRewards, answers: Answers, tokenizer: Tokenizer) -> list[Score]:
    if not answers:
        return []
    examples, completions = [example for example, _ in answers], [written(text) for _, text in answers]
    return score_examples(rewards, examples, completions, tokenizer=tokenizer, state=before_training())


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

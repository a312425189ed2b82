"""What a stage trains on, and its sampled groups as rows of samples.jsonl."""

from collections.abc import Sequence
from typing import Any

from harness.config.stages import Stage
from harness.config.tables import SftTable
from harness.data.lazy_dataset import lazy_dataset
from harness.data.scoring import reward_columns
from harness.data.trl_rows import step_completion
from harness.training.context import StageContext
from harness.training.outcomes.base import VERIFIED, outcome_row
from srl_agent.formats import Message
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.steps import StepRef
from srl_agent.training.dynamic_sampling import Group, population_std

WHOLE = -1  # in the place of a step: the whole solution


def stage_datasets(stage: Stage, context: StageContext) -> tuple[Any, ...]:
    """Training and held-out rows; the latter are there for the trainer, our own validation measures."""
    data = context.data
    if stage == "rlvr":
        outcomes = context.outcomes
        assert outcomes is not None  # the recipe is checked for it
        tasks = (outcomes.train, outcomes.validation)
        return tuple(lazy_dataset(side, lambda name: outcome_row(outcomes, name)) for side in tasks)
    if stage == "srl":
        return tuple(
            lazy_dataset(side, lambda ref: _srl_row(ref, context)) for side in (data.train, data.validation)
        )
    table: SftTable = getattr(context.recipe, stage)
    sides = (sft_targets(table, context), data.validation)
    return tuple(lazy_dataset(side, lambda ref: _sft_row(ref, table, context)) for side in sides)


def sft_targets(table: SftTable, context: StageContext) -> tuple[StepRef, ...]:
    """What SFT trains on, in the order of its rows."""
    data, targets = context.data, table.targets
    whole = [StepRef(trajectory=position, step=WHOLE) for position in data.train_trajectories]
    if "solutions" in targets:
        whole = [ref for ref in whole if all(step.target for step in data.trajectory(ref.trajectory).steps)]
    return (*(data.train if "steps" in targets else ()), *(whole if "solutions" in targets else ()))


def _srl_row(ref: StepRef, context: StageContext) -> dict[str, Any]:
    example = context.data.example(ref)
    return {"prompt": example.prompt, **reward_columns(example)}


def _sft_row(ref: StepRef, table: SftTable, context: StageContext) -> dict[str, Any]:
    """Prompt as in SRL, then thought and action; or a whole solution. The loss is over what follows the prompt."""
    prompt, text = _whole_solution(ref, context) if ref.step == WHOLE else _step_target(ref, table, context)
    tokenizer = context.tokenizer
    rendered = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)
    target = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    prompt_ids = list(rendered["input_ids"])
    return {"input_ids": prompt_ids + target, "labels": [-100] * len(prompt_ids) + target}


def _step_target(ref: StepRef, table: SftTable, context: StageContext) -> tuple[list[Message], str]:
    example = context.data.example(ref)
    return example.prompt, step_completion(example, context.data.action_format, table)


def _whole_solution(ref: StepRef, context: StageContext) -> tuple[list[Message], str]:
    trajectory = context.data.trajectory(ref.trajectory)
    return solution_prompt(trajectory.task), solution_text(trajectory.steps)


def write_groups(stage: str, context: StageContext, step: int, groups: Sequence[Group]) -> None:
    names = [VERIFIED] if stage == "rlvr" else list(context.rewards.functions)
    context.run.append(context.run.samples, (_group_row(stage, step, group, names) for group in groups))


def _group_row(stage: str, step: int, group: Group, names: Sequence[str]) -> dict[str, Any]:
    rewards = [sample.reward for sample in group.samples]
    judged = [reward for reward in rewards if reward is not None]
    return {
        "stage": stage,
        "step": step,
        "round": group.round,
        **{key: group.row[key] for key in ("trajectory_id", "step_index", "kind", "expert_action")},
        "completions": [
            {
                "text": sample.text,
                "rewards": dict(zip(names, sample.parts, strict=True)),
                "reward": sample.reward,
                "format_error": sample.format_error,
                "clipped": sample.clipped,
            }
            for sample in group.samples
        ],
        "reward_mean": sum(judged) / len(judged) if judged else None,
        "reward_std": population_std(rewards),
        "kept": group.dropped is None,
        "reason": group.dropped,
    }

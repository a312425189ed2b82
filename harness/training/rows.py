"""Training rows of each stage, rendered when they are read."""

from functools import partial
from typing import TypedDict

from datasets import Dataset

from harness.config.stages import Stage
from harness.config.tables import SftTable
from harness.data.lazy_dataset import lazy_dataset
from harness.data.scoring import reward_columns
from harness.data.step_data import StepData
from harness.data.trl_rows import step_completion
from harness.training.context import StageContext
from harness.training.outcomes.base import VerifiedTasks, ids
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.generation.chat import Chat
from srl_agent.steps import StepRef

WHOLE = -1  # a step index that means the whole solution


class TokenRow(TypedDict):
    """A row of SFT: token ids, and labels that are -100 where no loss is taken."""

    input_ids: list[int]
    labels: list[int]


def stage_datasets(stage: Stage, context: StageContext) -> tuple[Dataset, Dataset]:
    """Return training and held-out rows; TRL wants the latter, our validation does not use them."""
    inputs = context.inputs
    data = inputs.data
    if stage == "rlvr":
        tasks = inputs.tasks
        assert tasks is not None  # the recipe is checked for it
        row = partial(_task_row, tasks)
        return lazy_dataset(ids(tasks.split.train), row), lazy_dataset(ids(tasks.split.validation), row)
    if stage == "srl":
        step_row = partial(_step_row, data)
        return lazy_dataset(data.train, step_row), lazy_dataset(data.validation, step_row)
    table: SftTable = getattr(inputs.recipe, stage)
    token_row = partial(_token_row, data, context.chat)
    return lazy_dataset(sft_targets(table, data), token_row), lazy_dataset(data.validation, token_row)


def sft_targets(table: SftTable, data: StepData) -> tuple[StepRef, ...]:
    """Return what SFT trains on, in the order of its rows."""
    targets: list[StepRef] = []
    if "steps" in table.targets:
        targets += data.train
    if "solutions" in table.targets:
        targets += [
            StepRef(trajectory=position, step=WHOLE)
            for position in data.train_trajectories
            if all(step.target for step in data.trajectory(position).steps)
        ]
    return tuple(targets)


def _task_row(tasks: VerifiedTasks, task_id: str) -> dict[str, object]:
    return {"prompt": tasks.prompt(task_id), "task_id": task_id, "reference": tasks.reference(task_id)}


def _step_row(data: StepData, ref: StepRef) -> dict[str, object]:
    example = data.example(ref)
    return {"prompt": example.prompt, **reward_columns(example)}


def _token_row(data: StepData, chat: Chat, ref: StepRef) -> TokenRow:
    """Render the prompt as in SRL, then thought and action; or a whole solution. The loss is over the completion."""
    if ref.step == WHOLE:
        trajectory = data.trajectory(ref.trajectory)
        prompt, text = solution_prompt(trajectory.task), solution_text(trajectory.steps)
    else:
        example = data.example(ref)
        prompt, text = example.prompt, step_completion(example, data.action_format, data.settings)
    prompt_ids = chat.prompt_ids(prompt)
    target = chat.target_ids(prompt_ids, text)
    return {"input_ids": prompt_ids + target, "labels": [-100] * len(prompt_ids) + target}

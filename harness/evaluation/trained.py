"""Evaluate a stage of a training run: its weights, with the run's prompts, on the tasks that the run held out."""

from pathlib import Path

from harness.cli import UsageError, UserError
from harness.config.evaluation import EvaluationRecipe, PolicyActionsTable, PolicyTable, TrainedPolicyTable
from harness.config.stages import BASE, CONTROL, RL
from harness.config.tables import Recipe
from harness.run_folder import RunFolder
from trajectories.types import JSON


def with_trained_policy(recipe: EvaluationRecipe) -> EvaluationRecipe:
    """Return the recipe with policy, actions, prompt settings and tasks of its ``trained_policy``, if it names one.

    Prompt settings and tasks that the recipe gives itself win. Raises UserError.
    """
    table = recipe.trained_policy
    if table is None:
        return recipe
    folder = RunFolder(Path(table.run).expanduser())
    if not folder.config.exists():
        raise UsageError(
            f"trained_policy.run: {folder.path} is no training run (no config.yaml); name the folder that "
            "`python -m harness.train` printed"
        )
    run = folder.recipe()
    policy = _policy(table, folder, run)
    if recipe.policy == policy:  # the saved recipe of an evaluation
        return recipe
    if recipe.policy is not None:
        raise UsageError("policy and trained_policy: give one of them; trained_policy is for the domain swe")
    actions = PolicyActionsTable(**run.actions.model_dump(), thinks=run.steps.thoughts != "none")
    updates: dict[str, JSON] = {"policy": policy, "actions": actions}
    if (recipe.scaffold.name or "tool-loop") == "tool-loop":
        settings = {**_prompt_settings(run), **recipe.scaffold.settings}
        updates["scaffold"] = recipe.scaffold.model_copy(update={"settings": settings})
    if table.held_out and not recipe.tasks.ids:
        updates["tasks"] = recipe.tasks.model_copy(update={"ids": _held_out_ids(run)})
    return EvaluationRecipe.model_validate(recipe.model_copy(update=updates).model_dump())


def _policy(table: TrainedPolicyTable, folder: RunFolder, run: Recipe) -> PolicyTable:
    model, adapter = _weights(table, folder, run)
    name = f"{folder.path.resolve().name}/{table.stage}"
    if table.endpoint is not None:
        kwargs = run.model.chat_template_kwargs
        shown = {"extra": {"chat_template_kwargs": kwargs}} if kwargs else {}
        settings = {"model": table.stage, "name": name, **shown, **table.endpoint}
        return PolicyTable(name="endpoint", settings=settings)
    settings = {
        "model": model,
        "adapter": adapter,
        "dtype": run.model.dtype,
        "name": name,
        "options": run.model.options,
    }
    return PolicyTable(name="transformers", settings={**settings, **_template_settings(run)})


def _weights(table: TrainedPolicyTable, folder: RunFolder, run: Recipe) -> tuple[str, str | None]:
    """Return the model and the adapter over it that a stage ended with. Raises UserError."""
    model, adapter = run.model.name, None
    for stage in _lineage(table.stage, run):
        best = folder.ended_with(stage)
        if best is None:
            raise UserError(
                f"trained_policy: {folder.path} has not finished its stage {stage} (no {folder.best(stage)})"
            )
        checkpoint = best["checkpoint"]
        if checkpoint is None:  # it ended with its initial policy
            continue
        if run.model.lora is None:
            model = checkpoint
        else:
            adapter = checkpoint
    return model, adapter


def _template_settings(run: Recipe) -> dict[str, JSON]:
    """Return the policy's settings of prompts, where they differ from the defaults: older evaluations lack them."""
    table: dict[str, JSON] = {}
    if run.model.chat_template_kwargs:
        table["chat_template_kwargs"] = run.model.chat_template_kwargs
    if "template_date" in run.model.model_dump(exclude_defaults=True):
        table["template_date"] = run.model.template_date.isoformat()
    return table


def _lineage(stage: str, run: Recipe) -> list[str]:
    """Return the stages whose weights lead to those of a stage, itself last. Raises UserError."""
    if stage == BASE:
        return []
    if stage not in run.stages:
        raise UsageError(f"trained_policy.stage: the run has {', '.join((BASE, *run.stages))}, not {stage!r}")
    before = list(run.stages[: run.stages.index(stage)])
    if stage == CONTROL:  # it starts where the first stage of RL started
        before = before[: min(before.index(rl) for rl in RL if rl in before)]
    return [*(name for name in before if name != CONTROL), stage]


def _prompt_settings(run: Recipe) -> dict[str, JSON]:
    """Return settings of the tool loop: prompts as in training, completions as long as in validation."""
    steps = run.steps
    return {
        "context_window": None if steps.context_window == "full" else steps.context_window,
        "max_task_chars": steps.max_task_chars,
        "max_observation_chars": steps.max_observation_chars,
        "sampling": {
            "temperature": 0.0,
            "max_tokens": run.validation.max_new_tokens,
            **run.model.generation.model_dump(exclude_defaults=True),
        },
    }


def _held_out_ids(run: Recipe) -> tuple[str, ...]:
    from harness.data.step_data import load_step_data

    data = load_step_data(run)
    return tuple(dict.fromkeys(data.trajectory(i).instance_id for i in data.validation_trajectories))

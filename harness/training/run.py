"""Run a recipe from its checks to its report."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets.utils import logging as datasets_logging
from transformers.utils import logging as transformers_logging

from harness.cli import UsageError, UserError, raise_all, user_errors
from harness.config.stages import CONTROL, RL
from harness.config.tables import Recipe
from harness.console import Console
from harness.data.contamination_gate import summary
from harness.data.step_data import StepData, prompt_digest
from harness.jsonl import read_rows
from harness.machine.describe import describe_machine
from harness.reporting.write import report_runs
from harness.run_folder import RunFolder, now
from harness.training.baselines import baseline_lines
from harness.training.callbacks import shown
from harness.training.checks.base import CheckedModel
from harness.training.context import PolicyState, StageContext
from harness.training.inputs import Inputs
from harness.training.preflight import check_start
from harness.training.sampling import recipe_sampling
from harness.training.stage import run_stage
from harness.training.trainer_state import before_training
from harness.training.validation import Validator
from srl_agent.context_length import ContextError
from srl_agent.generation.chat import Chat, chat_notes
from srl_agent.models.load import load_policy
from srl_agent.models.packaged import ModelError
from srl_agent.models.whole_weights import whole_weights

# How safetensors and torch report a failed write; neither raises OSError.
_WRITE_FAILURES = (
    "No space left on device",
    "File too large",
    "PytorchStreamWriter failed writing",
    "quota exceeded",
)


def train(recipe: Recipe, folder: RunFolder, *, resume: bool) -> None:
    """Run the stages of a recipe in its folder, then write the report. Raises UserError."""
    quiet_libraries()
    # Without an accelerator it would not see that several processes were launched.
    process = PartialState(cpu=not torch.accelerator.is_available())
    path = broadcast_object_list([folder.path])[0]  # every process named it by its own clock
    run = RunFolder(path, writes=process.is_main_process)
    console = Console(enabled=process.is_main_process)
    found = check_start(
        recipe, run, processes=process.num_processes, contamination=not resume, log=console.info
    )  # before a folder is made
    inputs, model = found.inputs, found.subject.model
    # A run that was started is not refused by a check that is newer than it.
    if inputs is None or model is None or not resume or found.lacks_arguments:
        raise_all(found.errors())
    assert inputs is not None
    assert model is not None
    if resume:
        _check_same_data(run, inputs.data)
    elif run.writes:
        run.create(inputs.recipe)
    process.wait_for_everyone()
    warned = [*found.texts("warning"), *found.texts("error")]
    with _manifest(run, inputs, console, resume):
        _run_stages(inputs, model, warned, run, console)
    if run.writes:
        report_runs([run.path])


def _check_same_data(run: RunFolder, data: StepData) -> None:
    if not run.manifest.exists():
        raise UsageError(f"{run.manifest} is missing: this run cannot be resumed")
    if run.read_manifest()["data"]["digest"] != data.digest:
        raise UserError(f"{data.path} has changed since the run started: it cannot be resumed on other data")


@contextmanager
def _manifest(run: RunFolder, inputs: Inputs, console: Console, resume: bool) -> Iterator[None]:
    """Keep manifest.json: how the run began, and how it ended. Raises UserError for a checkpoint not written."""
    started = time.monotonic()
    if run.writes:
        _begin_manifest(run, inputs, resume)
        if inputs.contamination is not None:
            console.info(summary(inputs.contamination))
            run.write_json(run.path / "contamination.json", inputs.contamination.as_table())
    try:
        yield
    except BaseException as error:
        if run.writes:
            run.update_manifest(status="interrupted", wall_seconds=_wall_seconds(run, started))
            console.info(f"stopped; resume with: python -m harness.train --resume {run.path}")
        if not isinstance(error, OSError) and any(sign in str(error) for sign in _WRITE_FAILURES):
            raise UserError(
                f"{run.path}: a checkpoint could not be written ({' '.join(str(error).split())[:120]}); "
                "is the disk full? Free some space, then resume"
            ) from error
        raise
    if run.writes:
        run.update_manifest(status="finished", finished=now(), wall_seconds=_wall_seconds(run, started))


def _begin_manifest(run: RunFolder, inputs: Inputs, resume: bool) -> None:
    if resume:
        run.update_manifest(status="running", resumed=[*run.read_manifest().get("resumed", []), now()])
        return
    recipe, data = inputs.recipe, inputs.data
    run.update_manifest(
        run_name=run.path.name,
        seed=recipe.seed,
        stages=list(recipe.stages),
        status="running",
        started=now(),
        finished=None,
        **describe_machine(),
        model={"name": recipe.model.name},
        data={
            "path": recipe.data.path,
            "digest": data.digest,
            "prompt_digest": prompt_digest(data),
            "train_steps": len(data.train),
            "validation_steps": len(data.validation),
            "train_trajectories": data.count_trajectories(data.train),
            "validation_trajectories": data.count_trajectories(data.validation),
            "left_out": {side: dict(reasons) for side, reasons in data.left_out.items()},
            "tools": data.tools,
            "thoughts": recipe.steps.thoughts,
            "targets_with_filler": {side: data.count_fillers(side) for side in data.without_thought},
        },
    )


def _wall_seconds(run: RunFolder, started: float) -> float:
    """Return seconds worked, over all sittings except those that ended in a kill."""
    return round(float(run.read_manifest().get("wall_seconds") or 0.0) + time.monotonic() - started, 1)


def _run_stages(
    inputs: Inputs, loaded: CheckedModel, warned: list[str], run: RunFolder, console: Console
) -> None:
    recipe, tasks = inputs.recipe, inputs.tasks
    _say_inputs(inputs, run, console)
    with closing(tasks) if tasks else nullcontext(), user_errors(ModelError, ContextError):
        if tasks:
            tasks.start(console)
        model = loaded.path
        context = _context(inputs, loaded.chat, warned, run, console)
        state = PolicyState(model=model)
        if recipe.validation.base:
            state = PolicyState(model=model, metrics=_measure_base(model, context))
        start_of_rl: PolicyState | None = None
        for stage in recipe.stages:
            if stage == CONTROL:
                run_stage(stage, start_of_rl or state, context)
                continue
            if stage in RL:
                start_of_rl = start_of_rl or state
            state = run_stage(stage, state, context)


def _say_inputs(inputs: Inputs, run: RunFolder, console: Console) -> None:
    data, tasks = inputs.data, inputs.tasks
    console.info(f"run: {run.path}")
    for side, refs in (("training", data.train), ("held out", data.validation)):
        console.info(f"{side}: {len(refs)} steps of {data.count_trajectories(refs)} trajectories")
    if {"sft", CONTROL} & set(inputs.recipe.stages) and (filled := data.count_fillers("train")):
        console.info(f"thoughts: {filled} of {len(data.train)} targets hold the filler (steps.thoughts)")
    if selection := [*data.selection, *(tasks.split.selection if tasks else ())]:
        run.write_rows(run.path / "selection.jsonl", map(asdict, selection))
        kept = sum(choice.kept for choice in selection)
        console.info(f"selected by profile: {kept} of {len(selection)}, see selection.jsonl")
    if tasks:
        split = tasks.split
        console.info(f"verified tasks: {len(split.train)} to train on, {len(split.validation)} held out")


def _context(
    inputs: Inputs,
    chat: Chat,
    warned: list[str],
    run: RunFolder,
    console: Console,
) -> StageContext:
    """Make the validator, and write what trivial policies score on its steps."""
    recipe, data = inputs.recipe, inputs.data
    notes = chat_notes(chat)
    for note in notes:
        console.info(f"model: {note}")
    for warning in warned:
        console.info(f"warning: {warning}")
    run.update_manifest(model={"name": recipe.model.name, "notes": notes}, warnings=warned)
    validator = Validator(
        data=data,
        rewards=inputs.rewards.with_measures(data.action_format),
        settings=recipe.validation,
        chat=chat,
        sampling=recipe_sampling(recipe),
        run=run,
        console=console,
        tasks=inputs.tasks,
    )
    if recipe.validation.steps:
        run.write_rows(run.baselines, map(asdict, baseline_lines(data, validator.rewards, chat.tokenizer)))
    return StageContext(inputs=inputs, validator=validator, chat=chat, run=run, console=console)


def _measure_base(model: str, context: StageContext) -> dict[str, float]:
    """Measure the model before training, unless the run has measured it before."""
    run, table = context.run, context.inputs.recipe.model
    for row in read_rows(run.metrics):
        if row["stage"] == "base":
            return {key: value for key, value in row.items() if key.startswith("eval_")}
    run.forget_after("base", -1)
    with whole_weights():
        policy = load_policy(model, dtype=table.dtype, lora=None, **table.options)
    policy.eval()
    processes = PartialState()
    if processes.device.type != "cpu":
        policy.to(processes.device)
    metrics = context.validator.measure(policy, "base", before_training(), processes)
    row = {"stage": "base", "step": 0, "time": time.time(), "kind": "validation"}
    run.append(run.metrics, [{**row, **metrics}])
    context.console.info("  ".join(["base", *shown(metrics)]))
    return metrics


def quiet_libraries() -> None:
    """Silence the libraries' advice about settings that we made: our own lines say what happens."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets_logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=UserWarning)
    logging.basicConfig(format="%(levelname)s: %(message)s")

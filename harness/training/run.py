"""Run a recipe from its first check to its report."""

import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets.utils import logging as datasets_logging
from transformers.utils import logging as transformers_logging

from harness.cli import UserError
from harness.config.stages import CONTROL, RL
from harness.config.tables import Recipe
from harness.console import Console
from harness.data.contamination_gate import summary
from harness.data.scoring import make_rewards
from harness.data.step_data import load_step_data, prompt_digest
from harness.machine.describe import describe_machine
from harness.reporting.study import study_markdown
from harness.reporting.write import report_runs
from harness.run_folder import RunFolder, now
from harness.training.baselines import baseline_rows
from harness.training.contamination import check_training
from harness.training.context import PolicyState, StageContext
from harness.training.lengths import length_warnings
from harness.training.outcomes import describe_outcomes, make_outcomes
from harness.training.stage import run_stage
from harness.training.study import plan_study, run_study
from harness.training.trl_args import stage_arguments
from harness.training.trl_tables import check_trl_tables
from harness.training.validation import Validator
from srl_agent.models.load import load_policy, load_tokenizer
from srl_agent.models.packaged import ModelError, check_model, local_model_path, resolve_model

# How safetensors and torch report a failed write; neither raises OSError.
_WRITE_FAILURES = (
    "No space left on device",
    "File too large",
    "PytorchStreamWriter failed writing",
    "quota exceeded",
)


def start(recipe: Recipe, folder: RunFolder, *, resume: bool) -> int:
    """Run a recipe, or its study, in its folder; the exit code. Raises UserError."""
    if recipe.study is None:
        return _train(recipe, folder, resume=resume)
    if not resume:
        _check_study(recipe, folder.path)  # what is wrong is told before a folder is made
        folder.create(recipe)
    return _study(recipe, folder)


def dry_run(recipe: Recipe) -> int:
    _check_stages(recipe)
    data = load_step_data(recipe)
    contamination = check_training(recipe, data)
    make_rewards(recipe, data.action_format)
    try:
        model = check_model(recipe.model.name)
    except ModelError as error:
        raise UserError(f"model.name: {error}", exit_code=2) from error
    tasks = describe_outcomes(recipe, data)
    if recipe.study:
        _check_study(recipe, Path(recipe.output) / recipe.name)
    print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    print(f"# model: {model}")
    if folder := local_model_path(recipe.model.name):
        for warning in length_warnings(recipe, data, load_tokenizer(folder)):
            print(f"# warning: {warning}")
    for side, refs in (("train", data.train), ("validation", data.validation)):
        left_out = "".join(f", left out {n} ({why})" for why, n in data.left_out[side].items())
        print(f"# {side}: {len(refs)} steps of {data.count_trajectories(refs)} trajectories{left_out}")
    if tasks:
        print(f"# verified tasks: {tasks}")
    for line in summary(contamination).splitlines() if contamination else ():
        print(f"# contamination: {line}")
    for match in contamination.matches if contamination else ():
        print(f"# contamination, allowed: {match}")
    if recipe.study:
        print(f"# study: {len(recipe.study.arms)} arms x {len(recipe.study.seeds)} seeds")
    print("# nothing was trained: this was a dry run")
    return 0


def _check_stages(recipe: Recipe) -> None:
    """Raises UserError for settings that a stage would refuse when its turn comes, hours later."""
    check_trl_tables(recipe)
    for stage in recipe.stages:
        stage_arguments(stage, recipe, Path(recipe.output) / recipe.name)


def _check_study(recipe: Recipe, folder: Path) -> None:
    """Raises UserError for an arm that makes no recipe."""
    for planned in plan_study(recipe, folder):
        _check_stages(planned.recipe)


def _study(recipe: Recipe, folder: RunFolder) -> int:
    print(study_markdown(run_study(recipe, folder, Console())))
    print(f"study: {folder.path / 'study.json'}, study.md; each run's own report in its folder")
    return 0


def _train(recipe: Recipe, folder: RunFolder, *, resume: bool) -> int:
    _check_stages(recipe)
    _quiet_libraries()
    # Without an accelerator it would not see that several processes were launched.
    process = PartialState(cpu=not torch.accelerator.is_available())
    _check_settings(recipe, folder, cuda=torch.cuda.is_available())
    path = broadcast_object_list([folder.path])[0]  # every process named it by its own clock
    run_folder = RunFolder(path, writes=process.is_main_process)
    console = Console(enabled=process.is_main_process)
    data = load_step_data(recipe)
    contamination = None if resume else check_training(recipe, data)  # before a folder is made
    if resume:
        _check_same_data(run_folder, data.digest, data.path)
    elif process.is_main_process:
        run_folder.create(recipe)
    process.wait_for_everyone()
    started = time.monotonic()
    if process.is_main_process:
        _begin_manifest(recipe, run_folder, data, resume)
        if contamination is not None:
            console.info(summary(contamination))
            run_folder.write_json(run_folder.path / "contamination.json", contamination.as_table())
    try:
        _run(recipe, run_folder, data, console)
    except BaseException as error:
        if process.is_main_process:
            run_folder.update_manifest(status="interrupted", wall_seconds=_wall_seconds(run_folder, started))
            console.info(f"stopped; go on with: python -m harness.train --resume {run_folder.path}")
        if not isinstance(error, OSError) and any(sign in str(error) for sign in _WRITE_FAILURES):
            raise UserError(
                f"{run_folder.path}: a checkpoint could not be written ({' '.join(str(error).split())[:120]}); "
                "is the disk full? Free some space, then resume"
            ) from error
        raise
    if process.is_main_process:
        run_folder.update_manifest(
            status="finished", finished=now(), wall_seconds=_wall_seconds(run_folder, started)
        )
        report_runs([run_folder.path])
    return 0


def _check_settings(recipe: Recipe, folder: RunFolder, *, cuda: bool) -> None:
    """Refuse bad settings before there is a run folder. Raises UserError."""
    for stage in recipe.stages:
        stage_arguments(stage, recipe, folder.stage_dir(stage))
        if getattr(recipe, stage).trl.get("use_vllm") and not cuda:
            raise UserError(
                f"{stage}.trl.use_vllm: weights are handed to vLLM by CUDA, which this machine lacks; train with "
                f"{stage}.trl.use_vllm=false, or on a machine with a GPU",
                exit_code=2,
            )


def _wall_seconds(run_folder: RunFolder, started: float) -> float:
    """Seconds worked, over all sittings but those that ended in a kill."""
    before = json.loads(run_folder.manifest.read_text(encoding="utf-8")).get("wall_seconds") or 0.0
    return round(float(before) + time.monotonic() - started, 1)


def _run(recipe: Recipe, run_folder: RunFolder, data: Any, console: Any) -> None:
    rewards = make_rewards(recipe, data.action_format)
    console.info(f"run: {run_folder.path}")
    for side, refs in (("training", data.train), ("held out", data.validation)):
        console.info(f"{side}: {len(refs)} steps of {data.count_trajectories(refs)} trajectories")
    outcomes = make_outcomes(recipe, data, console)
    selection = [*data.selection, *(outcomes.selection if outcomes else ())]
    if selection:
        run_folder.write_rows(run_folder.path / "selection.jsonl", [choice.as_row() for choice in selection])
        console.info(
            f"selected by profile: {sum(c.kept for c in selection)} of {len(selection)}, see selection.jsonl"
        )
    if outcomes is not None:
        console.info(
            f"verified tasks: {len(outcomes.train)} to train on, {len(outcomes.validation)} held out"
        )
    try:
        model = resolve_model(recipe.model.name, console.info)
        tokenizer = load_tokenizer(model)
        warnings = length_warnings(recipe, data, tokenizer)
        for warning in warnings:
            console.info(f"warning: {warning}")
        run_folder.update_manifest(warnings=warnings)
        validator = Validator(
            data=data,
            rewards=rewards.with_measures(data.action_format),
            settings=recipe.validation,
            tokenizer=tokenizer,
            run=run_folder,
            console=console,
            outcomes=outcomes,
        )
        if recipe.validation.steps:
            run_folder.write_rows(run_folder.baselines, baseline_rows(data, validator.rewards))
        state = PolicyState(model=model)
        if recipe.validation.base:
            state = PolicyState(model=model, metrics=_measure_base(recipe, model, validator, run_folder))
        context = StageContext(
            recipe=recipe,
            data=data,
            rewards=rewards,
            validator=validator,
            outcomes=outcomes,
            tokenizer=tokenizer,
            run=run_folder,
            console=console,
        )
        start_of_rl: PolicyState | None = None
        for stage in recipe.stages:
            if stage == CONTROL:
                run_stage(stage, start_of_rl or state, context)
                continue
            if stage in RL:
                start_of_rl = start_of_rl or state
            state = run_stage(stage, state, context)
    except ModelError as error:
        raise UserError(str(error)) from error
    finally:
        if outcomes is not None:
            outcomes.close()


def _measure_base(recipe: Recipe, model: str, validator: Any, run_folder: RunFolder) -> dict[str, float]:
    """The held-out metrics before training; read from the run if they were measured before."""
    if run_folder.metrics.exists():
        for line in run_folder.metrics.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["stage"] == "base":
                return {key: value for key, value in row.items() if key.startswith("eval_")}
    run_folder.forget_after("base", -1)
    policy = load_policy(model, dtype=recipe.model.dtype, lora=None, **recipe.model.options)
    policy.eval()
    if _accelerator_device() is not None:
        policy.to(_accelerator_device())
    metrics = validator.measure(policy, "base", 0)
    row = {"stage": "base", "step": 0, "time": time.time(), "kind": "validation"}
    run_folder.append(run_folder.metrics, [{**row, **metrics}])
    shown = {"eval_step_reward": "held-out reward", "eval_format_rate": "format", "eval_accuracy": "accuracy"}
    parts = [f"{label} {metrics[key]:.3f}" for key, label in shown.items() if key in metrics]
    validator.console.info("base  " + "  ".join(parts))
    return dict(metrics)


def _accelerator_device() -> Any:
    device = PartialState().device
    return None if device.type == "cpu" else device


def _begin_manifest(recipe: Recipe, run_folder: RunFolder, data: Any, resume: bool) -> None:
    if resume:
        known = json.loads(run_folder.manifest.read_text(encoding="utf-8"))
        run_folder.update_manifest(status="running", resumed=[*known.get("resumed", []), now()])
        return
    run_folder.update_manifest(
        run_name=run_folder.path.name,
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
        },
    )


def _check_same_data(run_folder: RunFolder, digest: str, path: Path) -> None:
    if not run_folder.manifest.exists():
        raise UserError(f"{run_folder.manifest} is missing: this run cannot be resumed", exit_code=2)
    known = json.loads(run_folder.manifest.read_text(encoding="utf-8"))
    if known["data"]["digest"] != digest:
        raise UserError(f"{path} has changed since the run started: it cannot be resumed on other data")


def _quiet_libraries() -> None:
    """Our own lines say what happens; the libraries' advice about settings that we made is noise."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets_logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=UserWarning)
    logging.basicConfig(format="%(levelname)s: %(message)s")

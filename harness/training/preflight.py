"""All checks of a recipe, before a dry run says what it found and before a real run starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from huggingface_hub import try_to_load_from_cache
from transformers import TrainingArguments

from harness.cli import UserError
from harness.config.stages import Stage
from harness.config.tables import Recipe, SftTable
from harness.data.contamination import Contamination
from harness.run_folder import RunFolder
from harness.training.checks.base import Check, CheckedModel, Finding, Subject, error, note, refusal, warning
from harness.training.checks.batches import check_batches, check_sampling
from harness.training.checks.prompts import check_cut_completions, check_lengths, check_template, measure
from harness.training.checks.resources import check_learning_rate, check_memory, check_vllm
from harness.training.checks.rewards import check_references, check_rewards
from harness.training.checks.tools import check_tools
from harness.training.inputs import Inputs, Loaded, load_parts
from harness.training.rows import sft_targets
from harness.training.sampling import recipe_chat
from harness.training.study import plan_study
from harness.training.trainer_state import before_training
from harness.training.trl_args import check_arguments, stage_arguments
from harness.training.trl_tables import STAGES, table_problems
from srl_agent.generation.chat import chat_notes
from srl_agent.models.load import model_warnings
from srl_agent.models.outline import load_config, outline
from srl_agent.models.packaged import ModelError, check_model, local_model_path, resolve_model

# In the order in which a dry run prints what they find.
CHECKS: tuple[Check, ...] = (
    check_vllm, check_batches, check_sampling, check_tools, check_lengths, check_cut_completions,
    check_rewards, check_references, check_learning_rate, check_memory, check_template,
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A checked recipe."""

    findings: tuple[Finding, ...]
    inputs: Inputs | None  # None: something cannot be loaded, and there is an error about it
    subject: Subject
    contamination: Contamination | None

    @property
    def lacks_arguments(self) -> bool:
        """Return whether the settings of a stage are wrong."""
        return not set(self.subject.recipe.stages) <= self.subject.arguments.keys()

    def texts(self, level: str) -> list[str]:
        """Return the findings of a level."""
        return [finding.text for finding in self.findings if finding.level == level]

    def errors(self) -> list[UserError]:
        """Return the errors, for which no run is started."""
        return [finding.as_error() for finding in self.findings if finding.level == "error"]


def _read_arguments(
    recipe: Recipe, folder: RunFolder
) -> tuple[dict[Stage, TrainingArguments], list[Finding]]:
    """Return TRL's configuration of each stage whose settings are right, and what is wrong with all ``trl`` tables."""
    arguments: dict[Stage, TrainingArguments] = {}
    found: list[Finding] = []
    for stage in STAGES:
        if problems := [error(text) for text in table_problems(stage, getattr(recipe, stage).trl)]:
            found += problems
        elif stage in recipe.stages:
            try:
                arguments[stage] = stage_arguments(stage, recipe, folder.stage_dir(stage))
            except UserError as refused:
                found.append(refusal(refused))
    return arguments, found


def _check_arms(recipe: Recipe, folder: RunFolder) -> Iterator[Finding]:
    """Check the recipe of each arm of a study."""
    if recipe.study is None:
        return
    told = set()
    try:
        planned = plan_study(recipe, folder.path)
    except UserError as problem:
        yield refusal(problem)
        return
    for run in planned:
        try:
            check_arguments(run.recipe, run.folder)
        except UserError as problem:
            if (text := f"study.arms.{run.arm}: {problem}") not in told:
                told.add(text)
                yield error(text)


def check_recipe(recipe: Recipe, folder: RunFolder) -> Preflight:
    """Check a recipe as far as this machine can, without fetching or starting anything: for a dry run."""
    with_model = _local_model(recipe)
    return _check(recipe, folder, with_model, processes=None, contamination=True)


def check_start(
    recipe: Recipe,
    folder: RunFolder,
    *,
    processes: int,
    contamination: bool = True,
    log: Callable[[str], None] = lambda text: None,
) -> Preflight:
    """Check a recipe that a run is about to start on; its model is fetched. ``log`` gets what that does."""

    def fetched() -> str:
        return resolve_model(recipe.model.name, log)

    return _check(recipe, folder, _model(recipe, fetched), processes=processes, contamination=contamination)


def _check(
    recipe: Recipe,
    folder: RunFolder,
    with_model: tuple[CheckedModel | None, list[Finding]],
    *,
    processes: int | None,
    contamination: bool,
) -> Preflight:
    arguments, found = _read_arguments(recipe, folder)
    found += _check_arms(recipe, folder)
    loaded = load_parts(recipe, check_contamination=contamination)
    found += map(refusal, loaded.problems)
    model, of_model = with_model
    found += of_model
    subject = Subject(
        recipe=loaded.recipe,
        arguments=arguments,
        data=loaded.data,
        tasks=loaded.tasks,
        rewards=loaded.rewards,
        model=model,
        processes=processes,
        rows=_count_rows(loaded),
        state=before_training(),
    )
    subject = replace(subject, lengths=measure(subject))
    for check in CHECKS:
        found += check(subject)
    return Preflight(
        findings=tuple(found), inputs=loaded.inputs(), subject=subject, contamination=loaded.contamination
    )


def _count_rows(loaded: Loaded) -> dict[Stage, int]:
    """Return the number of training rows of each stage whose data is there."""
    rows: dict[Stage, int] = {}
    for stage in loaded.recipe.stages:
        table = getattr(loaded.recipe, stage)
        if stage == "rlvr":
            if loaded.tasks:
                rows[stage] = len(loaded.tasks.split.train)
        elif loaded.data:
            targets = sft_targets(table, loaded.data) if isinstance(table, SftTable) else loaded.data.train
            rows[stage] = len(targets)
    return rows


def _local_model(recipe: Recipe) -> tuple[CheckedModel | None, list[Finding]]:
    """Return the model if it is on this machine; else say which checks are left out."""
    name = recipe.model.name
    try:
        described = check_model(name)
    except ModelError as problem:
        return None, [error(f"model.name: {problem}")]
    path = local_model_path(name) or _in_hub_cache(name)
    if path is None:
        return None, [
            note(
                f"not checked, as the model {described} is not on this machine: its chat template, tokens and context, "
                f"cut completions, adapters and memory; to check them fetch its small files first, e.g. `hf download "
                f"{name} --exclude '*.safetensors'`"
            )
        ]
    model, found = _model(recipe, lambda: path)
    return model, [note(f"model: {described}"), *found]


def _in_hub_cache(name: str) -> str | None:
    found = try_to_load_from_cache(name, "config.json")
    return str(Path(found).parent) if isinstance(found, str) else None


def _model(recipe: Recipe, find: Callable[[], str]) -> tuple[CheckedModel | None, list[Finding]]:
    """Return chat template, configuration and outline of a model, and what is to be known of them."""
    found: list[Finding] = []
    table = recipe.model
    try:
        path = find()
        chat = recipe_chat(recipe, path)
        found += map(warning, model_warnings(path))
    except ModelError as problem:
        return None, [error(f"model.name: {problem}")]
    found += [note(f"model: {text}") for text in chat_notes(chat)]
    config, refused = _of_model(lambda: load_config(path, table.options), found) or (None, [])
    found += [
        error(
            f"model.options.{name}: neither an option of transformers' from_pretrained nor a key of this model's "
            f"configuration ({type(config).__name__}); remove it"
        )
        for name in refused
    ]
    lora = table.lora.model_dump() if table.lora else None
    made = _of_model(lambda: outline(config, dtype=table.dtype, lora=lora), found) if config else None
    return CheckedModel(path=path, chat=chat, config=config, outline=made), found


def _of_model(load: Callable[[], T], found: list[Finding]) -> T | None:
    try:
        return load()
    except ModelError as problem:
        text = str(problem)
        found.append(error(text if text.startswith("model") else f"model: {text}"))
    except (
        RuntimeError
    ) as problem:  # a model that reads values of its weights while it is made: "meta" has none
        found.append(
            note(
                f"not checked, as this model cannot be laid out without its weights ({problem}): adapters and memory"
            )
        )
    return None

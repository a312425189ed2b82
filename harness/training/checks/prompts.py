"""Does the model's chat template render the prompts, and do prompts and completions fit into its limits?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trl import GRPOConfig

from harness.config.stages import Stage
from harness.config.tables import SftTable
from harness.data.split import evenly
from harness.data.step_data import StepData
from harness.data.trl_rows import step_completion
from harness.training.checks.base import (
    Finding,
    Lengths,
    Subject,
    error,
    graded,
    note,
    percent,
    spread,
    warning,
)
from harness.training.outcomes.base import ids
from srl_agent.context_length import context_length
from srl_agent.formats import Message
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.generation.chat import Chat, target_problem, template_problems
from srl_agent.generation.types import ModelError
from srl_agent.steps import StepRef, truncate_middle

_MEASURED = 400  # completions, evenly spread
_PROMPTS = 100  # prompts, which are longer
_TOO_MANY = 0.1  # cut completions of the expert
_SHOWN = 1200  # characters of a prompt


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt, and what is learned or scored after it."""

    prompt: Sequence[Message]
    completion: str | None  # None: there is no expert's
    is_step: bool = False  # the completion is an action of the recipe's format


def stage_rows(stage: Stage, subject: Subject, limit: int) -> list[Row]:
    """Return at most ``limit`` training rows of a stage, evenly spread; none without its data."""
    data, tasks = subject.data, subject.tasks
    if stage == "rlvr":
        names = evenly(ids(tasks.split.train), limit) if tasks else []
        return [Row(prompt=tasks.prompt(name), completion=None) for name in names] if tasks else []
    if data is None:
        return []
    table = getattr(subject.recipe, stage)
    rows = []
    if not isinstance(table, SftTable) or "steps" in table.targets:
        rows += [_step_row(data, ref) for ref in evenly(data.train, limit)]
    if (
        isinstance(table, SftTable)
        and "solutions" in table.targets
        and data.action_format.name == "math-step"
    ):
        solved = map(data.trajectory, evenly(data.train_trajectories, limit))
        rows += [
            Row(prompt=solution_prompt(one.task), completion=solution_text(one.steps))
            for one in solved
            if all(step.target for step in one.steps)
        ]
    return rows


def _step_row(data: StepData, ref: StepRef) -> Row:
    example = data.example(ref)
    completion = step_completion(example, data.action_format, data.settings)
    return Row(prompt=example.prompt, completion=completion, is_step=True)


def check_template(subject: Subject) -> Iterator[Finding]:
    """Render one row of each stage with the chat template, and show it with its special tokens."""
    if subject.model is None:
        return
    chat = subject.model.chat
    shown: dict[str, Stage] = {}
    for stage in subject.recipe.stages:
        for row in stage_rows(stage, subject, 1):
            try:
                yield from _problems(stage, row, chat, subject.data)
                text = chat.render(row.prompt)
            except ModelError as problem:
                yield error(f"{stage}: {problem}")
                continue
            if (other := shown.setdefault(text, stage)) == stage:
                yield note(
                    f"{stage}: the first prompt, as the model reads it:\n{truncate_middle(text, _SHOWN)}"
                )
            else:
                yield note(f"{stage}: the first prompt is that of {other}")
            if row.completion is not None:
                yield from _shown_completion(stage, row, chat)


def _problems(stage: Stage, row: Row, chat: Chat, data: StepData | None) -> Iterator[Finding]:
    """Check a row's text. An expert's completion that counts as malformed is an error, other changes are warnings."""
    if not row.is_step or row.completion is None or data is None:
        return
    malformed = target_problem(chat, row.prompt, row.completion, data.action_format)
    if malformed:
        yield error(f"{stage}: {malformed}")
    for problem in template_problems(chat, row.prompt, row.completion, data.action_format):
        if problem != malformed:
            yield warning(f"{stage}: {problem}")


def _shown_completion(stage: Stage, row: Row, chat: Chat) -> Iterator[Finding]:
    assert row.completion is not None
    ids = chat.target_ids(chat.prompt_ids(row.prompt), row.completion)
    text = str(chat.tokenizer.decode(ids[:-1] if stage == "srl" else ids, skip_special_tokens=False))
    what = "the expert's completion" if stage == "srl" else "its target"
    yield note(f"{stage}: {what}:\n{truncate_middle(text, _SHOWN)}")


def measure(subject: Subject) -> dict[Stage, Lengths]:
    """Return the lengths of some rows of each stage."""
    found: dict[Stage, Lengths] = {}
    if subject.model is None:
        return found
    chat = subject.model.chat
    for stage in subject.recipe.stages:
        rows = stage_rows(stage, subject, _PROMPTS)
        try:
            prompts = chat.batch_ids([row.prompt for row in rows])
        except ModelError:  # check_template tells it
            continue
        pairs = zip(prompts, rows, strict=True)
        targets = [chat.target_ids(ids, row.completion) for ids, row in pairs if row.completion is not None]
        if rows:
            found[stage] = Lengths(prompts=[*map(len, prompts)], completions=[*map(len, targets)])
    return found


def check_lengths(subject: Subject) -> Iterator[Finding]:
    """Compare prompts with their completions, in tokens, with the model's context."""
    config = subject.model.config if subject.model else None
    context = context_length(config) if config else None
    for stage, lengths in subject.lengths.items():
        prompts, completions = lengths.prompts, lengths.completions
        expert = f"; the expert's completions: {spread(completions)}" if completions else ""
        yield note(f"{stage}: tokens of {len(prompts)} prompts: {spread(prompts)}{expert}")
        if context is not None:
            limit = _longest_completion(stage, subject)
            after = completions if limit is None else [limit] * len(prompts)
            yield from _beyond(stage, prompts, after, context, limit)


def _longest_completion(stage: Stage, subject: Subject) -> int | None:
    """Return the limit of the stage's completions in tokens; None where they are the expert's."""
    arguments = subject.arguments.get(stage)
    return arguments.max_completion_length if isinstance(arguments, GRPOConfig) else None


def _beyond(
    stage: Stage, prompts: Sequence[int], after: Sequence[int], context: int, limit: int | None
) -> Iterator[Finding]:
    pairs = list(zip(prompts, after, strict=False))
    alone = sum(prompt >= context for prompt, _ in pairs)
    over = sum(prompt + more > context for prompt, more in pairs)
    if not over:
        return
    what = "their targets" if limit is None else f"a completion of {limit:,}"
    longest = max(prompt + more for prompt, more in pairs)
    advice = "set steps.max_prompt_chars" if stage != "rlvr" else "leave out long tasks"
    advice += " or steps.max_observation_chars lower" if stage != "rlvr" else ""
    text = (
        f"{stage}: {over} of {len(pairs)} prompts ({percent(over, len(pairs))}) with {what} are longer than the "
        f"model's context of {context:,} tokens (the longest has {longest:,}; {alone} prompts are longer alone): the "
        f"model was not made for the positions beyond; {advice}, or take a model with a longer context"
    )
    yield graded(text, over / len(pairs))


def check_cut_completions(subject: Subject) -> Iterator[Finding]:
    """Warn of each limit that cuts more than a tenth of the expert's own actions: a cut one scores as malformed."""
    data, recipe = subject.data, subject.recipe
    if subject.model is None or data is None:
        return
    limits: list[tuple[str, int, Sequence[StepRef]]] = []
    if (longest := _longest_completion("srl", subject)) is not None and "srl" in recipe.stages:
        limits.append(("srl.trl.max_completion_length", longest, data.train))
    if recipe.validation.steps:
        limits.append(("validation.max_new_tokens", recipe.validation.max_new_tokens, data.validation))
    for setting, limit, refs in limits:
        rows = [_step_row(data, ref) for ref in evenly(refs, _MEASURED)]
        texts = [row.completion or "" for row in rows]
        encoded = subject.model.chat.tokenizer(texts, add_special_tokens=False)
        lengths = [len(ids) + 1 for ids in encoded["input_ids"]]  # and the end of the turn
        cut, count = sum(length > limit for length in lengths), len(lengths)
        if cut > _TOO_MANY * count:
            yield warning(
                f"{setting} is {limit} and cuts {cut} of {count} expert actions ({percent(cut, count)}, think span "
                f"included; the longest has {max(lengths)} tokens): the model cannot write them, and what is cut "
                "scores as a broken format"
            )

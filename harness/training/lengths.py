"""Warn where completions may not be as long as the expert's: a cut completion scores as a broken format."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from harness.config.tables import Recipe
from harness.data.split import evenly
from harness.data.step_data import StepData
from harness.data.trl_rows import step_completion
from harness.training.sampling import stage_sampling
from srl_agent.steps import StepRef

_STEPS = 400  # measured per side, evenly spread
_TOO_MANY = 0.1  # warn above this share of cut actions


def length_warnings(recipe: Recipe, data: StepData, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return one line for each limit that cuts more than a tenth of the expert's own actions."""
    limits: list[tuple[str, int, Sequence[StepRef]]] = []
    if "srl" in recipe.stages:
        longest = stage_sampling(recipe, "srl").max_tokens
        limits.append(("srl.trl.max_completion_length", longest, data.train))
    if recipe.validation.steps:
        limits.append(("validation.max_new_tokens", recipe.validation.max_new_tokens, data.validation))
    warnings = []
    for setting, limit, refs in limits:
        lengths = completion_lengths(evenly(refs, _STEPS), data, tokenizer)
        cut, count = sum(length > limit for length in lengths), len(lengths)
        if cut > _TOO_MANY * count:
            warnings.append(
                f"{setting} is {limit} and cuts {cut} of {count} expert actions ({100 * cut / count:.0f} %, think span "
                f"included; the longest has {max(lengths)} tokens): the model cannot write them, and what is cut "
                "scores as a broken format"
            )
    return warnings


def completion_lengths(
    refs: Sequence[StepRef], data: StepData, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Return the number of tokens of the expert's completions as SFT would learn them, end token included."""
    texts = [step_completion(data.example(ref), data.action_format, data.settings) for ref in refs]
    return [len(ids) + 1 for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

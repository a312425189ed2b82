"""From one description of sampling to the engines' own, and the tokens that end a completion.

``generate`` of transformers fills every setting that its caller leaves open from the model's ``generation_config``,
also for TRL's calls: repetition penalties, banned n-grams, suppressed tokens. A model that learns from its samples must
not have them bent by a file that few people read: here a model keeps its end tokens in it, and nothing else.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from transformers import GenerationConfig

from srl_agent.generation.chat import Chat
from srl_agent.generation.types import Sampling
from srl_agent.prefix_sharing.kv_cache import without_adapter
from trajectories.types import JSON

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM

# Not about what is sampled: tokens, lengths, caches, and how the file came about.
_NEUTRAL = frozenset(
    {"eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id", "max_length", "max_new_tokens",
     "do_sample", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "compile_config",
     "disable_compile", "transformers_version", "_from_model_config", "_commit_hash"}
)  # fmt: skip


def own_ends_only(model: "CausalLM", chat: Chat | None = None) -> list[int]:
    """Leave nothing in a model's ``generation_config`` but its tokens; return every token that ends a completion.

    They are the tokenizer's end token, the template's end of a turn (both with ``chat``), and all that the model's
    ``generation_config`` and ``config`` name. Checkpoints are saved with them, so that servers end where training did.
    """
    base = without_adapter(model)
    old = base.generation_config
    own = ids_of(old.eos_token_id, base.config.get_text_config().eos_token_id)
    ends = ids_of(*((chat.tokenizer.eos_token_id, chat.turn_end) if chat else ()), own)
    pad = chat.tokenizer.pad_token_id if chat else old.pad_token_id
    # A negative number is no token; with it, a checkpoint could not be saved.
    base.generation_config = GenerationConfig(
        eos_token_id=ends or None,
        pad_token_id=pad if pad is None or pad >= 0 else None,
        bos_token_id=old.bos_token_id,
    )
    return ends


def ids_of(*named: int | Sequence[int] | None) -> list[int]:
    """Return token ids without repetitions, from single ones and lists.

    >>> ids_of(2, None, [7, 2])
    [2, 7]
    """
    flat: Iterable[int] = (
        i for ids in named if ids is not None for i in ([ids] if isinstance(ids, int) else ids)
    )
    return list(dict.fromkeys(flat))


def asked_settings(config: GenerationConfig) -> dict[str, JSON]:
    """Return what a model's ``generation_config`` asks of sampling, except temperature 1 and the like."""
    usual = {**config._get_default_generation_params(), "top_k": 0}
    return {
        key: value
        for key, value in config.to_diff_dict().items()
        if key not in _NEUTRAL and value is not None and value is not False and value != usual.get(key)
    }


def transformers_settings(sampling: Sampling, ends: Sequence[int], pad: int | None) -> GenerationConfig:
    """Return the settings of one call of ``generate``."""
    greedy = sampling.temperature == 0
    filters = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,  # not left open: transformers' default keeps the 50 most likely tokens
        "min_p": sampling.min_p or None,
    }
    return GenerationConfig(
        do_sample=not greedy,
        max_new_tokens=sampling.max_tokens,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=list(ends),
        pad_token_id=pad,
        stop_strings=list(sampling.stop) or None,
        use_cache=True,
        **({} if greedy else filters),
    )


def vllm_settings(sampling: Sampling, ends: Sequence[int]) -> dict[str, JSON]:
    """Return the arguments of vLLM's ``SamplingParams``, all but the number of samples."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "stop_token_ids": list(ends),
        "seed": sampling.seed,
    }

"""Load tokenizers and models: all weights, or a LoRA adapter on frozen ones."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from srl_agent.generation.chat import TEMPLATE_DATE, Chat, make_chat
from srl_agent.generation.settings import asked_settings, ids_of, own_ends_only
from srl_agent.generation.shared_prefix_decoding import add_decoding
from srl_agent.models.packaged import ModelError
from srl_agent.prefix_sharing.cpu_attention import use_blocked_attention
from trajectories.types import JSON

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM

logger = logging.getLogger(__name__)


def load_chat(
    path: str, *, template_kwargs: Mapping[str, JSON] | None = None, today: date = TEMPLATE_DATE
) -> Chat:
    """Load the model's tokenizer with its chat template, as ``make_chat`` describes it. Raises ModelError."""
    return make_chat(load_tokenizer(path), template_kwargs=template_kwargs, today=today)


def model_warnings(path: str) -> list[str]:
    """Return a line for what a model's ``generation_config`` asks of sampling, which is not obeyed.

    Raises ModelError.
    """
    asked = asked_settings(_saved_settings(path))
    if not asked:
        return []
    listed = ", ".join(f"{key}={value}" for key, value in asked.items())
    return [
        f"model {path!r}: its generation_config asks for {listed}: not obeyed, and not saved with checkpoints; "
        "model.generation sets what applies"
    ]


def load_policy_chat(
    path: str, template_kwargs: Mapping[str, JSON] | None, template_date: str | None
) -> Chat:
    """Load the chat template of a policy, and log the model's warnings. Raises ModelError."""
    try:
        today = date.fromisoformat(template_date) if template_date else TEMPLATE_DATE
    except ValueError as error:
        raise ModelError(f"template_date {template_date!r}: write it as 2026-01-31") from error
    chat = load_chat(path, template_kwargs=template_kwargs, today=today)
    for warning in model_warnings(path):
        logger.warning("%s", warning)
    return chat


def declared_ends(path: str) -> list[int]:
    """Return the end tokens that a model's files name beside its tokenizer. Raises ModelError."""
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"configuration of model {path!r}: {str(error).splitlines()[0]}") from error
    return ids_of(_saved_settings(path).eos_token_id, config.get_text_config().eos_token_id)


def _saved_settings(path: str) -> GenerationConfig:
    """Return a model's ``generation_config``, an empty one if it has none. Raises ModelError."""
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return GenerationConfig()
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"model {path!r}: its generation_config.json is invalid: {reason}") from error


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Load the model's tokenizer, with a pad token. Raises ModelError, also if it has no chat template."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"tokenizer of model {path!r}: {str(error).splitlines()[0]}") from error
    if tokenizer.chat_template is None:
        raise ModelError(f"model {path!r}: its tokenizer has no chat template; use an instruct model")
    if tokenizer.eos_token is None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(make_chat(tokenizer).turn_end)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(
    path: str, *, dtype: str, lora: Mapping[str, JSON] | None, adapter: str | None = None, **options: object
) -> "CausalLM":
    """Load the model to train: all weights, or a LoRA adapter on frozen ones. Its ``generate`` shares prompts.

    Of its ``generation_config`` only end tokens are left.

    ``adapter``: folder of an adapter to continue training; ``lora``: settings of a new one (those of peft's
    ``LoraConfig``, and ``last_layers``). ``options`` go to ``from_pretrained``. Raises ModelError.
    """
    model = _load_base(path, dtype, options)
    if adapter is not None:
        return _load_adapter(model, adapter)
    return model if lora is None else add_adapter(model, lora)


def _load_base(path: str, dtype: str, options: Mapping[str, object]) -> "CausalLM":
    try:
        loaded = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {path!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    model = cast("CausalLM", loaded)
    model.config.use_cache = True
    own_ends_only(model)
    text_config = model.config.get_text_config()
    if hasattr(text_config, "output_router_logits"):  # as TRL saves it; generate fails with it
        text_config.output_router_logits = False
    if not torch.accelerator.is_available():
        use_blocked_attention(model)
    add_decoding(model)
    return model


def _load_adapter(model: "CausalLM", adapter: str) -> "CausalLM":
    try:
        return cast("CausalLM", PeftModel.from_pretrained(model, adapter, is_trainable=True))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {adapter!r} cannot be loaded: {str(error).splitlines()[0]}") from error


def add_adapter(model: "CausalLM", lora: Mapping[str, JSON]) -> "CausalLM":
    config = _lora_config(model, **lora)
    targets = config.target_modules
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"model.lora: {str(error).splitlines()[0]}") from error
    _check_adapters(adapted, targets)
    return cast("CausalLM", adapted)


def _lora_config(model: PreTrainedModel, *, last_layers: int | None = None, **settings: JSON) -> LoraConfig:
    """Return peft's configuration, for all layers or for the last ones."""
    layers = model.config.get_text_config().num_hidden_layers
    if last_layers is not None and last_layers < layers:
        settings["layers_to_transform"] = list(range(layers - last_layers, layers))
        if settings.get("target_modules") == "all-linear":
            if any(".experts." in name and weight.ndim == 3 for name, weight in model.named_parameters()):
                raise ModelError(
                    "model.lora.last_layers: the experts of this model are no linear modules, so all-linear would skip"
                    " them; name the modules in target_modules, e.g. [q_proj, k_proj, v_proj, o_proj]"
                )
            # peft does not accept "all-linear" together with the numbers of layers.
            head = model.get_output_embeddings()
            settings["target_modules"] = sorted(
                {
                    name.rpartition(".")[2]
                    for name, module in model.named_modules()
                    if isinstance(module, torch.nn.Linear) and module is not head
                }
            )
    return LoraConfig(task_type="CAUSAL_LM", **settings)


def _check_adapters(model: PeftModel, targets: str | Sequence[str] | None) -> None:
    """Raise ModelError unless the adapters are in the requested layers only.

    peft 0.21 turns names and patterns of a mixture of experts into names of parameters, which it adapts in all layers.
    """
    config = model.peft_config[model.active_adapter]
    if isinstance(targets, str) and targets != "all-linear" and config.target_modules != targets:
        raise ModelError(
            f"model.lora.target_modules: peft takes the pattern {targets!r} for names of modules of this mixture of"
            " experts, in all layers; give a list of names"
        )
    if not config.layers_to_transform:
        return
    for name, _ in model.named_parameters():
        module = name.partition(".lora_")[0].removeprefix("base_model.model.")
        number = re.search(r"\.(\d+)\.", module)
        if ".lora_" in name and number and int(number[1]) not in config.layers_to_transform:
            raise ModelError(
                f"model.lora.last_layers: peft adapts {module.removesuffix('.base_layer')} as well, as it does not"
                " count layers for experts; remove their names from target_modules, or remove last_layers"
            )

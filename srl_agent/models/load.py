"""Load tokenizers and models: all weights, or a LoRA adapter on frozen ones."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from srl_agent.generation.shared_prefix_decoding import add_decoding
from srl_agent.models.packaged import ModelError
from srl_agent.prefix_sharing.cpu_attention import use_blocked_attention
from trajectories.types import JSON

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Load the model's tokenizer, with a pad token. Raises ModelError, also if it has no chat template."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"tokenizer of model {path!r}: {str(error).splitlines()[0]}") from error
    if tokenizer.chat_template is None:
        raise ModelError(f"model {path!r}: its tokenizer has no chat template; use an instruct model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(
    path: str, *, dtype: str, lora: Mapping[str, JSON] | None, adapter: str | None = None, **options: object
) -> "CausalLM":
    """Load the model to train: all weights, or a LoRA adapter on frozen ones. Its ``generate`` shares prompts.

    ``adapter``: folder of an adapter to continue training; ``lora``: settings of a new one (those of peft's
    ``LoraConfig``, and ``last_layers``). ``options`` go to ``from_pretrained``. Raises ModelError.
    """
    model = _load_base(path, dtype, options)
    if adapter is not None:
        return _load_adapter(model, adapter)
    return model if lora is None else _new_adapter(model, lora)


def _load_base(path: str, dtype: str, options: Mapping[str, object]) -> "CausalLM":
    try:
        loaded = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {path!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    model = cast("CausalLM", loaded)
    model.config.use_cache = True
    if not torch.accelerator.is_available():
        use_blocked_attention(model)
    add_decoding(model)
    return model


def _load_adapter(model: "CausalLM", adapter: str) -> "CausalLM":
    try:
        return cast("CausalLM", PeftModel.from_pretrained(model, adapter, is_trainable=True))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {adapter!r} cannot be loaded: {str(error).splitlines()[0]}") from error


def _new_adapter(model: "CausalLM", lora: Mapping[str, JSON]) -> "CausalLM":
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

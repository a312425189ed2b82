"""A model without its weights: its layers and sizes, to check settings before gigabytes are loaded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers import PreTrainedConfig as Config

from srl_agent.models.load import add_adapter
from srl_agent.models.packaged import ModelError
from trajectories.types import JSON

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM

# Options that transformers' from_pretrained takes itself; all others are keys of the model's configuration.
_OPTIONS = frozenset(
    {"adapter_kwargs", "allow_all_kernels", "attn_implementation", "cache_dir", "code_revision", "device_map",
     "device_mesh", "distributed_config", "dtype", "experts_implementation", "force_download", "generation_config",
     "gguf_file", "ignore_mismatched_sizes", "kernel_config", "key_mapping", "local_files_only", "low_cpu_mem_usage",
     "max_memory", "offload_buffers", "offload_folder", "offload_state_dict", "proxies", "quantization_config",
     "revision", "subfolder", "token", "torch_dtype", "tp_plan", "tp_size", "trust_remote_code", "use_kernels",
     "use_safetensors", "variant", "weights_only"}
)  # fmt: skip


def load_config(path: str, options: Mapping[str, object]) -> tuple[Config, list[str]]:
    """Return the configuration as ``from_pretrained(path, **options)`` reads it, and the options that it would refuse.

    Raises ModelError.
    """
    try:
        config, unused = AutoConfig.from_pretrained(path, return_unused_kwargs=True, **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {path!r}: {str(error).splitlines()[0]}") from error
    assert isinstance(config, Config)
    return config, sorted(unused.keys() - _OPTIONS)


def outline(config: Config, *, dtype: str, lora: Mapping[str, JSON] | None) -> PreTrainedModel:
    """Return the model of a configuration on the device ``meta``, with a new adapter if ``lora`` has its settings.

    Raises ModelError for settings that loading would refuse.
    """
    try:
        # The generator's state is kept: a run draws its adapter from it later.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
            return model if lora is None else add_adapter(cast("CausalLM", model), lora)
    except (ImportError, ValueError) as error:
        raise ModelError(str(error).splitlines()[0]) from error

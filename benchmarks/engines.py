"""Split the weights of a trainer over processes as accelerate's launcher does, on a CPU too: FSDP2, DeepSpeed ZeRO-3.

Call :func:`use_engine` in each process of ``torchrun`` before the trainer's arguments are made.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

_CONFIGURATIONS = Path(__file__).parents[1] / "harness/recipes/accelerate"
ENGINES = ("ddp", "fsdp2", "zero3")


def use_engine(name: str, *, on_cpu: bool = True) -> dict[str, Any]:
    """Choose the engine of this process; return what ``TrainingArguments`` need for it."""
    if name == "ddp":
        return {"use_cpu": on_cpu}
    table = yaml.safe_load((_CONFIGURATIONS / f"{name}.yaml").read_text(encoding="utf-8"))
    if name == "fsdp2":
        os.environ["ACCELERATE_USE_FSDP"] = "true"
        os.environ.update({key.upper(): str(value) for key, value in table["fsdp_config"].items()})
        if on_cpu:
            _let_accelerate_shard_on_cpu()
        return {"use_cpu": on_cpu}
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    if on_cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    for key, value in table["deepspeed_config"].items():
        os.environ[f"ACCELERATE_DEEPSPEED_{key.removesuffix('_flag')}".upper()] = str(value).lower()
    # Where a CPU is asked for by name, accelerate leaves DeepSpeed out.
    return {"use_cpu": False, "ddp_backend": "gloo" if on_cpu else None}


def _let_accelerate_shard_on_cpu() -> None:
    """Torch shards on a CPU; accelerate 1.15 takes its plug-in for accelerators only."""
    plain = AcceleratorState.__init__

    def init(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        # Each later AcceleratorState() reads the type of the processes anew.
        plugin = kwargs.get("fsdp_plugin") or vars(self).get("fsdp_plugin")
        if plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin

    AcceleratorState.__init__ = init

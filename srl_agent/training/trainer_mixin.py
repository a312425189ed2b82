"""Shared by the SFT and SRL trainers: our validation, and checkpoints that are marked when complete."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import PreTrainedModel, Trainer
from trl import GRPOConfig, SFTConfig

from srl_agent.training.lm_head import fit_lm_head_to_cpu
from srl_agent.training.lora_product import fuse_lora
from srl_agent.training.router_loss import explicit_router_loss
from trajectories.types import JSON

COMPLETE = "complete.json"  # written last; a checkpoint without it is incomplete

Validate = Callable[[Trainer], dict[str, float]]  # the trainer -> metrics

if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object


def latest_checkpoint(stage_dir: Path) -> Path | None:
    """Return the newest complete checkpoint of a stage, or None."""
    complete = [path.parent for path in stage_dir.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def remove_partial_checkpoints(stage_dir: Path) -> list[Path]:
    """Delete incomplete checkpoints, which a killed run leaves; return their paths."""
    partial = [path for path in stage_dir.glob("checkpoint-*") if not (path / COMPLETE).exists()]
    for path in partial:
        shutil.rmtree(path)
    return partial


class CheckpointMixin(_Base):
    """A mixin for subclasses of transformers' ``Trainer``: list it before the trainer in the bases."""

    model: nn.Module
    validate: Validate | None

    def __init__(self, *, model: PreTrainedModel, args: SFTConfig | GRPOConfig, **kwargs: Any) -> None:
        fit_lm_head_to_cpu()
        with explicit_router_loss(args, model):
            super().__init__(model=model, args=args, **kwargs)
        fuse_lora(self.model)

    def evaluate(self, *args: object, **kwargs: object) -> dict[str, float]:
        """Run our validation in place of the trainer's; log it and select the best checkpoint as usual."""
        if self.validate is None:
            return {}
        self.model.eval()  # TRL's log() files what is logged now under evaluation
        metrics = self.validate(self)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics

    def resume_state(self) -> dict[str, JSON]:
        """Return the state to restore beside weights, optimizer, scheduler and random states."""
        return {}

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            temporary = folder / f".{COMPLETE}"
            temporary.write_text(json.dumps({"step": self.state.global_step, **self.resume_state()}))
            temporary.replace(folder / COMPLETE)

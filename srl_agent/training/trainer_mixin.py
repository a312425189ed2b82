"""Shared by the SFT and SRL trainers: our validation, and checkpoints that hold what they say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME  # type: ignore[attr-defined]
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
    steps = complete_checkpoints(stage_dir)
    return steps[max(steps)] if steps else None


def complete_checkpoints(stage_dir: Path) -> dict[int, Path]:
    """Return the folders of a stage's complete checkpoints by step."""
    complete = [path.parent for path in stage_dir.glob(f"checkpoint-*/{COMPLETE}")]
    return {int(path.name.rpartition("-")[2]): path for path in complete}


def remove_partial_checkpoints(stage_dir: Path) -> list[Path]:
    """Delete incomplete checkpoints, which a killed run leaves; return their paths."""
    partial = [path for path in stage_dir.glob("checkpoint-*") if not (path / COMPLETE).exists()]
    for path in partial:
        shutil.rmtree(path)
    return partial


class CheckpointMixin(_Base):
    """A mixin for subclasses of transformers' ``Trainer``: list it before the trainer in the bases.

    ``save_best``: save a checkpoint whenever a validation is the best so far, beside those that ``save_strategy`` asks
    for.
    """

    model: nn.Module
    validate: Validate | None

    def __init__(
        self, *, model: PreTrainedModel, args: SFTConfig | GRPOConfig, save_best: bool = False, **kwargs: Any
    ) -> None:
        fit_lm_head_to_cpu()
        self._save_best = save_best
        self._validated: tuple[int, dict[str, float]] | None = None  # the last step, and its metrics
        with explicit_router_loss(args, model):
            super().__init__(model=model, args=args, **kwargs)
        if self.args.device.type == "cpu":
            # Among several processes it is cpu:0, to which torch cannot load the state of an optimizer.
            self.args.__dict__["_setup_devices"] = torch.device("cpu")
        fuse_lora(self.model)

    def evaluate(self, *args: object, **kwargs: object) -> dict[str, float]:
        """Run our validation in place of the trainer's; log it and select the best checkpoint as usual."""
        if self.validate is None:
            return {}
        step = self.state.global_step
        if (
            self._validated is not None and self._validated[0] == step
        ):  # at the end of the step and of the epoch
            return self._validated[1]
        self.model.eval()  # TRL's log() files what is logged now under evaluation
        metrics = self.validate(self)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        self._validated = step, metrics
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: object) -> bool:
        """Save what is the best so far: the trainer itself saves at steps of its own, or not at all."""
        if self.args.metric_for_best_model not in metrics:  # accuracy, where no answer could be verified
            return False
        is_best: bool = super()._determine_best_metric(metrics, trial)
        if is_best and self._save_best:
            self.state.best_global_step = self.state.global_step
            self.control.should_save = True
        return is_best

    def save_last(self) -> None:
        """Save the last weights, unless they are saved. Call it on all processes after ``train``."""
        self.accelerator.wait_for_everyone()
        folder = Path(self._get_output_dir(trial=None))
        if not broadcast_object_list([self.state.global_step in complete_checkpoints(folder)])[0]:
            self._save_checkpoint(self.model, None)

    def resume_state(self) -> dict[str, JSON]:
        """Return the state to restore beside weights, optimizer, scheduler and random states."""
        return {}

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load the adapter in training too: of several adapters transformers loads those in subfolders only.

        TRL adds a second one, the reference of the KL term.
        """
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        adapted = self.model if model is None else model
        weights = Path(resume_from_checkpoint) / ADAPTER_SAFE_WEIGHTS_NAME
        if (
            isinstance(adapted, PeftModel)
            and len(adapted.peft_config) > 1
            and weights.exists()
            and not self.is_fsdp_enabled
        ):
            adapted.load_adapter(resume_from_checkpoint, adapted.active_adapter, is_trainable=True)

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        output = Path(self._get_output_dir(trial=trial))
        folder = output / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            (folder / COMPLETE).unlink(missing_ok=True)  # where a step is saved again, after its validation
        if self.state.best_global_step:  # kept when older ones are deleted
            self.state.best_model_checkpoint = str(output / f"checkpoint-{self.state.best_global_step}")
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            temporary = folder / f".{COMPLETE}"
            temporary.write_text(json.dumps({"step": self.state.global_step, **self.resume_state()}))
            temporary.replace(folder / COMPLETE)

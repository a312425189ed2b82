"""What our two trainers share: validation of ours, and checkpoints that say when they are whole."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srl_agent.training.lm_head import fit_lm_head_to_cpu
from srl_agent.training.lora_product import fuse_lora

COMPLETE = "complete.json"  # written last; a checkpoint without it was cut off


def latest_checkpoint(stage_dir: Path) -> Path | None:
    """The newest whole checkpoint of a stage, or None."""
    whole = [path.parent for path in stage_dir.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def remove_partial_checkpoints(stage_dir: Path) -> list[Path]:
    """Delete checkpoints that a kill cut off; returns them."""
    partial = [path for path in stage_dir.glob("checkpoint-*") if not (path / COMPLETE).exists()]
    for path in partial:
        shutil.rmtree(path)
    return partial


class CheckpointMixin:
    """For subclasses of transformers' ``Trainer``: put before it in the bases."""

    validate: Callable[[Any], dict[str, float]] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fit_lm_head_to_cpu()
        super().__init__(*args, **kwargs)
        trainer: Any = self
        fuse_lora(trainer.model)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Our validation in place of the trainer's; it logs and selects the best checkpoint as usual."""
        trainer: Any = self
        if trainer.validate is None:
            return {}
        trainer.model.eval()  # TRL's log() files what is logged now under evaluation
        metrics: dict[str, float] = trainer.validate(trainer)
        trainer.log(dict(metrics))
        trainer.control = trainer.callback_handler.on_evaluate(
            trainer.args, trainer.state, trainer.control, metrics
        )
        trainer.model.train()
        return metrics

    def resume_state(self) -> dict[str, Any]:
        """What the trainer must find again beside weights, optimizer, scheduler and random states."""
        return {}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        trainer: Any = self
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            folder = Path(trainer._get_output_dir(trial=trial)) / f"checkpoint-{trainer.state.global_step}"
            temporary = folder / f".{COMPLETE}"
            temporary.write_text(json.dumps({"step": trainer.state.global_step, **self.resume_state()}))
            temporary.replace(folder / COMPLETE)

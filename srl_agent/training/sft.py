"""Supervised fine-tuning on the same steps: the control, and the warm start."""

from collections.abc import Callable
from typing import Any

from trl import SFTConfig, SFTTrainer

from srl_agent.training.checkpoints import CheckpointMixin


class StepSFTTrainer(CheckpointMixin, SFTTrainer):
    """TRL's ``SFTTrainer`` over rows of ``input_ids`` and ``labels`` that are tokenized when they are read.

    ``validate`` is the one of :class:`srl_agent.training.srl.SRLTrainer`. The loss is over the completion only.
    """

    def __init__(
        self, *, args: SFTConfig, validate: Callable[[Any], dict[str, float]] | None = None, **kwargs: Any
    ) -> None:
        self.validate = validate
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        super().__init__(args=args, **kwargs)

"""Supervised fine-tuning on the same steps: the control, and the warm start."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer

from srl_agent.prefix_sharing.logprobs import prepare_sharing
from srl_agent.prefix_sharing.sft_labels import add_shared_labels
from srl_agent.training.batches import EpochSampler
from srl_agent.training.dynamic_sampling import shuffled_rows
from srl_agent.training.trainer_mixin import CheckpointMixin


class StepSFTTrainer(CheckpointMixin, SFTTrainer):
    """TRL's ``SFTTrainer`` over rows of ``input_ids`` and ``labels`` that are tokenized when they are read.

    ``validate`` is the one of :class:`srl_agent.training.srl.SRLTrainer`. The loss is over the completion only.
    ``trajectories`` names the trajectory of each row, where ``steps_per_trajectory`` keeps steps of one together.
    """

    def __init__(
        self,
        *,
        args: SFTConfig,
        validate: Callable[[Any], dict[str, float]] | None = None,
        trajectories: Sequence[str] = (),
        steps_per_trajectory: int = 1,
        share_prefixes: bool = True,
        tokens_per_call: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.validate = validate
        self._trajectories = trajectories
        self._together = steps_per_trajectory
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        super().__init__(args=args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        if share_prefixes and prepare_sharing(self, model, tokens_per_call=tokens_per_call):
            add_shared_labels(model.get_base_model() if hasattr(model, "get_base_model") else model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self._together == 1:
            return super()._get_train_sampler(train_dataset)
        return EpochSampler(range(len(self._trajectories)), self._order)

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.args.seed + epoch)
        return shuffled_rows(
            self._trajectories, self._together, lambda n: torch.randperm(n, generator=generator).tolist()
        )

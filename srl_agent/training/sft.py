"""Supervised fine-tuning on the same steps: the control, and the warm start of SRL."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Sampler
from trl import SFTConfig, SFTTrainer

from srl_agent.context_length import check_context
from srl_agent.prefix_sharing.kv_cache import without_adapter
from srl_agent.prefix_sharing.logprobs import prepare_sharing
from srl_agent.prefix_sharing.sft_labels import add_shared_labels
from srl_agent.training.batches import EpochSampler, epoch_order
from srl_agent.training.trainer_mixin import CheckpointMixin, Validate
from trajectories.types import JSON


class StepSFTTrainer(CheckpointMixin, SFTTrainer):
    """TRL's ``SFTTrainer`` over rows of ``input_ids`` and ``labels`` that are tokenized when they are read.

    ``validate`` is called with the trainer in place of an evaluation loop and returns metrics. The loss is over the
    completion only; a row beyond the model's context raises ContextError. With ``steps_per_trajectory`` > 1,
    ``trajectories`` names the trajectory of each row, and that many consecutive
    steps of one trajectory are adjacent in the order of the rows.
    """

    def __init__(
        self,
        *,
        args: SFTConfig,
        validate: Validate | None = None,
        trajectories: Sequence[str] = (),
        steps_per_trajectory: int = 1,
        share_prefixes: bool = True,
        **kwargs: Any,
    ) -> None:
        self.validate = validate
        self._trajectories = trajectories
        self._together = steps_per_trajectory
        self._config = kwargs["model"].config
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        super().__init__(args=args, **kwargs)
        self._collate = self.data_collator
        self.data_collator = self._checked
        model = self.accelerator.unwrap_model(self.model)
        if share_prefixes and prepare_sharing(self, model):
            add_shared_labels(without_adapter(model))

    def _checked(self, rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        """Collate rows. Raises ContextError."""
        check_context([len(row["input_ids"]) for row in rows], self._config, "training rows of a batch")
        batch: dict[str, Tensor] = self._collate(rows)
        return batch

    def _get_train_sampler(self, train_dataset: Dataset[JSON] | None = None) -> Sampler[int] | None:
        if self._together == 1:
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        return EpochSampler(range(len(self._trajectories)), self._order)

    def _order(self, epoch: int) -> list[int]:
        return epoch_order(self._trajectories, self._together, self.args.seed + epoch)

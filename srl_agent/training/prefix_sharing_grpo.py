"""TRL's GRPO with log-probabilities over unique tokens: each shared prefix is computed once."""

from typing import Any

from torch import Tensor, nn
from trl import GRPOTrainer

from srl_agent.prefix_sharing.logprobs import Scores, padded, prepare_sharing
from srl_agent.prefix_sharing.prefix_tree import rows_of
from srl_agent.training.batches import Batch, as_generated


class PrefixSharingGRPOTrainer(GRPOTrainer):
    """TRL's ``GRPOTrainer``, at equal loss and gradient.

    ``share_prefixes`` False: TRL's own computation. All other arguments pass through.
    """

    _buffered_inputs: list[Batch] | None

    def __init__(self, *, share_prefixes: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        models = [m for m in (self.accelerator.unwrap_model(self.model), self.ref_model) if m is not None]
        self._shares = share_prefixes and prepare_sharing(self, *models)

    def _prepare_inputs(self, generation_batch: Batch) -> Batch:
        """Return TRL's inputs, with the rows of a group in the same micro-batch: TRL shuffles before it splits."""
        before = self._buffered_inputs
        inputs: Batch = super()._prepare_inputs(generation_batch)
        if not self._shares or self._buffered_inputs is None or self._buffered_inputs is before:
            return inputs
        mixed, size = self._buffered_inputs, self.args.gradient_accumulation_steps
        updates = [mixed[start : start + size] for start in range(0, len(mixed), size)]
        self._buffered_inputs = [batch for update in updates for batch in as_generated(update)]
        current: int = self._step % self.args.steps_per_generation
        return self._buffered_inputs[current]

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **more: object,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return TRL's log-probabilities and entropies, (B, logits_to_keep), zero at padding, and auxiliary loss."""
        completions = attention_mask[:, -logits_to_keep:].bool()
        if not self._shares or compute_aux_loss:
            plain: tuple[Tensor, Tensor | None, Tensor | None]
            options = (batch_size, compute_entropy, compute_aux_loss)
            plain = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *options, **more
            )
            return plain
        rows = rows_of(input_ids, attention_mask, logits_to_keep)
        # A chunk holds whole groups, whose completions share a prompt.
        groups = -(-(batch_size or len(rows)) // self.num_generations)
        size = groups * self.num_generations
        scores: list[Scores] = []
        with self.accelerator.autocast():
            for start in range(0, len(rows), size):
                scores += model(shared_rows=rows[start : start + size])
        log_probs = padded([score.log_probs for score in scores], completions)
        if not compute_entropy:
            return log_probs, None, None
        entropies = [score.entropy for score in scores if score.entropy is not None]
        return log_probs, padded(entropies, completions), None

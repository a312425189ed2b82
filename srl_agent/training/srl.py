"""GRPO on expert steps with dynamic sampling: TRL's trainer, and what it lacks.

Narrow overrides. TRL generates, scores and trains on every group. Here a batch is sampled first: groups whose
rewards do not spread are dropped and the batch is filled up with fresh steps, up to a cap. TRL then gets the kept
groups as if it had generated them, so that its advantages, losses and metrics see nothing else. Log-probabilities are
computed over unique tokens: what prompts have in common is forwarded once. And the order of the rows is a function
of the epoch, so that a resumed run finds it again.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from trl import GRPOConfig, GRPOTrainer

from srl_agent.prefix_sharing.logprobs import padded, prepare_sharing
from srl_agent.prefix_sharing.prefix_tree import rows_of
from srl_agent.rewards import WeightedRewards
from srl_agent.training.batches import EpochSampler, as_generated, check_boundaries, check_together
from srl_agent.training.dynamic_sampling import (
    Group,
    NoSpreadError,
    RefillStream,
    Sample,
    SamplingSettings,
    SpreadTally,
    carries_only_format,
    reason_to_drop,
    rows_for_refill,
    shuffled_rows,
)
from srl_agent.training.memory import return_free_memory
from srl_agent.training.trainer_mixin import COMPLETE, CheckpointMixin

logger = logging.getLogger(__name__)

# Losses that average over rows: rows without a gradient would dilute them.
_ROW_MEAN_LOSSES = frozenset({"grpo", "sapo", "dr_grpo", "luspo"})


def _has_rows_only(inputs: Mapping[str, Any], rows: int) -> bool:
    """Whether each tensor with a dimension has one row for each completion, as images have not."""
    return all(
        isinstance(value, torch.Tensor) and (not value.ndim or len(value) == rows)
        for value in inputs.values()
    )


class SRLTrainer(CheckpointMixin, GRPOTrainer):
    """TRL's ``GRPOTrainer`` with dynamic sampling.

    ``train_dataset`` rows hold ``prompt`` and the columns that the rewards want; ``trajectories`` names the trajectory
    of each, where ``sampling.steps_per_trajectory`` keeps steps of one together. ``validate`` is called with the
    trainer in place of an evaluation loop and returns metrics. ``on_groups`` gets every group of a batch, kept or
    dropped, on the main process. All of ``GRPOTrainer``'s other arguments pass through.

    Raises ValueError where the settings would make a resumed run differ from an uninterrupted one; ``train`` raises
    NoSpreadError where every group of the whole training set was dropped.
    """

    _buffered_inputs: Any

    def __init__(
        self,
        *,
        rewards: WeightedRewards,
        sampling: SamplingSettings,
        format_error: Callable[[str], str | None],
        validate: Callable[[Any], dict[str, float]] | None = None,
        on_groups: Callable[[int, Sequence[Group]], None] | None = None,
        trajectories: Sequence[str] | None = None,
        share_prefixes: bool = True,
        tokens_per_call: int | None = None,
        args: GRPOConfig,
        **kwargs: Any,
    ) -> None:
        check_boundaries(args)
        check_together(sampling.steps_per_trajectory, args)
        self.validate = validate
        self._sampling = sampling
        self._format_error = format_error
        self._on_groups = on_groups
        self._pending: tuple[list[Sample], list[tuple[float | None, ...]]] | None = None
        self._loss_scale = 1.0
        args.reward_weights = [rewards.weights[name] for name in rewards.functions]
        super().__init__(reward_funcs=list(rewards.functions.values()), args=args, **kwargs)
        self.reward_func_names = list(rewards.functions)
        self._rewards = rewards
        self._trajectories = trajectories or [str(row) for row in range(len(self.train_dataset))]
        self._tally = SpreadTally()
        self._refill = RefillStream(self._trajectories, sampling.steps_per_trajectory, sampling.seed)
        models = [m for m in (self.accelerator.unwrap_model(self.model), self.ref_model) if m is not None]
        self._shares = share_prefixes and prepare_sharing(self, *models, tokens_per_call=tokens_per_call)

    # --- sampling -----------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        repeats = super()._get_train_sampler(dataset)
        if not repeats.shuffle:
            return repeats
        repeats.shuffle = False
        return EpochSampler(repeats, self._order)

    def _order(self, epoch: int) -> list[int]:
        """TRL's own in the first epoch, where steps are not kept together."""
        generator = torch.Generator().manual_seed(self.args.seed + epoch)
        together = self._sampling.steps_per_trajectory
        return shuffled_rows(
            self._trajectories, together, lambda n: torch.randperm(n, generator=generator).tolist()
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        slots = self._sample_batch(inputs)
        samples = [sample for group in slots for sample in group.samples]
        nothing = (None,) * len(self.reward_func_names)
        # A dropped group that only fills the batch counts as unjudged: no advantage, no part in any metric.
        parts = [s.parts if g.dropped is None else nothing for g in slots for s in g.samples]
        rows = [group.row for group in slots for _ in group.samples]
        start = self.accelerator.process_index * len(inputs)
        local = slice(start, start + len(inputs))
        self._pending = (samples[local], parts)
        try:
            output: dict[str, Any] = super()._generate_and_score_completions(rows[local])
        finally:
            self._pending = None
        output["row"] = torch.arange(len(inputs))
        return self._mask_dead_rows(output, parts, local)

    def _sample_batch(self, inputs: list[dict[str, Any]]) -> list[Group]:
        """Generate, drop and refill until the batch is full of kept groups or the rounds are used up.

        Returns the groups of the global batch, the same on every process: kept ones, and after them, where the
        cap was reached, dropped ones that fill the shape.
        """
        return_free_memory()
        processes = self.accelerator.num_processes
        wanted = len(inputs) * processes // self.num_generations
        kept: list[Group] = []
        dropped: list[Group] = []
        rounds = 0
        while len(kept) < wanted and rounds < max(self._sampling.max_rounds, 1):
            if rounds:
                inputs = self._draw(rows_for_refill(wanted - len(kept), self.num_generations, processes))
            for group in self._generate_groups(inputs, rounds):
                if group.dropped is None and len(kept) == wanted:
                    group = Group(row=group.row, samples=group.samples, round=rounds, dropped="surplus")
                (kept if group.dropped is None else dropped).append(group)
            rounds += 1
        self._record_sampling(kept, dropped, rounds, wanted)
        filler = (dropped or kept)[:1]
        fill = [
            Group(row=g.row, samples=g.samples, round=g.round, dropped="filler")
            for g in filler * (wanted - len(kept))
        ]
        return kept + fill

    def _draw(self, groups: int) -> list[dict[str, Any]]:
        """This process's rows of ``groups`` fresh steps; the stream moves on by the same on every process."""
        indices = [i for i in self._refill.take(groups) for _ in range(self.num_generations)]
        size = len(indices) // self.accelerator.num_processes
        start = self.accelerator.process_index * size
        return [self.train_dataset[index] for index in indices[start : start + size]]

    def _generate_groups(self, inputs: list[dict[str, Any]], round_number: int) -> list[Group]:
        """Complete and score this process's rows; all groups of all processes come back, in order."""
        prompts = [row["prompt"] for row in inputs]
        prompt_ids, images, fields = self._tokenize_prompts(prompts)
        token_ids, logprobs = super()._generate_single_turn(prompt_ids, images, fields, self.num_generations)
        texts = self.processing_class.batch_decode(token_ids, skip_special_tokens=True)
        columns = {key: [row[key] for row in inputs] for key in inputs[0] if key != "prompt"}
        columns["trainer_state"] = [self.state] * len(inputs)
        scores = self._rewards.score(texts, columns)
        local = [
            (
                row,
                Sample(
                    text=text,
                    token_ids=list(ids),
                    logprobs=None if logprobs is None else list(logprobs[i]),
                    parts=tuple(score.parts[name] for name in self.reward_func_names),
                    reward=score.total,
                    format_error=self._format_error(text),
                    clipped=bool(ids) and ids[-1] not in self.eos_token_ids,
                ),
            )
            for i, (row, text, ids, score) in enumerate(zip(inputs, texts, token_ids, scores, strict=True))
        ]
        everything = gather_object(local)
        groups = []
        for start in range(0, len(everything), self.num_generations):
            chunk = everything[start : start + self.num_generations]
            samples = tuple(sample for _, sample in chunk)
            reason = reason_to_drop([sample.reward for sample in samples], self._sampling.epsilon)
            groups.append(Group(row=chunk[0][0], samples=samples, round=round_number, dropped=reason))
        return groups

    def _record_sampling(self, kept: list[Group], dropped: list[Group], rounds: int, wanted: int) -> None:
        groups = [*kept, *dropped]
        samples = [sample for group in groups for sample in group.samples]
        signal = sum(group.dropped in (None, "surplus") for group in groups)
        valid = [s.reward for s in samples if s.format_error is None and s.reward is not None]
        metrics = self._metrics["train"]
        metrics["sampling/kept_fraction"].append(signal / len(groups))
        metrics["sampling/filled_fraction"].append(len(kept) / wanted)
        metrics["sampling/rounds"].append(float(rounds))
        metrics["sampling/groups"].append(float(len(groups)))
        metrics["sampling/tokens"].append(float(sum(len(sample.token_ids) for sample in samples)))
        metrics["sampling/clipped_fraction"].append(sum(sample.clipped for sample in samples) / len(samples))
        failures = sum(sample.format_error is not None for sample in samples)
        metrics["sampling/format_failure_rate"].append(failures / len(samples))
        if valid:
            metrics["sampling/reward_of_valid"].append(sum(valid) / len(valid))
        if kept:
            only = sum(carries_only_format(group.samples, self._sampling.epsilon) for group in kept)
            metrics["sampling/format_only_fraction"].append(only / len(kept))
        if len(kept) < wanted:
            logger.warning(
                "step %d: %d of %d groups carry a signal after %d rounds of sampling (kept %.0f %%); the update "
                "goes on with these",
                self.state.global_step + 1,
                len(kept),
                wanted,
                rounds,
                100 * signal / len(groups),
            )
        if self._on_groups is not None and self.accelerator.is_main_process:
            self._on_groups(self.state.global_step + 1, groups)
        self._tally.add(groups)
        if self._is_without_spread and self._tally.groups >= len(self._trajectories):
            raise NoSpreadError(self._explanation)

    @property
    def _is_without_spread(self) -> bool:
        return self._tally.groups > 0 and self._tally.with_spread == 0

    @property
    def _explanation(self) -> str:
        return self._tally.explain(epsilon=self._sampling.epsilon, longest=self.args.max_completion_length)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's. Raises NoSpreadError once as many groups as there are rows were sampled and all were dropped."""
        result = super().train(*args, **kwargs)
        if self._is_without_spread:
            logger.warning("the weights are those of the start: %s", self._explanation)
        return result

    # --- what TRL asks for while it takes the kept groups in ---------------------------------------------------

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, **kwargs: Any
    ) -> Any:
        if self._pending is None:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, **kwargs
            )
        samples, _ = self._pending
        logprobs = [sample.logprobs for sample in samples] if samples[0].logprobs is not None else None
        return [sample.token_ids for sample in samples], logprobs

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        if self._pending is None:
            return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        _, parts = self._pending
        values = [[float("nan") if part is None else part for part in row] for row in parts]
        return torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)

    def _mask_dead_rows(
        self, output: dict[str, Any], parts: list[tuple[float | None, ...]], local: slice
    ) -> dict[str, Any]:
        """Take rows without any reward (fillers, unjudged) out of the loss and of its normalisation."""
        live = torch.tensor([any(part is not None for part in row) for row in parts])
        self._loss_scale = 1.0
        if bool(live.all()):
            return output
        if self.loss_type in _ROW_MEAN_LOSSES:
            self._loss_scale = len(parts) / max(int(live.sum()), 1)
        mask = output["completion_mask"]
        rows = live[local].to(mask.device, mask.dtype).unsqueeze(1)
        output["tool_mask"] = output.get("tool_mask", torch.ones_like(mask)) * rows
        tokens = (mask * output["tool_mask"]).sum()
        output["num_items_in_batch"] = self.accelerator.gather(tokens).sum()
        return output

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        """TRL's, of the live rows of a micro-batch: dead ones are not forwarded."""
        live = inputs["tool_mask"].any(dim=1) if "tool_mask" in inputs else None
        if live is None or bool(live.all()) or not _has_rows_only(inputs, len(live)):
            return super()._compute_loss(model, inputs) * self._loss_scale
        if not bool(live.any()):
            if self.accelerator.distributed_type is DistributedType.NO:
                return torch.zeros((), device=live.device, requires_grad=True)
            live[0] = True  # other processes wait for this one's call of the model
        share = float(live.sum()) / len(live) if self.loss_type in _ROW_MEAN_LOSSES else 1.0
        rows = {key: value[live] if value.ndim else value for key, value in inputs.items()}
        return super()._compute_loss(model, rows) * self._loss_scale * share

    # --- every token once --------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's, but the rows of a group meet in the micro-batches of an update: TRL mixes all before it cuts."""
        before: Any = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if not self._shares or self._buffered_inputs is before:
            return inputs
        mixed, size = self._buffered_inputs, self.args.gradient_accumulation_steps
        updates = [mixed[start : start + size] for start in range(0, len(mixed), size)]
        self._buffered_inputs = [batch for update in updates for batch in as_generated(update)]
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **more: Any,
    ) -> Any:
        """TRL's, over unique tokens: (B, logits_to_keep) log-probabilities and entropies, zero at padding."""
        completions = attention_mask[:, -logits_to_keep:].bool()
        if not self._shares or compute_aux_loss or not bool(completions.any()):
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **more,
            )
        rows = rows_of(input_ids, attention_mask, logits_to_keep)
        # A chunk holds whole groups: their prompt is what is shared.
        groups = -(-(batch_size or len(rows)) // self.num_generations)
        size = groups * self.num_generations
        scores = []
        with self.accelerator.autocast():
            for start in range(0, len(rows), size):
                scores += model(shared_rows=rows[start : start + size])
        log_probs = padded([score.log_probs for score in scores], completions)
        if not compute_entropy:
            return log_probs, None, None
        return log_probs, padded([score.entropy for score in scores], completions), None

    # --- resuming -----------------------------------------------------------------------------------------------

    def resume_state(self) -> dict[str, Any]:
        return {"refill_position": self._refill.position, "tally": asdict(self._tally)}

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            state = json.loads((Path(checkpoint) / COMPLETE).read_text())
            self._refill.position = state["refill_position"]
            self._tally = SpreadTally(**state.get("tally", {}))

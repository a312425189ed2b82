"""GRPO with dynamic sampling, for SRL and RLVR, by narrow overrides of TRL's trainer.

TRL generates, scores and trains on every group. Here a batch is sampled first: groups without a spread in their rewards
are dropped and the batch is refilled with fresh steps, for a limited number of rounds. TRL then receives the kept
groups as if it had generated them, so that its advantages, losses and metrics are those of these groups.
The order of the rows is a function of the epoch, so that a resumed run has the same order.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase
from transformers.trainer_utils import TrainOutput
from trl import GRPOConfig
from trl.trainer.utils import RepeatSampler

from srl_agent.context_length import check_context
from srl_agent.rewards import RewardBatch, WeightedRewards
from srl_agent.training.batches import (
    Batch,
    EpochSampler,
    check_boundaries,
    check_rows,
    check_together,
    epoch_order,
)
from srl_agent.training.chat_grpo import ChatGRPOTrainer
from srl_agent.training.dynamic_sampling import (
    DynamicSampling,
    Group,
    NoSpreadError,
    Sample,
    SpreadTally,
    reason_to_drop,
    sampling_metrics,
)
from srl_agent.training.memory import return_free_memory
from srl_agent.training.prefix_sharing_grpo import PrefixSharingGRPOTrainer
from srl_agent.training.row_order import RefillStream, rows_for_refill
from srl_agent.training.trainer_mixin import COMPLETE, CheckpointMixin, Validate
from trajectories.types import JSON

logger = logging.getLogger(__name__)

# Losses that average over rows: rows without a gradient would dilute them.
_ROW_MEAN_LOSSES = frozenset({"grpo", "sapo", "dr_grpo", "luspo"})

_NO_COLUMNS = frozenset({"prompt", "completion", "completion_ids"})  # rewards get them under other names

Row = Mapping[str, JSON]  # of the training set
Parts = tuple[float | None, ...]  # rewards of a completion, by reward function
TokenIds = Sequence[Sequence[int]]


def _has_rows_only(inputs: Batch, rows: int) -> bool:
    """Return whether every non-scalar value is a tensor with one row per completion, which images are not."""
    values = inputs.values()
    return all(isinstance(value, Tensor) and (not value.ndim or len(value) == rows) for value in values)


class SRLTrainer(CheckpointMixin, ChatGRPOTrainer, PrefixSharingGRPOTrainer):
    """TRL's ``GRPOTrainer`` with dynamic sampling, over shared prefixes.

    ``train_dataset`` rows hold ``prompt`` and the columns that the rewards use; ``trajectories`` names each row's
    trajectory, needed if ``sampling.steps_per_trajectory`` > 1. ``validate`` is called with the trainer in place of an
    evaluation loop and returns metrics. ``on_groups`` is called with the update's number and every group of its batch,
    kept or dropped, on the main process. All other arguments pass through.

    Raises ValueError if the settings would make a resumed run differ from an uninterrupted one; ``train`` raises
    NoSpreadError if every group of the whole training set was dropped.
    """

    args: GRPOConfig
    processing_class: PreTrainedTokenizerBase
    train_dataset: Sequence[Row]

    def __init__(
        self,
        *,
        rewards: WeightedRewards,
        sampling: DynamicSampling,
        format_error: Callable[[str], str | None],
        validate: Validate | None = None,
        on_groups: Callable[[int, Sequence[Group]], None] | None = None,
        trajectories: Sequence[str] | None = None,
        args: GRPOConfig,
        **kwargs: Any,
    ) -> None:
        check_boundaries(args)
        check_together(sampling.steps_per_trajectory, args)
        self.validate = validate
        self._sampling = sampling
        self._format_error = format_error
        self._on_groups = on_groups
        # Samples of this process, and reward parts of all: what TRL is given in place of generating and scoring.
        self._pending: tuple[list[Sample], list[Parts]] | None = None
        self._loss_scale = 1.0
        self._config = kwargs["model"].config
        args.reward_weights = [rewards.weights[name] for name in rewards.functions]
        super().__init__(reward_funcs=list(rewards.functions.values()), args=args, **kwargs)
        self.reward_func_names = list(rewards.functions)
        self._rewards = rewards
        self._sums_rewards = args.multi_objective_aggregation == "sum_then_normalize"
        if self._sums_rewards:
            self.reward_weights = torch.tensor([0.0] * len(rewards.functions) + [1.0])
        check_rows(len(self.train_dataset), args)
        self._trajectories = trajectories or [str(row) for row in range(len(self.train_dataset))]
        self._tally = SpreadTally()
        self._refill = RefillStream(self._trajectories, sampling.steps_per_trajectory, sampling.seed)

    # --- sampling -----------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Dataset[JSON] | None = None) -> Sampler[int]:
        repeats: RepeatSampler = super()._get_train_sampler(dataset)
        if not repeats.shuffle:
            sampler: Sampler[int] = repeats
            return sampler
        repeats.shuffle = False
        return EpochSampler(repeats, self._order)

    def _order(self, epoch: int) -> list[int]:
        """Return the order of an epoch; with one step per trajectory, the first one is TRL's own."""
        return epoch_order(self._trajectories, self._sampling.steps_per_trajectory, self.args.seed + epoch)

    def _generate_and_score_completions(self, inputs: list[Row]) -> Batch:
        slots = self._sample_batch(inputs)
        samples = [sample for group in slots for sample in group.samples]
        nothing = (None,) * len(self.reward_func_names)
        # A dropped group that only fills the batch counts as not scored, as does a sample without a sum of its rewards:
        # no advantage, no share in any metric.
        parts = [
            s.parts if g.dropped is None and s.reward is not None else nothing
            for g in slots
            for s in g.samples
        ]
        rows = [group.row for group in slots for _ in group.samples]
        start = self.accelerator.process_index * len(inputs)
        local = slice(start, start + len(inputs))
        self._pending = (samples[local], parts)
        try:
            output: Batch = super()._generate_and_score_completions(rows[local])
        finally:
            self._pending = None
        output["row"] = torch.arange(len(inputs))
        return self._mask_dead_rows(output, parts, local)

    def _sample_batch(self, inputs: list[Row]) -> list[Group]:
        """Generate, drop and refill until the batch is full of kept groups or the rounds are used up.

        Returns the groups of the global batch, the same on every process: kept ones, then dropped ones as fillers if
        the rounds did not suffice.
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
                    group = replace(group, dropped="surplus")
                (kept if group.dropped is None else dropped).append(group)
            rounds += 1
        self._record_sampling(kept, dropped, rounds, wanted)
        filler = (dropped or kept)[:1]
        return kept + [replace(group, dropped="filler") for group in filler * (wanted - len(kept))]

    def _draw(self, groups: int) -> list[Row]:
        """Return this process's rows of ``groups`` fresh steps; the stream advances equally on every process."""
        indices = [i for i in self._refill.take(groups) for _ in range(self.num_generations)]
        size = len(indices) // self.accelerator.num_processes
        start = self.accelerator.process_index * size
        return [self.train_dataset[index] for index in indices[start : start + size]]

    def _generate_groups(self, inputs: list[Row], round_number: int) -> list[Group]:
        """Complete and score this process's rows; return the groups of all processes, in order."""
        everything = gather_object(list(zip(inputs, self._complete(inputs), strict=True)))
        groups = []
        for start in range(0, len(everything), self.num_generations):
            chunk = everything[start : start + self.num_generations]
            samples = tuple(sample for _, sample in chunk)
            reason = reason_to_drop([sample.reward for sample in samples], self._sampling.epsilon)
            groups.append(Group(row=chunk[0][0], samples=samples, round=round_number, dropped=reason))
        return groups

    def _complete(self, inputs: list[Row]) -> list[Sample]:
        """Complete and score rows, one sample each. Raises ContextError."""
        prompts = [row["prompt"] for row in inputs]
        prompt_ids, images, fields = self._tokenize_prompts(prompts)
        longest = self.args.max_completion_length or 0
        lengths = [len(ids) + longest for ids in prompt_ids]
        check_context(lengths, self._config, f"prompts with completions of up to {longest} tokens")
        token_ids, logprobs = super()._generate_single_turn(prompt_ids, images, fields, self.num_generations)
        texts = self.texts(prompt_ids, token_ids)
        scores = self._rewards.score(
            RewardBatch(
                prompts=prompts,
                texts=texts,
                token_ids=token_ids,
                columns={key: [row[key] for row in inputs] for key in inputs[0] if key not in _NO_COLUMNS},
                trainer_state=self.state,
                log_metric=self._log_metric,
            )
        )
        return [
            Sample(
                text=text,
                token_ids=list(ids),
                logprobs=None if logprobs is None else list(logprobs[i]),
                parts=tuple(score.parts[name] for name in self.reward_func_names),
                reward=score.total,
                format_error=self._format_error(text),
                clipped=bool(ids) and ids[-1] not in self.eos_token_ids,
                extra=score.extra,
            )
            for i, (text, ids, score) in enumerate(zip(texts, token_ids, scores, strict=True))
        ]

    def _record_sampling(self, kept: list[Group], dropped: list[Group], rounds: int, wanted: int) -> None:
        groups = [*kept, *dropped]
        epsilon = self._sampling.epsilon
        metrics = sampling_metrics(kept, dropped, rounds=rounds, wanted=wanted, epsilon=epsilon)
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)
        if len(kept) < wanted:
            logger.warning(
                "step %d: %d of %d groups have nonzero advantages after %d rounds of sampling (%.0f %% of the sampled "
                "ones); the update uses these",
                self.state.global_step + 1,
                len(kept),
                wanted,
                rounds,
                100 * metrics["sampling/kept_fraction"],
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

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train. Raises NoSpreadError once as many groups as there are rows were sampled and all were dropped."""
        result: TrainOutput = super().train(*args, **kwargs)
        if self._is_without_spread:
            logger.warning("the weights did not change: %s", self._explanation)
        return result

    # --- TRL calls these while it takes in the kept groups -----------------------------------------------------

    def _generate_single_turn(
        self, prompt_ids: TokenIds, *args: object, **kwargs: object
    ) -> tuple[TokenIds, Sequence[Sequence[float] | None] | None]:
        if self._pending is None:
            generated: tuple[TokenIds, None] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            return generated
        samples, _ = self._pending
        logprobs = [sample.logprobs for sample in samples] if samples[0].logprobs is not None else None
        return [sample.token_ids for sample in samples], logprobs

    def _calculate_rewards(self, *args: object) -> Tensor:
        """Return the reward parts of all processes, (B, K), and their sum as one column more, which alone has weight.

        TRL's own sum takes a missing reward for 0.
        """
        assert self._pending is not None
        samples, parts = self._pending
        for column in {name: None for sample in samples for name in sample.extra}:
            self._log_completion_extra(column, [sample.extra.get(column) for sample in samples])
        if self._sums_rewards:
            totals = [
                self._rewards.total(dict(zip(self.reward_func_names, row, strict=True))) for row in parts
            ]
            parts = [(*row, total) for row, total in zip(parts, totals, strict=True)]
        values = [[float("nan") if part is None else part for part in row] for row in parts]
        return torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)

    def _prepare_inputs(self, generation_batch: Batch) -> Batch:
        """Return TRL's inputs. bnpo averages over micro-batches: those without a live row must not dilute it."""
        before = self._buffered_inputs
        inputs: Batch = super()._prepare_inputs(generation_batch)
        if (
            self.loss_type == "bnpo"
            and self._buffered_inputs is not None
            and self._buffered_inputs is not before
        ):
            live = [
                bool(batch["tool_mask"].any()) if "tool_mask" in batch else True
                for batch in self._buffered_inputs
            ]
            share = torch.tensor([live.count(True) / len(live)], device=self.accelerator.device)
            self._loss_scale = 1 / max(
                float(self.accelerator.gather(share).mean()), 1 / self.args.generation_batch_size
            )
        return inputs

    def _mask_dead_rows(self, output: Batch, parts: list[Parts], local: slice) -> Batch:
        """Exclude rows without any reward (fillers, not scored) from the loss and from its normalisation."""
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

    def _compute_loss(self, model: nn.Module, inputs: Batch) -> Tensor:
        """Return TRL's loss of the live rows of a micro-batch; the others are not computed."""
        live: Tensor | None = inputs["tool_mask"].any(dim=1) if "tool_mask" in inputs else None
        loss: Tensor
        if live is None or not _has_rows_only(inputs, len(live)):
            loss = super()._compute_loss(model, inputs)
            return loss * self._loss_scale
        kept = self._rows_to_compute(live)
        if not bool(kept.any()):
            return torch.zeros((), device=live.device, requires_grad=True)
        share = float(kept.sum()) / len(kept) if self.loss_type in _ROW_MEAN_LOSSES else 1.0
        rows = {key: value[kept] if value.ndim else value for key, value in inputs.items()}
        loss = super()._compute_loss(model, rows)
        return loss * self._loss_scale * share

    def _rows_to_compute(self, live: Tensor) -> Tensor:
        """Return which rows to compute: the live ones, and on several processes as many rows as on the others.

        Every process calls the model, and TRL gathers metrics of each row, in tensors of equal sizes.
        """
        if self.accelerator.distributed_type is DistributedType.NO:
            return live
        most = max(int(self.accelerator.gather(live.sum()[None]).max()), 1)
        order = torch.argsort(live, descending=True, stable=True)  # dead rows after the live ones
        return torch.zeros_like(live).index_fill(0, order[:most], True)

    # --- resuming -----------------------------------------------------------------------------------------------

    def resume_state(self) -> dict[str, JSON]:
        return {"refill_position": self._refill.position, "tally": asdict(self._tally)}

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            state = json.loads((Path(checkpoint) / COMPLETE).read_text())
            self._refill.position = state["refill_position"]
            self._tally = SpreadTally(**state.get("tally", {}))

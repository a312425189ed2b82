"""Callbacks of a stage: its switch rule, metrics.jsonl, and a progress line."""

import math
import time
from collections.abc import Mapping, Sequence

from transformers import TrainerCallback, TrainerControl, TrainerState

from harness.config.tables import SwitchTable
from harness.training.context import SELECTABLE, StageContext
from harness.training.control import last_train_seconds

_SHOWN = {
    "eval_step_reward": "held-out reward",
    "eval_format_rate": "format",
    "eval_accuracy": "accuracy",
    "loss": "loss",
    "reward": "reward",
    "sampling/kept_fraction": "kept",
    "sampling/format_failure_rate": "bad format",
}


def shown(metrics: Mapping[str, float]) -> list[str]:
    """Return the metrics that a line for a person has, formatted."""
    return [f"{label} {metrics[key]:.3f}" for key, label in _SHOWN.items() if metrics.get(key) is not None]


def plateau_reached(history: Sequence[Mapping[str, float]], metric: str, switch: SwitchTable) -> bool:
    """Return whether the last ``patience`` evaluations brought no new best value of the metric.

    >>> history = [{"eval_accuracy": value} for value in (0.1, 0.3, 0.3, 0.2)]
    >>> plateau_reached(history, "eval_accuracy", SwitchTable(rule="plateau", patience=2))
    True
    """
    if switch.rule != "plateau":
        return False
    best, since = -math.inf, 0
    for value in (row[metric] for row in history if metric in row):
        best, since = (value, 0) if value > best + switch.min_delta else (best, since + 1)
    return since >= switch.patience


class SwitchCallback(TrainerCallback):
    """End a stage early by its switch rule."""

    def __init__(self, switch: SwitchTable, metric: str) -> None:
        self._switch = switch
        self._metric = metric

    def on_evaluate(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if plateau_reached(state.log_history, self._metric, self._switch):
            control.should_training_stop = True


class RunCallback(TrainerCallback):
    """Write metrics.jsonl, print a line per update, and validate at the end of the stage."""

    def __init__(self, stage: str, context: StageContext) -> None:
        self._stage = stage
        self._context = context
        self._started = self._step_started = time.monotonic()
        self._first_step = 0
        self._train_seconds = last_train_seconds(context.run.metrics, stage)

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_step_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._step_started = time.monotonic()

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._train_seconds += time.monotonic() - self._step_started
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_log(
        self,
        args: object,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        kind = "validation" if SELECTABLE & logs.keys() else "train"
        row = {"stage": self._stage, "step": state.global_step, "time": time.time(), "kind": kind}
        spent = {"train_seconds": round(self._train_seconds, 2)} if kind == "train" else {}
        self._context.run.append(self._context.run.metrics, [{**row, **spent, **_finite(logs)}])
        done = f"{self._stage} {state.global_step}/{state.max_steps}"
        self._context.console.info(f"{done}  {self._line(logs, state)}")

    def _line(self, logs: Mapping[str, float], state: TrainerState) -> str:
        parts = shown(logs)
        done = state.global_step - self._first_step
        if done and not SELECTABLE & logs.keys():
            left = (time.monotonic() - self._started) / done * (state.max_steps - state.global_step)
            parts.append(f"about {math.ceil(left / 6) / 10:.1f} min left")
        return "  ".join(parts)


def _finite(logs: Mapping[str, float]) -> dict[str, float | None]:
    """Replace what JSON lacks, NaN and infinities, by null."""
    return {
        key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in logs.items()
    }

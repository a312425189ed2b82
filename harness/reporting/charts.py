"""The charts of a report as inline SVG, from the figures of report.json. The seam of matplotlib."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from harness.config.stages import BASE, CONTROL, RL

INK, PALE, GRID = "#1f2933", "#9aa5b1", "#e4e7eb"
COLOURS = ("#2563a8", "#c2571a", "#2f8f6b", "#8a4fa3", "#b08a00", "#b5344d")  # distinguishable in grey, too
STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "font.size": 10.0,
    "legend.frameon": False,
    "text.parse_math": False,
}


def reward_chart(report: Mapping[str, Any]) -> str | None:
    """Held-out step reward with intervals and training reward over all stages, the best baseline as a line."""
    held_out = report["curves"]["held_out"]
    training = report["curves"]["training"]
    if not held_out and not any("reward" in curve for curve in training.values()):
        return None
    offsets = stage_offsets(report)
    with rc_context(STYLE):
        figure, axes = _figure(9.2, 3.9)
        for stage, curve in training.items():
            if "reward" in curve:
                steps = [offsets[stage] + step for step in curve["step"]]
                axes.plot(steps, _gaps(curve["reward"]), color=PALE, linewidth=0.8, alpha=0.55)
                label = f"training reward, {stage} (mean of the last steps)"
                axes.plot(
                    steps,
                    _smooth(curve["reward"]),
                    color=PALE,
                    linewidth=1.8,
                    label=label,
                    marker=_dots(steps),
                )
        chain, control = _chain_and_control(held_out)
        if chain:
            _intervals(axes, _places(chain, offsets), chain, COLOURS[0])
        if control:
            label = "SFT for the same time"
            _intervals(axes, _places(control, offsets), control, COLOURS[3], label)
        _baseline_line(axes, report)
        _stage_marks(axes, offsets)
        axes.set_xlabel("training step")
        axes.set_ylabel("step reward")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)
        return _svg(figure, "reward")


def kind_chart(report: Mapping[str, Any]) -> str | None:
    """From base to trained, by kind of step."""
    trained = report["trained_stage"]
    if trained is None or "base" not in report["stages"]:
        return None
    before, after = (report["stages"][stage]["by_kind"] for stage in ("base", trained))
    kinds = [k for k in after if after[k]["mean"] is not None and before.get(k, {}).get("mean") is not None]
    if not kinds:
        return None
    with rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, axes = _figure(9.2, 0.75 + 0.36 * len(kinds))
        axes.xaxis.set_major_locator(AutoLocator())
        heights = list(range(len(kinds)))[::-1]
        for height, kind in zip(heights, kinds, strict=True):
            ends = [before[kind]["mean"], after[kind]["mean"]]
            axes.plot(ends, [height, height], color=GRID, linewidth=5, solid_capstyle="round", zorder=1)
        axes.scatter([before[k]["mean"] for k in kinds], heights, color=PALE, s=42, label="base", zorder=2)
        axes.scatter(
            [after[k]["mean"] for k in kinds], heights, color=COLOURS[0], s=42, label=trained, zorder=3
        )
        axes.set_yticks(heights, [f"{kind} ({after[kind]['steps']})" for kind in kinds])
        axes.set_ylim(-0.6, len(kinds) - 0.4)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.set_xlabel("mean step reward (number of held-out steps in brackets)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        return _svg(figure, "kinds")


def small_chart(report: Mapping[str, Any], curve: str, percent: bool) -> str | None:
    """One logged quantity over the steps of the stages that log it."""
    stages = {s: c for s, c in report["curves"]["training"].items() if curve in c}
    if not stages:
        return None
    offsets = stage_offsets(report)
    with rc_context(STYLE | {"font.size": 9.0}):
        figure, axes = _figure(4.4, 2.0)
        for index, (stage, values) in enumerate(stages.items()):
            steps = [offsets[stage] + step for step in values["step"]]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(steps, _gaps(values[curve]), color=colour, linewidth=0.8, alpha=0.35)
            axes.plot(
                steps, _smooth(values[curve]), color=colour, linewidth=1.6, label=stage, marker=_dots(steps)
            )
        if percent:
            axes.set_ylim(-0.03, 1.03)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("training step")
        if len(stages) > 1:
            axes.legend(fontsize=8)
        return _svg(figure, f"small-{curve}")


def comparison_chart(reports: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The held-out curves of several runs in one frame."""
    if not any(report["curves"]["held_out"] for report in reports.values()):
        return None
    with rc_context(STYLE):
        figure, axes = _figure(9.2, 3.9)
        for index, (label, report) in enumerate(reports.items()):
            points, _ = _chain_and_control(report["curves"]["held_out"])
            xs = _places(points, stage_offsets(report))
            _intervals(axes, xs, points, COLOURS[index % len(COLOURS)], label)
        axes.set_xlabel("training step, all stages")
        axes.set_ylabel("held-out step reward")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)
        return _svg(figure, "comparison")


def stage_offsets(report: Mapping[str, Any]) -> dict[str, int]:
    """Where each stage begins on an axis that counts the steps of all stages; the control begins where RL does.

    >>> curves = {"training": {"sft": {"step": [1, 40]}, "srl": {"step": [1]}}, "held_out": []}
    >>> stage_offsets({"curves": curves})
    {'sft': 0, 'srl': 40}
    >>> curves["training"]["sft_control"] = {"step": [1, 30]}
    >>> stage_offsets({"curves": curves})
    {'sft': 0, 'srl': 40, 'sft_control': 40}
    """
    lengths: dict[str, int] = {}
    points = [(point["stage"], point["step"]) for point in report["curves"]["held_out"]]
    for stage, curve in report["curves"]["training"].items():
        points += [(stage, step) for step in curve["step"]]
    for stage, step in points:
        lengths[stage] = max(lengths.get(stage, 0), step)
    offsets: dict[str, int] = {}
    total = 0
    for stage, length in lengths.items():
        if stage == CONTROL:
            offsets[stage] = next((offsets[rl] for rl in offsets if rl in RL), total)
            continue
        offsets[stage] = total
        total += length
    return offsets


def _places(points: Sequence[Mapping[str, Any]], offsets: Mapping[str, int]) -> list[int]:
    return [offsets[point["stage"]] + point["step"] for point in points]


def _chain_and_control(
    points: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Held-out points of the stages that lead to one another, and of the control with the point it starts from."""
    chain = [point for point in points if point["stage"] != CONTROL]
    control = [point for point in points if point["stage"] == CONTROL]
    start = [point for point in chain if point["stage"] not in RL][-1:]
    return chain, [*start, *control] if control else []


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _dots(steps: Sequence[int]) -> str:
    """A line of one or two points cannot be seen."""
    return "o" if len(steps) < 3 else ""


def _intervals(
    axes: Axes, xs: Sequence[int], points: Sequence[Mapping[str, Any]], colour: str, label: str = ""
) -> None:
    means = [point["mean"] for point in points]
    lows = [m if p["low"] is None else p["low"] for m, p in zip(means, points, strict=True)]
    highs = [m if p["high"] is None else p["high"] for m, p in zip(means, points, strict=True)]
    axes.vlines(xs, lows, highs, color=colour, linewidth=1.4, alpha=0.5)
    label = label or "held-out step reward, 95 % interval"
    axes.plot(xs, means, color=colour, marker="o", markersize=5, linewidth=1.6, label=label)


def _baseline_line(axes: Axes, report: Mapping[str, Any]) -> None:
    best = (report["baseline"] or {"best": {}})["best"].get(report["trained_on"])
    if best is None:
        return
    label = f"best baseline: {best['policy'].replace('_', ' ')}"
    axes.axhline(best["mean"], color=COLOURS[1], linewidth=1.3, linestyle=(0, (5, 3)), label=label)


def _stage_marks(axes: Axes, offsets: Mapping[str, int]) -> None:
    """Names the stages along the top edge; a thin line where a later one begins."""
    named = [(stage, start) for stage, start in offsets.items() if stage not in (BASE, CONTROL)]
    for stage, start in named:
        if start:
            axes.axvline(start, color=PALE, linewidth=0.8, linestyle=":")
        transform = axes.get_xaxis_transform()
        axes.text(start, 1.02, f" {stage}", transform=transform, color=PALE, fontsize=9, fontweight="bold")


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _smooth(values: Sequence[float | None]) -> list[float]:
    """Mean of the last tenth of the curve (at least 3 values) up to each point."""
    width = max(3, len(values) // 10)
    smooth = []
    for end in range(1, len(values) + 1):
        window = [value for value in values[max(0, end - width) : end] if value is not None]
        smooth.append(sum(window) / len(window) if window else float("nan"))
    return smooth


def _svg(figure: Figure, salt: str) -> str:
    """The bare element: without prologue, metadata, namespaces and the ids and styles that would leak out."""
    out = StringIO()
    with rc_context({"svg.hashsalt": salt}):  # ids differ between charts of a page, not between renderings
        figure.savefig(out, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg role="img"', svg)


_METADATA = ("Creator", "Date", "Format", "Type")

"""The charts of a report as inline SVG, drawn from report.json by matplotlib."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting.schema import CurveName, CurvePoint, Curves, RunReport

INK, PALE, GRID = "#1f2933", "#9aa5b1", "#e4e7eb"
COLOURS = ("#2563a8", "#c2571a", "#2f8f6b", "#8a4fa3", "#b08a00", "#b5344d")  # distinguishable in grey
STYLE = {
    "svg.fonttype": "none",  # searchable text in the page's font
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


def reward_chart(report: RunReport) -> str | None:
    """Draw the validation reward with intervals, the training reward, and the best baseline as a line."""
    validation = report["curves"]["held_out"]
    training = report["curves"]["training"]
    if not validation and not any("reward" in curve for curve in training.values()):
        return None
    offsets = stage_offsets(report["curves"])
    with rc_context(STYLE):
        figure, axes = _figure(9.2, 3.9)
        for stage, curve in training.items():
            if "reward" in curve:
                steps = [offsets[stage] + step for step in curve["step"]]
                axes.plot(steps, _gaps(curve["reward"]), color=PALE, linewidth=0.8, alpha=0.55)
                label = f"training reward, {stage} (mean of the last steps)"
                smooth = _smooth(curve["reward"])
                axes.plot(steps, smooth, color=PALE, linewidth=1.8, label=label, marker=_dots(steps))
        chain, control = _chain_and_control(validation)
        if chain:
            _intervals(axes, _places(chain, offsets), chain, COLOURS[0])
        if control:
            _intervals(axes, _places(control, offsets), control, COLOURS[3], "SFT for the same time")
        _baseline_line(axes, report)
        _stage_marks(axes, offsets)
        axes.set_xlabel("training step")
        axes.set_ylabel("step reward")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)
        return _svg(figure, "reward")


def kind_chart(report: RunReport) -> str | None:
    """Draw the rewards of base and trained by kind of step."""
    trained = report["trained_stage"]
    if trained is None or BASE not in report["stages"]:
        return None
    before, after = (report["stages"][stage]["by_kind"] for stage in (BASE, trained))
    ends = {
        kind: (start, end)
        for kind in after
        if kind in before
        and (start := before[kind]["mean"]) is not None
        and (end := after[kind]["mean"]) is not None
    }
    if not ends:
        return None
    with rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, axes = _figure(9.2, 0.75 + 0.36 * len(ends))
        axes.xaxis.set_major_locator(AutoLocator())
        heights = list(range(len(ends)))[::-1]
        for height, pair in zip(heights, ends.values(), strict=True):
            axes.plot(pair, [height, height], color=GRID, linewidth=5, solid_capstyle="round", zorder=1)
        starts, stops = zip(*ends.values(), strict=True)
        axes.scatter(starts, heights, color=PALE, s=42, label=BASE, zorder=2)
        axes.scatter(stops, heights, color=COLOURS[0], s=42, label=trained, zorder=3)
        axes.set_yticks(heights, [f"{kind} ({after[kind]['steps']})" for kind in ends])
        axes.set_ylim(-0.6, len(ends) - 0.4)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.set_xlabel("mean step reward (number of held-out steps in brackets)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        return _svg(figure, "kinds")


def small_chart(report: RunReport, curve: CurveName, percent: bool) -> str | None:
    """Draw one logged quantity over the steps of the stages that log it."""
    stages = {s: c for s, c in report["curves"]["training"].items() if curve in c}
    if not stages:
        return None
    offsets = stage_offsets(report["curves"])
    with rc_context(STYLE | {"font.size": 9.0}):
        figure, axes = _figure(4.4, 2.0)
        for index, (stage, values) in enumerate(stages.items()):
            steps = [offsets[stage] + step for step in values["step"]]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(steps, _gaps(values[curve]), color=colour, linewidth=0.8, alpha=0.35)
            smooth = _smooth(values[curve])
            axes.plot(steps, smooth, color=colour, linewidth=1.6, label=stage, marker=_dots(steps))
        if percent:
            axes.set_ylim(-0.03, 1.03)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("training step")
        if len(stages) > 1:
            axes.legend(fontsize=8)
        return _svg(figure, f"small-{curve}")


def comparison_chart(reports: Mapping[str, RunReport]) -> str | None:
    """Draw the validation curves of several runs in one frame."""
    if not any(report["curves"]["held_out"] for report in reports.values()):
        return None
    with rc_context(STYLE):
        figure, axes = _figure(9.2, 3.9)
        for index, (label, report) in enumerate(reports.items()):
            points, _ = _chain_and_control(report["curves"]["held_out"])
            xs = _places(points, stage_offsets(report["curves"]))
            _intervals(axes, xs, points, COLOURS[index % len(COLOURS)], label)
        axes.set_xlabel("training step, all stages")
        axes.set_ylabel("held-out step reward")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)
        return _svg(figure, "comparison")


def stage_offsets(curves: Curves) -> dict[str, int]:
    """Return where each stage begins on an axis that counts the steps of all stages; the control begins where RL does.

    >>> curves = {"training": {"sft": {"step": [1, 40]}, "srl": {"step": [1]}}, "held_out": []}
    >>> stage_offsets(curves)
    {'sft': 0, 'srl': 40}
    >>> curves["training"]["sft_control"] = {"step": [1, 30]}
    >>> stage_offsets(curves)
    {'sft': 0, 'srl': 40, 'sft_control': 40}
    """
    lengths: dict[str, int] = {}
    points = [(point["stage"], point["step"]) for point in curves["held_out"]]
    for stage, curve in curves["training"].items():
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


def _places(points: Sequence[CurvePoint], offsets: Mapping[str, int]) -> list[int]:
    return [offsets[point["stage"]] + point["step"] for point in points]


def _chain_and_control(points: Sequence[CurvePoint]) -> tuple[list[CurvePoint], list[CurvePoint]]:
    """Return the points of the stages that lead to one another, and of the control with the point it starts from."""
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
    """Return a marker for a line of one or two points, which is invisible without."""
    return "o" if len(steps) < 3 else ""


def _intervals(
    axes: Axes, xs: Sequence[int], points: Sequence[CurvePoint], colour: str, label: str = ""
) -> None:
    means = _gaps([point["mean"] for point in points])
    lows = [m if p["low"] is None else p["low"] for m, p in zip(means, points, strict=True)]
    highs = [m if p["high"] is None else p["high"] for m, p in zip(means, points, strict=True)]
    axes.vlines(xs, lows, highs, color=colour, linewidth=1.4, alpha=0.5)
    label = label or "held-out step reward, 95 % interval"
    axes.plot(xs, means, color=colour, marker="o", markersize=5, linewidth=1.6, label=label)


def _baseline_line(axes: Axes, report: RunReport) -> None:
    best = report["baseline"]["best"].get(report["trained_on"]) if report["baseline"] else None
    if best is not None and best["mean"] is not None:
        label = f"best baseline: {best['policy'].replace('_', ' ')}"
        axes.axhline(best["mean"], color=COLOURS[1], linewidth=1.3, linestyle=(0, (5, 3)), label=label)


def _stage_marks(axes: Axes, offsets: Mapping[str, int]) -> None:
    """Name the stages along the top edge; draw a thin line where a later one begins."""
    named = [(stage, start) for stage, start in offsets.items() if stage not in (BASE, CONTROL)]
    for stage, start in named:
        if start:
            axes.axvline(start, color=PALE, linewidth=0.8, linestyle=":")
        transform = axes.get_xaxis_transform()
        axes.text(start, 1.02, f" {stage}", transform=transform, color=PALE, fontsize=9, fontweight="bold")


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _smooth(values: Sequence[float | None]) -> list[float]:
    """Return the mean of the last tenth of the curve (at least 3 values) up to each point."""
    width = max(3, len(values) // 10)
    smooth = []
    for end in range(1, len(values) + 1):
        window = [value for value in values[max(0, end - width) : end] if value is not None]
        smooth.append(sum(window) / len(window) if window else float("nan"))
    return smooth


def _svg(figure: Figure, salt: str) -> str:
    """Return the bare element: without prologue, metadata, namespaces, and ids and styles that would leak out."""
    out, no_metadata = StringIO(), dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": salt}):  # ids differ between charts, not between renderings
        figure.savefig(out, format="svg", transparent=True, metadata=no_metadata)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg role="img"', svg)

"""Draw the figures of a store."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from harness.data.inspection.stats import Figures
from harness.reporting.charts import COLOURS, PALE, STYLE

_BINS = 40


def draw(figures: Figures, path: Path) -> None:
    """Draw steps per trajectory, kinds of step, and lengths of thoughts, actions and observations, as PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11.0, 3.4), layout="constrained")
        steps, kinds, lengths = figure.subplots(1, 3, width_ratios=(1.0, 0.9, 1.2))
        steps.hist(figures.steps, bins=_BINS, color=COLOURS[0])
        steps.set_xlabel("steps per trajectory")
        steps.set_ylabel("trajectories")
        _kinds(kinds, figures)
        _lengths(lengths, figures)
        figure.savefig(path, format="png", dpi=130, metadata={"Software": None})


def _kinds(axes: Axes, figures: Figures) -> None:
    counts = [*figures.kinds.most_common(), ("without action", figures.without_action)]
    shown = [(name, count) for name, count in counts if count][::-1]
    axes.barh([name for name, _ in shown], [count for _, count in shown], color=COLOURS[2])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(left=False)
    axes.set_xlabel("steps")


def _lengths(axes: Axes, figures: Figures) -> None:
    """Draw on a logarithmic axis: an observation may be a thousand times as long as a thought."""
    found = {part: figures.characters[part] for part in ("thought", "action", "observation")}
    longest = max((max(values, default=1) for values in found.values()), default=1)
    edges = np.geomspace(1, max(longest, 2), _BINS + 1)
    for colour, (part, values) in zip(COLOURS, found.items(), strict=False):
        counts = np.histogram(np.maximum(values, 1), edges)[0]  # the logarithmic axis has no 0
        axes.stairs(counts, edges, color=colour, linewidth=1.6, label=part)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 10k: the style has no superscripts
    axes.set_xlabel("characters")
    axes.set_ylabel("steps")
    axes.spines["bottom"].set_color(PALE)
    axes.legend(fontsize=9)

"""Renders the figures of a report as one self-contained page. Completions are hostile text: all is escaped."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.rates import p_words
from harness.reporting import charts
from harness.reporting.examples import GroupExample, HeldOutExample
from harness.reporting.numbers import READS_EXPERT

_SMALL_CHARTS = (  # curve, title, whether it is a share
    ("kept_fraction", "Groups kept by dynamic sampling", True),
    ("format_failure_rate", "Completions with a broken format", True),
    ("mean_length", "Mean completion length, tokens", False),
    ("loss", "Training loss", False),
)
VERDICTS = {
    "above": "above base: the interval excludes 0",
    "below": "below base: the interval excludes 0",
    "too small to tell": "too small to tell: the interval does not exclude 0",
}


def render_report(
    report: Mapping[str, Any],
    *,
    config: str,
    groups: Sequence[GroupExample],
    held_out: Sequence[HeldOutExample],
) -> str:
    """The page of one run."""
    small = [(title, charts.small_chart(report, curve, share)) for curve, title, share in _SMALL_CHARTS]
    return _render(
        "report.html",
        report=report,
        headline=headline(report),
        accuracy_headline=accuracy_headline(report),
        reads_expert=READS_EXPERT,
        reward_chart=_trusted(charts.reward_chart(report)),
        kind_chart=_trusted(charts.kind_chart(report)),
        small_charts=[(title, _trusted(chart)) for title, chart in small if chart],
        groups=groups,
        held_out=held_out,
        config=config,
        manifest=json.dumps(report["run"], indent=2, ensure_ascii=False),
    )


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """The page of several runs side by side."""
    reports: Mapping[str, Mapping[str, Any]] = comparison["runs"]
    kinds = list(dict.fromkeys(kind for r in reports.values() for kind in _trained(r).get("by_kind", {})))
    return _render(
        "comparison.html",
        comparison=comparison,
        reports=reports,
        trained={label: _trained(report) for label, report in reports.items()},
        kinds=kinds,
        chart=_trusted(charts.comparison_chart(reports)),
    )


def headline(report: Mapping[str, Any]) -> str:
    """One sentence, the same on the page and in the terminal."""
    difference, trained = report["difference"], report["trained_stage"]
    if difference is None and report["accuracy"] and not any(s["steps"] for s in report["stages"].values()):
        return "Held-out step reward: not measured in this run."
    if difference is None:
        gap = "no trained stage was evaluated yet" if trained is None else "there is no base to compare with"
        return f"Held-out step reward: no difference to report, {gap}."
    after, before = (report["stages"][stage]["step_reward"]["mean"] for stage in (trained, "base"))
    interval = (
        f"95 % interval {signed(difference['low'])} to {signed(difference['high'])}"
        if difference["low"] is not None
        else "no interval"
    )
    sentence = (
        f"Held-out step reward {signed(difference['mean'])} ({interval}, "
        f"{difference['n']} {'trajectory' if difference['n'] == 1 else 'trajectories'}): "
        f"base {number(before)}, trained ({trained}) {number(after)}; {VERDICTS[report['verdict']]}."
    )
    return sentence + _beside_floor(report["floor"], after)


def accuracy_headline(report: Mapping[str, Any]) -> str:
    """One sentence on verified answers, empty for a run without any."""
    accuracy = report["accuracy"]
    if accuracy is None:
        return ""
    shares = ", ".join(
        f"{stage} {percent(one['mean'])} ({_ends(one)})" for stage, one in accuracy["stages"].items()
    )
    count = max(one["n"] for one in accuracy["stages"].values())
    sentence = f"Held-out accuracy, {count} tasks (95 % interval): {shares}."
    for pair in accuracy["differences"][-1:]:
        if pair["verdict"] is not None:
            sentence += (
                f" {pair['to']} minus {pair['from']} {100 * pair['mean']:+.1f} points "
                f"(exact McNemar test, {p_words(pair['p_value'])}): {pair['verdict']}."
            )
    return sentence


def _ends(interval: Mapping[str, Any]) -> str:
    return (
        "no interval"
        if interval["low"] is None
        else f"{percent(interval['low'])} to {percent(interval['high'])}"
    )


def _beside_floor(floor: Mapping[str, Any] | None, trained: float) -> str:
    if floor is None or floor["best"] is None:
        return ""
    mean = floor["policies"][floor["best"]]["mean"]
    side = "above" if trained > mean else "NOT above"
    return f" Trained is {side} the floor: {floor['best'].replace('_', ' ')} scores {number(mean)}."


def _trained(report: Mapping[str, Any]) -> Mapping[str, Any]:
    stages: Mapping[str, Mapping[str, Any]] = report["stages"]
    return stages.get(report["trained_stage"] or "", {})


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("harness.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, signed=signed, percent=percent, span=span, seconds=_wall_time)
    page = environment.get_template(template).render(**values)
    # A completion may hold lone surrogates (half an emoji), which no UTF-8 file can.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _trusted(svg: str | None) -> Markup | None:
    """Our own markup: matplotlib has escaped the names in it."""
    return None if svg is None else Markup(svg)


def number(value: float | None) -> str:
    """Three digits; a dash for None."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def signed(value: float | None) -> str:
    """Three digits with the sign, for differences."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.1f} %"


def span(interval: Mapping[str, Any] | None, with_sign: bool = False) -> str:
    """The two ends of an interval."""
    if interval is None or interval.get("low") is None:
        return "no interval"
    show = signed if with_sign else number
    return f"{show(interval['low'])} to {show(interval['high'])}"


def _wall_time(value: float | None) -> str:
    """Wall time as people say it.

    >>> _wall_time(75.2), _wall_time(7260)
    ('1 min 15 s', '2 h 1 min')
    """
    if value is None:
        return "–"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )

"""Render a report as one self-contained page. Completions are hostile text: everything is escaped."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting import charts
from harness.reporting.examples import GroupExample, ValidationExample
from harness.reporting.schema import BestBaseline, ComparisonReport, Conclusive, CurveName, RunReport
from harness.statistics.binomial import p_words
from harness.statistics.bootstrap import NO_INTERVAL, Conclusion, IntervalJson

_SMALL_CHARTS: tuple[tuple[CurveName, str, bool], ...] = (  # curve, title, whether it is a share
    ("kept_fraction", "Groups kept by dynamic sampling", True),
    ("format_failure_rate", "Completions with a broken format", True),
    ("mean_length", "Mean completion length, tokens", False),
    ("loss", "Training loss", False),
)
CONCLUSIONS: dict[Conclusion, str] = {
    "above": "above, the interval excludes 0",
    "below": "below, the interval excludes 0",
    "too small to tell": "too small to tell, the interval does not exclude 0",
}
_LABELS = {CONTROL: "SFT for the same time", "sft": "SFT", "srl": "SRL", "rlvr": "RLVR"}


def render_report(
    report: RunReport, *, config: str, groups: Sequence[GroupExample], examples: Sequence[ValidationExample]
) -> str:
    """Return the page of one run."""
    small = [(title, charts.small_chart(report, curve, share)) for curve, title, share in _SMALL_CHARTS]
    return _render(
        "report.html",
        report=report,
        headline=headline(report),
        accuracy_headline=accuracy_headline(report),
        cards=cards(report),
        names=[report["trained_on"], *other_rewards(report)],
        reward_chart=_trusted(charts.reward_chart(report)),
        kind_chart=_trusted(charts.kind_chart(report)),
        small_charts=[(title, _trusted(chart)) for title, chart in small if chart],
        groups=groups,
        examples=examples,
        config=config,
        manifest=json.dumps(report["run"], indent=2, ensure_ascii=False),
    )


def render_comparison(comparison: ComparisonReport) -> str:
    """Return the page of several runs side by side."""
    reports = comparison["runs"]
    trained = {label: one["stages"].get(one["trained_stage"] or "") for label, one in reports.items()}
    kinds = list(dict.fromkeys(kind for found in trained.values() if found for kind in found["by_kind"]))
    chart = _trusted(charts.comparison_chart(reports))
    return _render(
        "comparison.html", comparison=comparison, reports=reports, trained=trained, kinds=kinds, chart=chart
    )


def stage_label(stage: str) -> str:
    """Return the readable name of a stage.

    >>> stage_label("sft_control"), stage_label("base")
    ('SFT for the same time', 'base')
    """
    return _LABELS.get(stage, stage)


def other_rewards(report: RunReport) -> list[str]:
    """Return the rewards that were measured beside the trained one."""
    first = next(iter(report["stages"].values()), None)
    return [name for name in first["rewards"] if name != report["trained_on"]] if first else []


@dataclass(frozen=True, kw_only=True)
class Card:
    """One of the first figures of the page."""

    label: str
    mean: float | None
    interval: IntervalJson | None
    skill: IntervalJson | None = None
    verdict: Conclusion | None = None


def cards(report: RunReport) -> list[Card]:
    """Return the first figures of the page: every stage's reward and skill, and the best baseline."""
    name, trained = report["trained_on"], report["trained_stage"]
    made = []
    for stage, figures in report["stages"].items():
        reward = figures["step_reward"]
        above = report["above_baseline"][stage].get(name)
        verdict = above["verdict"] if above and stage == trained else None
        mean, skill = _reward(report, stage), report["skill"][stage].get(name)
        made.append(Card(label=stage_label(stage), mean=mean, interval=reward, skill=skill, verdict=verdict))
    if best := _best_baseline(report):
        label = f"best baseline: {_words(best['policy'])}"
        made.append(Card(label=label, mean=best["mean"], interval=best))
    return made


def headline(report: RunReport) -> str:
    """Summarise the run in a few sentences, the same on the page and in the terminal."""
    difference, trained = report["difference"], report["trained_stage"]
    if difference is None and report["accuracy"] and not any(s["steps"] for s in report["stages"].values()):
        return "Held-out step reward: not measured in this run."
    if difference is None or trained is None:
        gap = "no trained stage was evaluated yet" if trained is None else "there is no base to compare with"
        return f"Held-out step reward: no difference to report, {gap}."
    count = f"{difference['n']} {'trajectory' if difference['n'] == 1 else 'trajectories'}"
    shown = _difference({**difference, "verdict": report["verdict"]})
    sentences = [
        f"Held-out step reward ({report['trained_on']}, {count}): base {number(_reward(report, BASE))}, "
        f"{stage_label(trained)} {number(_reward(report, trained))}.",
        f"{stage_label(trained)} − base: {shown}.",
        *_beside_earlier(report),
        _beside_baseline(report, trained),
        _without_control(report, trained),
    ]
    return " ".join(filter(None, sentences))


def _reward(report: RunReport, stage: str) -> float | None:
    reward = report["stages"][stage]["step_reward"]
    return reward["mean"] if reward else None


def _beside_earlier(report: RunReport) -> Iterator[str]:
    """Compare the trained stage with the one that it started from, and with its control."""
    for found in report["differences"]:
        before, after = found["from"], found["to"]
        if after == report["trained_stage"] and before != BASE and found["mean"] is not None:
            yield f"{stage_label(after)} − {stage_label(before)}: {_difference(found)}."


def _without_control(report: RunReport, trained: str) -> str:
    """Say that SFT for the same time was not measured; empty if it was, or if RL had no SFT before it."""
    if trained not in RL or "sft" not in report["stages"] or CONTROL in report["stages"]:
        return ""
    return f"Not measured in this run: {stage_label(CONTROL)} (add the stage {CONTROL})."


def _beside_baseline(report: RunReport, trained: str) -> str:
    best, name = _best_baseline(report), report["trained_on"]
    if best is None:
        return ""
    skill = report["skill"][trained].get(name, NO_INTERVAL)["mean"]
    score = f"The best baseline ({_words(best['policy'])}) scores {number(best['mean'])}"
    above = report["above_baseline"][trained].get(name)
    if above is None or above["mean"] is None:  # an older run without baselines.jsonl
        reward, other = _reward(report, trained), best["mean"]
        side = "above" if reward is not None and other is not None and reward > other else "NOT above"
        return f"{score}; {stage_label(trained)} is {side} it, skill {number(skill)}."
    return f"{score}; {stage_label(trained)} − baseline: {_difference(above)}; skill {number(skill)}."


def _difference(found: Conclusive) -> str:
    said = CONCLUSIONS[found["verdict"]] if found["verdict"] else "nothing in common"
    return f"{signed(found['mean'])} ({span(found, True)}; {said})"


def _best_baseline(report: RunReport) -> BestBaseline | None:
    return report["baseline"]["best"].get(report["trained_on"]) if report["baseline"] else None


def _words(policy: str) -> str:
    return policy.replace("_", " ")


def accuracy_headline(report: RunReport) -> str:
    """Summarise verified answers in one sentence, empty for a run without any."""
    accuracy = report["accuracy"]
    if accuracy is None:
        return ""
    stages = accuracy["stages"]
    means = (f"{name} {percent(one['mean'])} ({_ends(one, percent)})" for name, one in stages.items())
    count = max(one["n"] for one in stages.values())
    sentence = f"Held-out accuracy, {count} tasks (95 % interval): {', '.join(means)}."
    for pair in accuracy["differences"][-1:]:
        if pair["mean"] is not None and pair["p_value"] is not None:
            sentence += (
                f" {pair['to']} minus {pair['from']} {100 * pair['mean']:+.1f} points "
                f"(exact McNemar test, {p_words(pair['p_value'])}): {pair['verdict']}."
            )
    return sentence


def _render(template: str, **values: object) -> str:
    loader = PackageLoader("harness.reporting", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=number, signed=signed, percent=percent, span=span, seconds=_wall_time, label=stage_label
    )
    page = environment.get_template(template).render(**values)
    # A completion may contain lone surrogates (half an emoji), which UTF-8 cannot encode.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _trusted(svg: str | None) -> Markup | None:
    """Mark our own SVG as safe: matplotlib has escaped the names in it."""
    return None if svg is None else Markup(svg)


def number(value: float | None) -> str:
    """Format a number with three digits; a dash for None."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def signed(value: float | None) -> str:
    """Format a difference with its sign and three digits."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Format a share as a percentage."""
    return "–" if value is None else f"{100 * value:.1f} %"


def span(interval: IntervalJson | None, with_sign: bool = False) -> str:
    """Format the two ends of an interval."""
    return _ends(interval, signed if with_sign else number)


def _ends(interval: IntervalJson | None, show: Callable[[float | None], str]) -> str:
    if interval is None or interval["low"] is None:
        return "no interval"
    return f"{show(interval['low'])} to {show(interval['high'])}"


def _wall_time(value: float | None) -> str:
    """Format a wall time in seconds.

    >>> _wall_time(75.2), _wall_time(7260)
    ('1 min 15 s', '2 h 1 min')
    """
    if value is None:
        return "–"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

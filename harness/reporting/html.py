"""Renders the figures of a report as one self-contained page. Completions are hostile text: all is escaped."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting import charts
from harness.reporting.examples import GroupExample, HeldOutExample
from harness.statistics.binomial import p_words

_SMALL_CHARTS = (  # curve, title, whether it is a share
    ("kept_fraction", "Groups kept by dynamic sampling", True),
    ("format_failure_rate", "Completions with a broken format", True),
    ("mean_length", "Mean completion length, tokens", False),
    ("loss", "Training loss", False),
)
VERDICTS = {
    "above": "above, the interval excludes 0",
    "below": "below, the interval excludes 0",
    "too small to tell": "too small to tell, the interval does not exclude 0",
}
_LABELS = {CONTROL: "SFT for the same time", "sft": "SFT", "srl": "SRL", "rlvr": "RLVR"}


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
        cards=cards(report),
        names=[report["trained_on"], *other_rewards(report)],
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


def stage_label(stage: str) -> str:
    """What a person calls a stage.

    >>> stage_label("sft_control"), stage_label("base")
    ('SFT for the same time', 'base')
    """
    return _LABELS.get(stage, stage)


def other_rewards(report: Mapping[str, Any]) -> list[str]:
    """The rewards that were measured beside the one that was trained on."""
    stages = report["stages"].values()
    return [name for name in next((s["rewards"] for s in stages), {}) if name != report["trained_on"]]


def cards(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first figures of the page: every stage's reward and skill, and the best baseline."""
    name, trained = report["trained_on"], report["trained_stage"]
    made = []
    for stage, figures in report["stages"].items():
        reward = figures["step_reward"]
        above = report["above_baseline"][stage].get(name)
        made.append(
            {
                "label": stage_label(stage),
                "mean": reward["mean"] if reward else None,
                "interval": reward,
                "skill": report["skill"][stage].get(name),
                "verdict": above["verdict"] if above and stage == trained else None,
            }
        )
    if best := _best_baseline(report):
        label = f"best baseline: {_words(best['policy'])}"
        made.append({"label": label, "mean": best["mean"], "interval": best, "skill": None, "verdict": None})
    return made


def headline(report: Mapping[str, Any]) -> str:
    """What the run shows in a few sentences, the same on the page and in the terminal."""
    difference, trained = report["difference"], report["trained_stage"]
    if difference is None and report["accuracy"] and not any(s["steps"] for s in report["stages"].values()):
        return "Held-out step reward: not measured in this run."
    if difference is None:
        gap = "no trained stage was evaluated yet" if trained is None else "there is no base to compare with"
        return f"Held-out step reward: no difference to report, {gap}."
    after, before = (report["stages"][stage]["step_reward"]["mean"] for stage in (trained, BASE))
    count = f"{difference['n']} {'trajectory' if difference['n'] == 1 else 'trajectories'}"
    shown = _difference({**difference, "verdict": report["verdict"]})
    sentences = [
        f"Held-out step reward ({report['trained_on']}, {count}): base {number(before)}, "
        f"{stage_label(trained)} {number(after)}.",
        f"{stage_label(trained)} − base: {shown}.",
        *(_beside(report, *pair) for pair in _told_pairs(report)),
        _beside_baseline(report, trained),
        _without_control(report, trained),
    ]
    return " ".join(filter(None, sentences))


def _told_pairs(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of the trained stage: against the one that it started from, and against its control."""
    trained = report["trained_stage"]
    return [(d["from"], d["to"]) for d in report["differences"] if d["to"] == trained and d["from"] != BASE]


def _without_control(report: Mapping[str, Any], trained: str) -> str:
    """Say that SFT for the same time was not measured; empty where it was, or where RL had no SFT before it."""
    if trained not in RL or "sft" not in report["stages"] or CONTROL in report["stages"]:
        return ""
    return f"Not measured in this run: {stage_label(CONTROL)} (add the stage {CONTROL})."


def _beside(report: Mapping[str, Any], before: str, after: str) -> str:
    found = next(d for d in report["differences"] if (d["from"], d["to"]) == (before, after))
    if found["mean"] is None:
        return ""
    return f"{stage_label(after)} − {stage_label(before)}: {_difference(found)}."


def _beside_baseline(report: Mapping[str, Any], trained: str) -> str:
    best, name = _best_baseline(report), report["trained_on"]
    if best is None:
        return ""
    skill = report["skill"][trained].get(name, {"mean": None})["mean"]
    told = f"The best baseline ({_words(best['policy'])}) scores {number(best['mean'])}"
    above = report["above_baseline"][trained].get(name)
    if above is None or above["mean"] is None:  # an older run keeps no rows of its baselines
        side = "above" if report["stages"][trained]["step_reward"]["mean"] > best["mean"] else "NOT above"
        return f"{told}; {stage_label(trained)} is {side} it, skill {number(skill)}."
    return f"{told}; {stage_label(trained)} − baseline: {_difference(above)}; skill {number(skill)}."


def _difference(found: Mapping[str, Any]) -> str:
    ends = "no interval" if found["low"] is None else f"{signed(found['low'])} to {signed(found['high'])}"
    return f"{signed(found['mean'])} ({ends}; {VERDICTS[found['verdict']]})"


def _best_baseline(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    baseline = report["baseline"]
    best: Mapping[str, Any] | None = baseline["best"].get(report["trained_on"]) if baseline else None
    return best


def _words(policy: str) -> str:
    return policy.replace("_", " ")


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
    environment.filters.update(
        number=number, signed=signed, percent=percent, span=span, seconds=_wall_time, label=stage_label
    )
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

"""Draw ``docs/architecture.svg``: ``python docs/architecture.py`` writes it again."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1000, 838
BOX_HEIGHT = 62
FILL = {"trajectories": "#dcefdc", "srl_agent": "#dbe8f8", "environments": "#fbe6cf", "harness": "#ebe6f4"}
STROKE = {"trajectories": "#4d8a4d", "srl_agent": "#3f6fb0", "environments": "#b9722a", "harness": "#7a62a8"}
FONT = "font-family='Helvetica, Arial, sans-serif'"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A labelled box; the first folder of ``place`` chooses its colour, none: a file, not code."""

    x: int
    y: int
    width: int
    title: str
    says: str
    place: str

    @property
    def middle(self) -> int:
        return self.y + BOX_HEIGHT // 2

    @property
    def center(self) -> int:
        return self.x + self.width // 2


# (top, height, title, beside the title, at the right)
BANDS = (
    (56, 118, "Trajectories", "", "python -m harness.convert"),
    (196, 118, "Steps", "", "harness/data"),
    (336, 212, "Training", "", "harness/training · python -m harness.train"),
    (570, 118, "Evaluation", "harness/evaluation", "python -m harness.evaluate"),
    (710, 118, "Report", "", "python -m harness.report"),
)
# (name, x, y, width, title, what it does, place)
ROWS = (
    ("raw", 30, 90, 200, "Raw trajectories", "files, archives, hub", ""),
    ("readers", 277, 90, 200, "Readers", "one for each format", "trajectories/readers"),
    ("filters", 523, 90, 200, "Filters", "cheating, loops, secrets", "trajectories/filters"),
    ("store", 770, 90, 200, "Store", "expert.jsonl and its ledger", "trajectories/store.py"),
    ("split", 30, 230, 260, "Split", "training and held-out trajectories", "harness/data/split.py"),
    ("steps", 370, 230, 260, "Steps", "history → the expert's next action", "srl_agent/steps.py"),
    (
        "formats",
        710,
        230,
        260,
        "Prompts and actions",
        "render prompts, parse completions",
        "srl_agent/formats",
    ),
    ("sft", 30, 370, 210, "SFT", "imitates the expert's steps", "srl_agent/training/sft.py"),
    ("srl", 280, 370, 210, "SRL", "GRPO with step rewards", "srl_agent/training/srl.py"),
    ("rlvr", 530, 370, 210, "RLVR", "GRPO with verified answers", "srl_agent/training/srl.py"),
    ("checkpoints", 790, 370, 180, "Checkpoints", "outputs/NAME/checkpoints/", ""),
    ("generation", 30, 470, 210, "Generation", "samples groups of completions", "srl_agent/generation"),
    ("rewards", 280, 470, 210, "Rewards", "the action against the expert's", "srl_agent/rewards"),
    ("sampling", 530, 470, 210, "Dynamic sampling", "drops groups without spread", "srl_agent/training"),
    ("verified", 790, 470, 180, "Verified tasks", "verdict → reward", "harness/training/outcomes"),
    ("scaffold", 30, 604, 146, "Scaffold", "control flow", "srl_agent/scaffolds"),
    ("policy", 200, 604, 134, "Policy", "the model", "srl_agent/policies"),
    ("sandbox", 358, 604, 146, "Sandbox", "runs the actions", "environments/sandbox"),
    ("patch", 546, 604, 100, "Patch", "git diff", ""),
    ("verifier", 690, 604, 146, "Verifier", "in a fresh sandbox", "environments/swe"),
    ("verdict", 880, 604, 90, "Verdict", "resolved?", ""),
    (
        "validation",
        30,
        744,
        260,
        "Validation",
        "scores held-out completions",
        "harness/training/validation.py",
    ),
    ("intervals", 340, 744, 250, "Intervals", "over trajectories and seeds", "harness/statistics"),
    ("report", 640, 744, 250, "Report", "rewards, accuracy, baselines, differences", "harness/reporting"),
)
BOXES = {
    name: Box(x=x, y=y, width=width, title=title, says=says, place=place)
    for name, x, y, width, title, says, place in ROWS
}
# Straight to the right.
ARROWS = (
    ("raw", "readers"),
    ("readers", "filters"),
    ("filters", "store"),
    ("split", "steps"),
    ("steps", "formats"),
    ("sft", "srl"),
    ("srl", "rlvr"),
    ("rlvr", "checkpoints"),
    ("generation", "rewards"),
    ("rewards", "sampling"),
    ("sandbox", "patch"),
    ("patch", "verifier"),
    ("verifier", "verdict"),
    ("validation", "intervals"),
    ("intervals", "report"),
)
# From the bottom of a box, through the gap between two bands, to the top of another.
TURNS = (("store", "split"), ("formats", "sft"), ("verdict", "report"))


def text(x: float, y: float, content: str, *, size: int, anchor: str = "middle", style: str = "") -> str:
    return f"<text x='{x}' y='{y}' {FONT} font-size='{size}' text-anchor='{anchor}' {style}>{escape(content)}</text>"


def path(points: str, *, dashed: bool = False) -> str:
    dash = " stroke-dasharray='5 4'" if dashed else ""
    return f"<path d='{points}' fill='none' stroke='#444' stroke-width='1.5'{dash} marker-end='url(#tip)'/>"


def box(item: Box) -> Iterator[str]:
    package = item.place.partition("/")[0]
    dash = "" if package else " stroke-dasharray='4 3'"
    yield (
        f"<rect x='{item.x}' y='{item.y}' width='{item.width}' height='{BOX_HEIGHT}' rx='7' "
        f"fill='{FILL.get(package, '#ffffff')}' stroke='{STROKE.get(package, '#777')}' stroke-width='1.3'{dash}/>"
    )
    lift = 0 if item.place else 7
    yield text(item.center, item.y + 20 + lift, item.title, size=14, style="font-weight='bold' fill='#222'")
    yield text(item.center, item.y + 37 + lift, item.says, size=12, style="fill='#333'")
    if item.place:
        mono = "fill='#555' style='font-family: monospace'"
        yield text(item.center, item.y + 53, item.place, size=11, style=mono)


def parts() -> Iterator[str]:
    yield (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' "
        f"viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
    )
    yield "<title>srl-agent: trajectories, steps, training stages, evaluation, report</title>"
    yield (
        "<defs><marker id='tip' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' "
        "orient='auto'><path d='M0 0 L10 5 L0 10 z' fill='#444'/></marker></defs>"
    )
    yield f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>"
    for number, name in enumerate(FILL):
        x = 30 + 160 * number
        yield f"<rect x='{x}' y='18' width='20' height='16' rx='4' fill='{FILL[name]}' stroke='{STROKE[name]}'/>"
        style = "fill='#333' style='font-family: monospace'"
        yield text(x + 28, 31, f"{name}/", size=13, anchor="start", style=style)
    yield "<rect x='670' y='18' width='20' height='16' rx='4' fill='#fff' stroke='#777' stroke-dasharray='4 3'/>"
    yield text(698, 31, "a file or a value", size=13, anchor="start", style="fill='#333'")
    for top, height, title, beside, right in BANDS:
        yield f"<rect x='10' y='{top}' width='980' height='{height}' rx='10' fill='#f7f7f7' stroke='#ddd'/>"
        yield text(24, top + 22, title, size=15, anchor="start", style="font-weight='bold' fill='#222'")
        mono = "fill='#777' style='font-family: monospace'"
        yield text(112, top + 22, beside, size=12, anchor="start", style=mono)
        yield text(970, top + 22, right, size=12, anchor="end", style=mono)
    for name in BOXES:
        yield from box(BOXES[name])
    for start, end in ARROWS:
        yield path(f"M{BOXES[start].x + BOXES[start].width} {BOXES[start].middle} H{BOXES[end].x - 2}")
    for start, end in TURNS:
        a, b = BOXES[start], BOXES[end]
        gap = max(top for top, *_ in BANDS if top <= b.y) - 11
        yield path(f"M{a.center} {a.y + BOX_HEIGHT} V{gap} H{b.center} V{b.y - 2}")
    srl, sampling, verified = (BOXES[name] for name in ("srl", "sampling", "verified"))
    under = srl.y + BOX_HEIGHT + 2
    yield path(f"M{sampling.center} {sampling.y} V{under}")
    yield path(f"M{sampling.center} {sampling.y - 18} H{srl.center} V{under}")
    yield path(f"M{verified.x} {verified.middle} H{sampling.x + sampling.width + 2}")
    checkpoints, policy, verifier = (BOXES[name] for name in ("checkpoints", "policy", "verifier"))
    yield path(
        f"M{checkpoints.x + checkpoints.width} {checkpoints.middle} H980 V555 H{policy.center} V{policy.y - 2}"
    )
    yield path(
        f"M{verifier.center} {verifier.y} V563 H{verified.center} V{verified.y + BOX_HEIGHT + 2}", dashed=True
    )
    for left, right in (("scaffold", "policy"), ("policy", "sandbox")):
        x = (BOXES[left].x + BOXES[left].width + BOXES[right].x) / 2
        yield text(x, BOXES[left].middle + 6, "×", size=18, style="fill='#444'")
    yield "</svg>"


def draw() -> str:
    """The SVG text."""
    return "\n".join(parts()) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")

"""Generate the embedded math problems: ``python -m harness.demo.math.generate``. Deterministic."""

import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.demo.math import problems_path, solved_path
from trajectories.ledger import FileLedger
from trajectories.readers.math import read_solutions
from trajectories.solutions import SolutionStep, join_steps
from trajectories.sources.documents import Document
from trajectories.store import atomic_write, dump_line

COUNT = 300
_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jon", "Kira", "Leo")
_THINGS = ("pens", "shells", "stamps", "marbles", "cards", "plums", "coins", "beads", "nuts", "books")


@dataclass(frozen=True, kw_only=True)
class Problem:
    question: str
    steps: tuple[tuple[str, str], ...]  # title and text, without the last step, which gives the answer
    answer: int


def _problem(question: str, *steps: tuple[str, str], answer: int) -> Problem:
    return Problem(question=question, steps=steps, answer=answer)


def _boxes(draw: random.Random) -> Problem:
    name, thing = draw.choice(_NAMES), draw.choice(_THINGS)
    boxes, each, more = draw.randint(2, 9), draw.randint(2, 9), draw.randint(2, 20)
    inside = boxes * each
    return _problem(
        f"{name} has {boxes} boxes with {each} {thing} in each, and {more} more {thing}. "
        f"How many {thing} does {name} have?",
        ("Multiply", f"The boxes hold {boxes} * {each} = {inside} {thing}."),
        ("Add", f"With the others it is {inside} + {more} = {inside + more} {thing}."),
        answer=inside + more,
    )


def _spend(draw: random.Random) -> Problem:
    name, thing = draw.choice(_NAMES), draw.choice(_THINGS)
    number, price, left = draw.randint(2, 9), draw.randint(2, 9), draw.randint(1, 20)
    cost = number * price
    return _problem(
        f"{name} has {cost + left} dollars and buys {number} {thing} for {price} dollars each. "
        "How many dollars are left?",
        ("Multiply", f"The {thing} cost {number} * {price} = {cost} dollars."),
        ("Subtract", f"What is left is {cost + left} - {cost} = {left} dollars."),
        answer=left,
    )


def _share(draw: random.Random) -> Problem:
    name, thing = draw.choice(_NAMES), draw.choice(_THINGS)
    bags, each = draw.randint(2, 9), draw.randint(2, 9)
    total = bags * each
    first = draw.randint(1, total - 1)
    return _problem(
        f"{name} finds {first} {thing} in the morning and {total - first} in the evening, and puts them into "
        f"{bags} equal bags. How many {thing} are in each bag?",
        ("Add", f"Together there are {first} + {total - first} = {total} {thing}."),
        ("Divide", f"Each bag holds {total} / {bags} = {each} {thing}."),
        answer=each,
    )


def _perimeter(draw: random.Random) -> Problem:
    long, wide = draw.randint(5, 25), draw.randint(2, 15)
    return _problem(
        f"A rectangle is {long} cm long and {wide} cm wide. What is its perimeter in cm?",
        ("Add", f"Length and width together are {long} + {wide} = {long + wide} cm."),
        ("Double", f"The perimeter is 2 * {long + wide} = {2 * (long + wide)} cm."),
        answer=2 * (long + wide),
    )


def _ages(draw: random.Random) -> Problem:
    one, other = draw.sample(_NAMES, 2)
    age, older = draw.randint(5, 30), draw.randint(2, 12)
    return _problem(
        f"{one} is {age} years old. {other} is {older} years older. How old are they together?",
        ("Add the difference", f"{other} is {age} + {older} = {age + older} years old."),
        ("Add the ages", f"Together they are {age} + {age + older} = {2 * age + older} years old."),
        answer=2 * age + older,
    )


def _travel(draw: random.Random) -> Problem:
    name = draw.choice(_NAMES)
    speed, hours, more = draw.randint(3, 12), draw.randint(2, 8), draw.randint(2, 20)
    way = speed * hours
    return _problem(
        f"{name} rides {speed} km an hour for {hours} hours, and then {more} km more. "
        "How many km is that in all?",
        ("Multiply", f"In {hours} hours it is {speed} * {hours} = {way} km."),
        ("Add", f"In all it is {way} + {more} = {way + more} km."),
        answer=way + more,
    )


def _savings(draw: random.Random) -> Problem:
    name = draw.choice(_NAMES)
    start, week, weeks = draw.randint(2, 20), draw.randint(2, 9), draw.randint(2, 6)
    saved = week * weeks
    spent = draw.randint(1, start + saved - 1)
    return _problem(
        f"{name} has {start} dollars, gets {week} dollars a week for {weeks} weeks, and then spends {spent} "
        "dollars. How many dollars are left?",
        ("Multiply", f"In {weeks} weeks it is {week} * {weeks} = {saved} dollars."),
        ("Add", f"That makes {start} + {saved} = {start + saved} dollars."),
        ("Subtract", f"What is left is {start + saved} - {spent} = {start + saved - spent} dollars."),
        answer=start + saved - spent,
    )


def _equation(draw: random.Random) -> Problem:
    factor, x, plus = draw.randint(2, 9), draw.randint(2, 12), draw.randint(1, 20)
    right = factor * x + plus
    return _problem(
        f"Solve for x: {factor}x + {plus} = {right}.",
        ("Subtract", f"{factor}x = {right} - {plus} = {right - plus}."),
        ("Divide", f"x = {right - plus} / {factor} = {x}."),
        answer=x,
    )


FAMILIES: Mapping[str, Callable[[random.Random], Problem]] = {
    "boxes": _boxes,
    "spend": _spend,
    "share": _share,
    "perimeter": _perimeter,
    "ages": _ages,
    "travel": _travel,
    "savings": _savings,
    "equation": _equation,
}


def rows(count: int = COUNT, seed: int = 0) -> list[dict[str, str | int]]:
    """Return distinct problems, cycling through the families. Raises ValueError if the families have too few."""
    draw = random.Random(seed)
    made: dict[str, dict[str, str | int]] = {}
    tries = 0
    while len(made) < count:
        tries += 1
        if tries > 100 * count:
            raise ValueError(f"the families have fewer than {count} problems")
        family = list(FAMILIES)[len(made) % len(FAMILIES)]
        problem = FAMILIES[family](draw)
        if problem.question in made:
            continue
        steps = [SolutionStep(title=title, text=text) for title, text in problem.steps]
        steps.append(SolutionStep(title="Answer", text=f"The answer is \\boxed{{{problem.answer}}}."))
        made[problem.question] = {
            "id": f"{family}-{len(made)}",
            "question": problem.question,
            "solution": join_steps(steps),
            "answer": str(problem.answer),
            "family": family,
            "correct": True,
        }
    return list(made.values())


def main() -> int:
    problems = rows()
    with atomic_write(problems_path()) as out:
        out.writelines(json.dumps(row) + "\n" for row in problems)
    with atomic_write(solved_path()) as out:
        for row in problems:
            for trajectory in read_solutions(Document(value=row, origin=""), FileLedger("", "math")):
                out.write(dump_line(trajectory))
    print(f"{COUNT} problems -> {problems_path()}, {solved_path().name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

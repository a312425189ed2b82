"""Check a recipe without training: load what it names, and print what a run would do and all that is wrong."""

from collections.abc import Iterator, Sequence

from harness.cli import UsageError, new_run, raise_all
from harness.config.load import as_yaml, read_all
from harness.config.tables import Recipe
from harness.data.contamination_gate import summary
from harness.run_folder import RunFolder
from harness.training.outcomes.load import describe
from harness.training.preflight import Preflight, check_recipe
from harness.training.run import quiet_libraries


def dry_run_of(name: str, overrides: Sequence[str]) -> None:
    """Check a recipe by its shipped name or path, with overrides. Raises UserError with all errors.

    A wrong key or value does not hide what else is wrong: it is left out, and the rest is checked.
    """
    quiet_libraries()
    recipe, problems = read_all(name, overrides)
    if recipe is None:
        raise_all(problems)
        return
    dry_run(recipe, RunFolder(new_run(recipe.output, recipe.name)), problems)


def dry_run(recipe: Recipe, folder: RunFolder, problems: Sequence[UsageError] = ()) -> None:
    """Print the resolved recipe and what the checks found. Raises UserError with all errors.

    ``problems``: what was wrong with the recipe's text.
    """
    found = check_recipe(recipe, folder)
    print(as_yaml(found.subject.recipe), end="")
    for line in _lines(found):
        print("\n".join(f"# {part}".rstrip() for part in line.splitlines()))
    if found.subject.tasks:
        found.subject.tasks.close()
    print("# nothing was trained: this was a dry run")
    raise_all([*problems, *found.errors()])


def _lines(found: Preflight) -> Iterator[str]:
    yield from _of_data(found)
    yield from found.texts("note")
    if study := found.subject.recipe.study:
        yield f"study: {len(study.arms)} arms x {len(study.seeds)} seeds"
    yield from (f"warning: {text}" for text in found.texts("warning"))


def _of_data(found: Preflight) -> Iterator[str]:
    recipe, data, tasks = found.subject.recipe, found.subject.data, found.subject.tasks
    if data:
        for side, refs in (("train", data.train), ("validation", data.validation)):
            left_out = "".join(f", left out {n} ({why})" for why, n in data.left_out[side].items())
            yield f"{side}: {len(refs)} steps of {data.count_trajectories(refs)} trajectories{left_out}"
        filled = data.count_fillers("train")
        yield f"thoughts: {recipe.steps.thoughts}; {filled} of {len(data.train)} targets hold the filler"
    if tasks and recipe.outcomes:
        yield f"verified tasks: {describe(tasks, recipe.outcomes.domain)}"
    if matches := found.contamination:
        yield from (f"contamination: {line}" for line in summary(matches).splitlines())
        yield from (f"contamination, allowed: {match}" for match in matches.matches)

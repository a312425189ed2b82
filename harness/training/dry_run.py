"""Check a recipe without training: load what it names and print what a run would do."""

from collections.abc import Iterator

from harness.cli import user_errors
from harness.config.load import as_yaml
from harness.config.tables import Recipe
from harness.data.contamination_gate import summary
from harness.run_folder import RunFolder
from harness.training.inputs import Inputs, load_inputs
from harness.training.lengths import length_warnings
from harness.training.outcomes.load import describe
from harness.training.study import check_study
from harness.training.trl_args import check_arguments
from srl_agent.models.load import load_tokenizer
from srl_agent.models.packaged import ModelError, check_model, local_model_path


def dry_run(recipe: Recipe, folder: RunFolder) -> None:
    """Print the resolved recipe and what a run would train on. Raises UserError for what a run would refuse."""
    check_arguments(recipe, folder)
    inputs = load_inputs(recipe)
    with user_errors(ModelError, about="model.name", usage=True):
        model = check_model(recipe.model.name)
    if recipe.study:
        check_study(recipe, folder.path)
    print(as_yaml(recipe), end="")
    print(f"# model: {model}")
    for line in _findings(inputs):
        print(f"# {line}")
    print("# nothing was trained: this was a dry run")


def _findings(inputs: Inputs) -> Iterator[str]:
    recipe, data = inputs.recipe, inputs.data
    if model := local_model_path(recipe.model.name):
        yield from (f"warning: {text}" for text in length_warnings(recipe, data, load_tokenizer(model)))
    for side, refs in (("train", data.train), ("validation", data.validation)):
        left_out = "".join(f", left out {n} ({why})" for why, n in data.left_out[side].items())
        yield f"{side}: {len(refs)} steps of {data.count_trajectories(refs)} trajectories{left_out}"
    filled = data.count_fillers("train")
    yield f"thoughts: {recipe.steps.thoughts}; {filled} of {len(data.train)} targets hold the filler"
    if inputs.tasks and recipe.outcomes:
        yield f"verified tasks: {describe(inputs.tasks, recipe.outcomes.domain)}"
    if found := inputs.contamination:
        yield from (f"contamination: {line}" for line in summary(found).splitlines())
        yield from (f"contamination, allowed: {match}" for match in found.matches)
    if recipe.study:
        yield f"study: {len(recipe.study.arms)} arms x {len(recipe.study.seeds)} seeds"

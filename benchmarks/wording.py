"""Cost of a wording: the held-out reward of the same weights under prompts before and after a change of their text.

    python benchmarks/wording.py outputs/first [outputs/second …] --stage sft --before before.json

``before.json`` maps texts of today's prompts to the texts in their place before, e.g. ``{"This is private.": "Nobody
reads it."}``. Each run's weights complete its held-out steps greedily under both wordings. The last line is one JSON
object: the mean reward of each, and their paired difference with a 95 % interval over seeds and trajectories.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from harness.cli import UserError
from harness.cli import run as exit_code_of
from harness.config.evaluation import EvaluationRecipe, TrainedPolicyTable
from harness.data.scoring import make_rewards, score_examples
from harness.data.step_data import load_step_data
from harness.evaluation.trained import with_trained_policy
from harness.run_folder import RunFolder
from harness.statistics.bootstrap import two_way_interval
from harness.training.sampling import recipe_chat, recipe_sampling
from harness.training.trainer_state import before_training
from srl_agent.formats import Message
from srl_agent.generation.generate import complete_all
from srl_agent.models.load import load_policy
from srl_agent.models.packaged import resolve_model

Key = tuple[int, str, int]  # seed, trajectory, step


def worded(prompt: list[Message], texts: Mapping[str, str]) -> list[Message]:
    """Replace texts in the messages of a prompt. Raises UserError if nothing is replaced."""
    changed = []
    for message in prompt:
        content = message["content"]
        for now, before in texts.items():
            content = content.replace(now, before)
        changed.append({**message, "content": content})
    if changed == prompt:
        raise UserError(f"no prompt holds any of {list(texts)}")
    return changed


def rewards_of(run: Path, stage: str, before: Mapping[str, str]) -> dict[str, dict[Key, float | None]]:
    """Return the rewards of a run's weights by wording and step."""
    folder = RunFolder(run)
    recipe = folder.recipe()
    data = load_step_data(recipe)
    rewards = make_rewards(recipe, data.action_format)
    trained = EvaluationRecipe(trained_policy=TrainedPolicyTable(run=str(run), stage=stage, held_out=False))
    policy = with_trained_policy(trained).policy
    assert policy is not None
    path, adapter = resolve_model(policy.settings["model"]), policy.settings["adapter"]
    chat = recipe_chat(recipe, path)
    model = load_policy(path, dtype=recipe.model.dtype, lora=None, adapter=adapter, **recipe.model.options)
    model.to(torch.accelerator.current_accelerator() or "cpu").eval()
    examples = [data.example(ref) for ref in data.validation]
    found: dict[str, dict[Key, float | None]] = {}
    for name, texts in (("after", {}), ("before", before)):
        completions = complete_all(
            model,
            chat,
            [worded(example.prompt, texts) if texts else example.prompt for example in examples],
            sampling=replace(recipe_sampling(recipe), max_tokens=recipe.validation.max_new_tokens),
            batch_size=recipe.validation.batch_size,
        )
        scores = score_examples(
            rewards, examples, completions, tokenizer=chat.tokenizer, state=before_training()
        )
        found[name] = {
            (recipe.seed, example.trajectory_id, example.step_index): score.total
            for example, score in zip(examples, scores, strict=True)
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of training runs")
    parser.add_argument("--stage", default="srl", help="the stage whose weights are measured")
    parser.add_argument("--before", type=Path, required=True, help="JSON: text of today -> text before")
    options = parser.parse_args()
    before = json.loads(options.before.read_text(encoding="utf-8"))
    values: dict[str, dict[Key, float | None]] = {"after": {}, "before": {}}
    for run in options.runs:
        for name, rewards in rewards_of(run, options.stage, before).items():
            values[name] |= rewards
            scored = [reward for reward in rewards.values() if reward is not None]
            print(f"{run} {name}: {sum(scored) / len(scored):.4f} over {len(scored)} steps", flush=True)
    differences = {
        key: None if after is None or (other := values["before"][key]) is None else after - other
        for key, after in values["after"].items()
    }
    found = {name: two_way_interval(rewards).as_json() for name, rewards in values.items()}
    print(json.dumps({**found, "difference": two_way_interval(differences).as_json()}))


if __name__ == "__main__":
    sys.exit(exit_code_of(main))

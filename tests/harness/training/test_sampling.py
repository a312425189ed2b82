"""One description of prompts and sampling, from the recipe to training, validation, profiles and trained policies."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from harness.cli import UsageError, UserError
from harness.config.load import as_yaml, load_recipe
from harness.config.tables import Recipe
from harness.console import Console
from harness.data.step_data import load_step_data
from harness.data.trl_rows import step_completion
from harness.run_folder import RunFolder
from harness.training.context import PolicyState, StageContext
from harness.training.dry_run import dry_run
from harness.training.inputs import load_inputs
from harness.training.profiling import profile
from harness.training.rows import stage_datasets
from harness.training.sampling import recipe_chat, recipe_sampling, stage_sampling
from harness.training.stage import make_trainer
from harness.training.trainer_state import before_training
from harness.training.trl_args import stage_arguments
from harness.training.validation import Validator
from srl_agent.generation.types import Sampling
from srl_agent.models.load import load_policy
from srl_agent.training.srl import SRLTrainer
from tests.srl_agent.generation.test_chat import OPENS
from tests.tiny_runs import recipe as write_recipe


def recipe_of(folder: Path, model: Path, *overrides: str) -> Recipe:
    path = write_recipe(folder, model, rewards=[{"name": "similarity"}])
    shorter = [
        "data.validation_steps=3", "data.train_steps=2", "steps.max_task_chars=40", "steps.thoughts=filler",
        "steps.filler=Go.", "validation.max_new_tokens=80", "srl.trl.max_completion_length=80",
    ]  # fmt: skip
    return load_recipe(str(path), [*shorter, *overrides])


def changed(model: Path, copy: Path, *, generation: Any = None, template: str = "", **tokens: Any) -> Path:
    """A copy of a model with another generation_config, template, or special tokens."""
    shutil.copytree(model, copy)
    if generation is not None:
        (copy / "generation_config.json").write_text(json.dumps(generation))
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_special_tokens(tokens)
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(copy)
    return copy


@pytest.fixture(scope="module")
def acting_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers every step with the same action, and ends its turn with <|im_end|>."""
    folder = tmp_path_factory.mktemp("acting")
    recipe = recipe_of(folder, tiny_model)
    data, chat = load_step_data(recipe), recipe_chat(recipe, str(tiny_model))
    steps = [data.example(ref) for ref in (*data.validation, *data.train)]
    targets = [step_completion(step, data.action_format, data.settings) for step in steps]
    target = min(targets, key=len)
    rows = []
    for step in steps:
        prompt = chat.prompt_ids(step.prompt)
        answer = chat.target_ids(prompt, target)
        # What follows the turn, if nothing ends it, is no part of an answer.
        rows.append(
            (prompt, [*answer, *chat.tokenizer.encode("\n<|im_start|>user\nno", add_special_tokens=False)])
        )
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder / "model")
    return folder / "model"


def validator(recipe: Recipe, model: Path, folder: Path) -> Validator:
    inputs = load_inputs(recipe)
    return Validator(
        data=inputs.data,
        rewards=inputs.rewards,
        settings=recipe.validation,
        chat=recipe_chat(recipe, str(model)),
        sampling=recipe_sampling(recipe),
        run=RunFolder(folder),
        console=Console(enabled=False),
    )


def validated(recipe: Recipe, model: Path, folder: Path) -> list[tuple[str, float, bool]]:
    """(completion, reward, clipped) of each held-out step, as validation writes them."""
    measured = validator(recipe, model, folder)
    measured.measure(
        load_policy(str(model), dtype="float32", lora=None).eval(), "base", before_training(), PartialState()
    )
    lines = [json.loads(line) for line in measured.run.validation.read_text().splitlines()]
    return [(line["completion"], line["reward"], line["clipped"]) for line in lines]


def profiled(recipe: Recipe, folder: Path) -> list[list[float]]:
    run = RunFolder(folder)
    run.create(recipe)
    profile(recipe, run, "srl", None)
    return [json.loads(line)["rewards"] for line in (folder / "profile.jsonl").read_text().splitlines()]


def test_a_turn_that_only_the_generation_config_ends(acting_model: Path, tmp_path: Path) -> None:
    """The tokenizer's end is another token, as in base models and Llama's; and the file asks for more than ends."""
    pestering = {"eos_token_id": [1], "do_sample": True, "repetition_penalty": 1.8, "no_repeat_ngram_size": 2}
    other = changed(acting_model, tmp_path / "other", generation=pestering, eos_token="~", pad_token="~")
    config = json.loads((other / "config.json").read_text())
    end = AutoTokenizer.from_pretrained(other).eos_token_id
    (other / "config.json").write_text(json.dumps({**config, "eos_token_id": end, "pad_token_id": end}))
    settings = [
        "srl.trl.temperature=0.1",
        "srl.trl.num_generations=2",
        "srl.trl.per_device_train_batch_size=4",
    ]
    found = []
    for name, model in (("plain", acting_model), ("other", other)):
        recipe = recipe_of(tmp_path / name, model, *settings)
        measured = validated(recipe, model, tmp_path / name)
        found.append((measured, profiled(recipe, tmp_path / name / "profile")))
    assert found[0] == found[1]
    measured, sampled = found[0]
    assert all(reward > 0 and not clipped for _, reward, clipped in measured)
    assert 1.0 in [reward for _, reward, _ in measured]
    assert max(max(rewards) for rewards in sampled) > 0


def test_the_experts_action_scores_its_maximum_where_the_template_opens_the_thought(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = changed(tiny_model, tmp_path / "model", template=OPENS)
    one_group = ["srl.trl.per_device_train_batch_size=4", "srl.trl.steps_per_generation=1"]
    recipe = recipe_of(tmp_path, model, "srl.sampling.max_rounds=1", *one_group)
    inputs, run = load_inputs(recipe), RunFolder(tmp_path / "run")
    measured = validator(recipe, model, tmp_path / "run")
    context = StageContext(
        inputs=inputs, validator=measured, chat=measured.chat, run=run, console=Console(enabled=False)
    )
    (row,) = stage_datasets("sft", context)[0].select([0])
    text = context.tokenizer.decode(row["input_ids"])
    assert text.count("assistant\n<think>\n") == 1
    assert "<think>\n<think>" not in text
    experts: dict[str, str] = {}
    for ref in inputs.data.train:
        example = inputs.data.example(ref)
        experts[json.dumps(example.prompt)] = step_completion(
            example, inputs.data.action_format, inputs.data.settings
        )
    trainer = make_trainer("srl", PolicyState(model=str(model)), context)
    assert isinstance(trainer, SRLTrainer)
    rows = [trainer.train_dataset[index] for index in range(2)]

    def perfect(self: Any, prompt_ids: Sequence[Sequence[int]], *more: Any) -> tuple[list[list[int]], None]:
        answers = [experts[json.dumps(row["prompt"])] for row in rows]
        return [context.chat.target_ids(ids, a) for ids, a in zip(prompt_ids, answers, strict=True)], None

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", perfect)
    samples = trainer._complete(rows)
    assert [sample.reward for sample in samples] == [1.0] * 2
    assert all(sample.format_error is None and not sample.clipped for sample in samples)
    assert [sample.text for sample in samples] == [experts[json.dumps(row["prompt"])] for row in rows]


def test_a_row_that_could_only_fail_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = changed(tiny_model, tmp_path / "model", template=OPENS)
    recipe = recipe_of(tmp_path, model, "steps.thoughts=none")
    with pytest.raises(UserError, match="the expert's own completion counts as malformed: a <think> tag"):
        dry_run(recipe, RunFolder(tmp_path / "run"))


def test_the_model_table_reaches_every_way_of_sampling(tiny_model: Path, tmp_path: Path) -> None:
    generation = "model.generation={top_k: 7, top_p: 0.9, repetition_penalty: 1.05}"
    recipe = recipe_of(tmp_path, tiny_model, generation, "srl.trl.top_p=0.8", "srl.trl.temperature=0.6")
    assert stage_sampling(recipe, "srl") == Sampling(
        temperature=0.6, top_p=0.8, top_k=7, repetition_penalty=1.05, max_tokens=80
    )
    args = stage_arguments("srl", recipe, tmp_path / "srl")
    assert isinstance(args, GRPOConfig)
    assert (args.temperature, args.top_p, args.top_k, args.min_p) == (0.6, 0.8, 7, None)
    assert (args.repetition_penalty, args.max_completion_length) == (1.05, 80)
    assert validator(recipe, tiny_model, tmp_path).sampling == Sampling(
        top_p=0.9, top_k=7, repetition_penalty=1.05
    )
    plain = stage_sampling(recipe_of(tmp_path, tiny_model, "srl.trl={}"), "srl")
    assert plain == Sampling(temperature=1.0, max_tokens=GRPOConfig(use_cpu=True).max_completion_length)
    strange = recipe_of(tmp_path, tiny_model, "srl.trl.generation_kwargs={no_repeat_ngram_size: 3}")
    with pytest.raises(UsageError, match=r"srl\.trl\.generation_kwargs: TRL alone knows them"):
        profile(strange, RunFolder(tmp_path / "profile"), "srl", None)


def test_template_arguments_are_the_models_and_not_a_stages(tiny_model: Path, tmp_path: Path) -> None:
    older = recipe_of(tmp_path, tiny_model, "srl.trl.chat_template_kwargs={enable_thinking: false}")
    assert older.model.chat_template_kwargs == {"enable_thinking": False}
    assert "chat_template_kwargs" not in older.srl.trl
    assert older.srl.trl["max_steps"] == 6
    with pytest.raises(UsageError, match=r"model\.chat_template_kwargs: a stage's table trl says otherwise"):
        recipe_of(
            tmp_path,
            tiny_model,
            "srl.trl.chat_template_kwargs={enable_thinking: false}",
            "rlvr.trl.chat_template_kwargs={enable_thinking: true}",
        )
    for key in (
        "chat_template_path",
        "eos_token",
        "pad_token",
    ):  # one stage's prompts would not be the others'
        theirs = recipe_of(tmp_path, tiny_model, f"sft.trl.{key}=x")
        with pytest.raises(UsageError, match=rf"sft\.trl\.{key} is set by the harness: remove it"):
            stage_arguments("sft", theirs, tmp_path / "sft")
    dated = recipe_of(tmp_path, tiny_model, "model.template_date=2027-05-31")
    assert "template_date: '2027-05-31'" in as_yaml(dated)
    assert recipe_chat(dated, str(tiny_model)).today.year == 2027

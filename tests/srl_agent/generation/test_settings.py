"""Every way of sampling ends at all end tokens and obeys nothing of a model's own generation_config."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from trl import GRPOConfig

from srl_agent.generation.chat import make_chat
from srl_agent.generation.generate import complete_all, completion
from srl_agent.generation.settings import asked_settings, own_ends_only, transformers_settings, vllm_settings
from srl_agent.generation.types import Completion, ModelError, Sampling
from srl_agent.models.load import declared_ends, load_chat, load_policy, model_warnings
from srl_agent.policies import make_policy
from srl_agent.rewards import WeightedRewards
from srl_agent.training.dynamic_sampling import DynamicSampling
from srl_agent.training.srl import SRLTrainer
from tests.plugin_rewards import letters

PROMPTS = [[{"role": "user", "content": text}] for text in ("Fix it.", "Why?", "Show the file, please.")]
GREEDY = Sampling(max_tokens=12)
# What models ask for in their files. The last one cannot be saved again.
ASKED: list[dict[str, Any]] = [
    {"do_sample": True, "temperature": 0.3, "top_k": 2, "top_p": 0.5, "repetition_penalty": 1.3},
    {"do_sample": True, "min_p": 0.9, "typical_p": 0.2},
    {"no_repeat_ngram_size": 1},
    {"suppress_tokens": list(range(40, 300)), "begin_suppress_tokens": list(range(2, 400))},
    {"bad_words_ids": [[token] for token in range(40, 300)]},
    {"num_beams": 3},
    {"forced_bos_token_id": 9, "forced_eos_token_id": 9},
    {"min_new_tokens": 12},
    {"sequence_bias": [[[50], 30.0]], "exponential_decay_length_penalty": [1, 9.0]},
    {"do_sample": False, "temperature": 0.3, "top_p": 0.5},
]


def asking(model: Path, folder: Path, **asked: Any) -> Path:
    """A copy of a model whose generation_config says more."""
    copy = Path(shutil.copytree(model, folder / "asking"))
    path = copy / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **asked}))
    return copy


def by_validation(model: Path, sampling: Sampling) -> list[Completion]:
    policy = load_policy(str(model), dtype="float32", lora=None).eval()
    return complete_all(policy, load_chat(str(model)), PROMPTS, sampling=sampling, batch_size=3)


def by_policy(model: Path, sampling: Sampling) -> list[Completion]:
    policy = make_policy("transformers", {"model": str(model), "dtype": "float32"})
    return [policy.generate(prompt, sampling=sampling)[0] for prompt in PROMPTS]


def srl_trainer(model: Path, folder: Path, **settings: Any) -> SRLTrainer:
    args = GRPOConfig(
        output_dir=str(folder / "run"), per_device_train_batch_size=6, num_generations=2, max_completion_length=12,
        max_steps=1, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, remove_unused_columns=False,
        **settings,
    )  # fmt: skip
    return SRLTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=args,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        rewards=WeightedRewards(functions={"r": letters}, weights={"r": 1.0}),
        sampling=DynamicSampling(epsilon=-1.0),
        format_error=lambda text: None,
    )


def by_srl(model: Path, folder: Path) -> list[Any]:
    trainer = srl_trainer(model, folder)
    torch.manual_seed(1)
    return trainer._complete([{"prompt": prompt} for prompt in PROMPTS for _ in range(2)])


@pytest.fixture(scope="module")
def plain(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Samples of the model whose generation_config asks for nothing."""
    return made_by(tiny_model, tmp_path_factory.mktemp("plain"))


def made_by(model: Path, folder: Path) -> tuple[Any, ...]:
    policy = load_policy(str(model), dtype="float32", lora=None).eval()
    chat = load_chat(str(model))
    warm = Sampling(temperature=1.0, max_tokens=12, seed=3)
    validated = [
        complete_all(policy, chat, PROMPTS, sampling=sampling, batch_size=3) for sampling in (GREEDY, warm)
    ]
    policy.save_pretrained(folder / "saved")
    return *validated, by_srl(model, folder)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "-".join(asked))
def test_nothing_of_a_generation_config_reaches_a_sample(
    tiny_model: Path, tmp_path: Path, plain: tuple[Any, ...], asked: dict[str, Any]
) -> None:
    assert made_by(asking(tiny_model, tmp_path, **asked), tmp_path) == plain
    assert asked_settings(GenerationConfig.from_pretrained(tmp_path / "saved")) == {}


def test_adapters_sample_from_a_base_that_asks_for_nothing(tiny_model: Path, tmp_path: Path) -> None:
    other = asking(tiny_model, tmp_path, repetition_penalty=1.9, no_repeat_ngram_size=1)
    made = []
    for folder in (tiny_model, other):
        torch.manual_seed(0)
        adapted = load_policy(
            str(folder), dtype="float32", lora={"r": 2, "target_modules": ["q_proj"]}
        ).eval()
        chat = load_chat(str(folder))
        made.append(complete_all(adapted, chat, PROMPTS, sampling=GREEDY, batch_size=3))
    assert made[0] == made[1]


def test_what_a_model_asks_for_is_said(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = asking(
        tiny_model, tmp_path, repetition_penalty=1.05, top_k=20, temperature=1.0, max_new_tokens=2048
    )
    assert model_warnings(str(tiny_model)) == []
    (note,) = model_warnings(str(other))
    assert "asks for repetition_penalty=1.05, top_k=20: not obeyed" in note.replace(
        "top_k=20, repetition_penalty=1.05", "repetition_penalty=1.05, top_k=20"
    )
    with caplog.at_level(logging.WARNING):
        make_policy("transformers", {"model": str(other), "dtype": "float32"})
    assert note in caplog.messages
    (other / "generation_config.json").write_text('{"early_stopping": "perhaps"}')
    with pytest.raises(ModelError, match=r"its generation_config\.json is invalid: `early_stopping` must be"):
        model_warnings(str(other))


def test_what_is_asked_of_us_is_obeyed(tiny_model: Path) -> None:
    plain = by_validation(tiny_model, GREEDY)
    assert by_validation(tiny_model, Sampling(max_tokens=12, repetition_penalty=1.5)) != plain
    # Of the most likely token alone, whatever the filter.
    for only in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert by_validation(tiny_model, Sampling(temperature=1.0, max_tokens=12, seed=1, **only)) == plain


@pytest.mark.parametrize("named_in", ["generation_config", "config", "template"])
def test_every_way_of_sampling_ends_where_the_model_says(
    tiny_model: Path, tmp_path: Path, named_in: str
) -> None:
    """The turn end is a token that the tokenizer does not call its end: here, one that the model writes by itself."""
    whole = by_validation(tiny_model, GREEDY)
    end = present_middle(whole[0])
    folder = asking(
        tiny_model, tmp_path, **({"eos_token_id": [end]} if named_in == "generation_config" else {})
    )
    if named_in == "config":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": end}))
    if named_in == "template":
        tokenizer = AutoTokenizer.from_pretrained(folder)
        word = str(tokenizer.convert_ids_to_tokens(end))
        tokenizer.add_special_tokens({"additional_special_tokens": [word]})
        tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", word)
        tokenizer.save_pretrained(folder)
        assert load_chat(str(folder)).turn_end == end
    made = by_validation(folder, GREEDY)
    assert made == by_policy(folder, GREEDY)
    for completion_ in made:
        ids = completion_.token_ids or ()
        assert end not in ids[:-1]
        assert completion_.finish_reason == ("stop" if ids[-1] in (end, 1) else "length")
    assert any((c.token_ids or ())[-1] == end for c in made)
    samples = by_srl(folder, tmp_path)
    assert all(end not in sample.token_ids[:-1] for sample in samples)
    assert all(sample.clipped == (sample.token_ids[-1] not in (end, 1)) for sample in samples)


def present_middle(made: Completion) -> int:
    """A token in the middle of a completion, as a word of its own in the vocabulary."""
    ids = made.token_ids or ()
    return next(token for token in ids[4:] if token > 1)


def test_checkpoints_name_every_end_token(tiny_model: Path, tmp_path: Path) -> None:
    folder = asking(tiny_model, tmp_path, eos_token_id=[7, 9], pad_token_id=-1, repetition_penalty=1.1)
    model = load_policy(str(folder), dtype="float32", lora=None)
    assert own_ends_only(model, load_chat(str(folder))) == [1, 7, 9]
    model.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert {key: value for key, value in saved.items() if key != "transformers_version"} == {
        "eos_token_id": [1, 7, 9],
        "pad_token_id": 1,
    }
    assert declared_ends(str(tmp_path / "saved")) == [1, 7, 9]


def test_vllm_is_told_the_same(tiny_model: Path) -> None:
    sampling = Sampling(
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        min_p=0.1,
        repetition_penalty=1.1,
        max_tokens=9,
        stop=("x",),
        seed=4,
    )
    ours, theirs = transformers_settings(sampling, [1, 7], 1), vllm_settings(sampling, [1, 7])
    assert theirs["stop_token_ids"] == ours.eos_token_id == [1, 7]
    assert (theirs["stop"], theirs["max_tokens"], theirs["seed"]) == (["x"], 9, 4)
    for key in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty"):
        assert theirs[key] == getattr(ours, key) == getattr(sampling, key)
    # What an engine returns is read as our own tokens are.
    chat = make_chat(AutoTokenizer.from_pretrained(tiny_model))
    ids = chat.tokenizer.encode("and x, y", add_special_tokens=False)
    cut = completion(chat, [5], [*ids, 7, 1], [1, 7], ("x",))
    assert (cut.text, cut.finish_reason) == ("and ", "stop")
    assert completion(chat, [5], [*ids, 7, 1], [1, 7], ()).token_ids == (*ids, 7)
    assert completion(chat, [5], ids, [1, 7], ()).finish_reason == "length"

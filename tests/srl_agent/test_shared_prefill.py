"""Prompts that are read once: the completions are those of the model's own generate."""

from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agent.models import load_policy, load_tokenizer
from srl_agent.training.shared_prefill import add_shared_prefill, prefill


@pytest.fixture(scope="module")
def parts(tiny_model: Path) -> tuple[Any, Any]:
    return load_policy(str(tiny_model), dtype="float32", lora=None).eval(), load_tokenizer(str(tiny_model))


def encode(tokenizer: Any, prompts: list[str], repeats: int) -> Any:
    texts = [prompt for prompt in prompts for _ in range(repeats)]
    return tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")


@pytest.mark.parametrize("prompts", [["def f(x):"], ["a much longer prompt, in words", "x", "return None"]])
def test_greedy_and_sampled_completions_are_the_same(
    parts: tuple[Any, Any], tiny_model: Path, prompts: list[str]
) -> None:
    plain, tokenizer = parts
    shared = load_policy(str(tiny_model), dtype="float32", lora=None).eval()
    seen: list[int] = []
    forward = shared.base_model.forward
    shared.base_model.forward = lambda *a, **k: (seen.append(k["input_ids"].numel()), forward(*a, **k))[1]
    add_shared_prefill(shared)
    inputs = encode(tokenizer, prompts, 4)
    for settings in ({"do_sample": False}, {"do_sample": True, "temperature": 1.0, "top_k": 0}):
        outputs = []
        for model in (plain, shared):
            torch.manual_seed(3)
            outputs.append(model.generate(**inputs, max_new_tokens=12, **settings))
        assert torch.equal(outputs[0], outputs[1])
    width = inputs["input_ids"].shape[1]
    assert seen[0] == len(prompts) * (width - 1)  # each prompt once
    assert seen[1] == 4 * len(prompts)  # and the last token of each row


def test_rows_that_repeat_nothing_or_unevenly_are_left_alone(parts: tuple[Any, Any]) -> None:
    model, tokenizer = parts
    for prompts in (["a", "b"], ["a", "a", "b"]):
        inputs = encode(tokenizer, prompts, 1)
        assert prefill(model, inputs["input_ids"], inputs["attention_mask"]) is None

"""Decoding with prompts computed and cached once gives the completions of stock generate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from srl_agent.generation.cpu_weights import sampling_weights
from srl_agent.generation.shared_prefix_decoding import (
    _ROWS_PER_DRAW,
    add_decoding,
    compute_prompts,
    decode,
    draw_tokens,
    token_selector,
)
from srl_agent.models.load import load_policy, load_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,  # logits that differ: no row hangs on a rounding
}
CONFIGS: dict[str, Any] = {
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "llama": LlamaConfig(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}
END = 7


def make(name: str = "qwen2", *, plain: bool = False) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = 0
    if not plain:
        add_decoding(model)
    return model


def batch(prompts: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, prompts))
    return {
        "input_ids": torch.tensor([[0] * (width - len(p)) + p for p in prompts]),
        "attention_mask": torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]),
    }


def random_prompts(seed: int) -> list[list[int]]:
    """Return prompts of a trajectory's steps (each a prefix of the next) and others, some repeated, shuffled."""
    torch.manual_seed(seed)
    long = torch.randint(8, 60, (150,)).tolist()
    other = torch.randint(8, 60, (2, 40)).tolist()
    prompts = [long[:60], long[:60], long[:100], long, long, long, other[0], other[1], other[1][:1], [9]]
    return [prompts[place] for place in torch.randperm(len(prompts)).tolist()]


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_completions_are_those_of_generate(name: str) -> None:
    stock, ours = make(name, plain=True), make(name)
    lengths = set()
    for seed in range(4):
        inputs = batch(random_prompts(seed))
        wanted = stock.generate(**inputs, max_new_tokens=70, do_sample=False)
        found = ours.generate(**inputs, max_new_tokens=70, do_sample=False)
        width = inputs["input_ids"].shape[1]
        assert torch.equal(found, wanted[:, : found.shape[1]])
        assert bool((wanted[:, found.shape[1] :] == 0).all())
        lengths |= {int((row != 0).sum()) for row in found[:, width:]}
    assert len(lengths) > 3  # rows ended at different times


def draw_by_ours(probabilities: torch.Tensor, num_samples: int) -> torch.Tensor:
    """Replace ``torch.multinomial``, so that both sides use the same random numbers."""
    assert num_samples == 1
    return draw_tokens(probabilities)[:, None]


def test_tokens_are_drawn_by_their_probabilities() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    drawn = torch.stack([draw_tokens(probabilities) for _ in range(20_000)])
    shares = torch.bincount(drawn[:, 0], minlength=6) / len(drawn)
    torch.testing.assert_close(shares, probabilities[0], atol=0.015, rtol=0)  # 4 standard deviations
    assert (shares[probabilities[0] == 0] == 0).all()
    assert (drawn[:, 1] == 0).all()


def test_an_unlikely_word_behind_many_is_drawn_as_often_as_it_should_be() -> None:
    """One in a thousand, behind 5,000 words that share the rest."""
    torch.manual_seed(0)
    probabilities = torch.full((1000, 5_001), 0.999 / 5_000)
    probabilities[:, -1] = 0.001
    drawn = torch.cat([draw_tokens(probabilities) for _ in range(20)])
    assert 2 <= int((drawn == 5_000).sum()) <= 42  # 20 expected, 4 standard deviations are 18


def test_drawing_in_parts_gives_the_same_tokens() -> None:
    logits = torch.randn(3 * _ROWS_PER_DRAW + 1, 50, generator=torch.Generator().manual_seed(0))
    draw = token_selector(GenerationConfig(do_sample=True, temperature=0.7, top_k=0, top_p=1.0), "cpu")
    torch.manual_seed(5)
    drawn = draw(logits)
    torch.manual_seed(5)
    assert drawn.tolist() == draw_tokens((logits / 0.7).softmax(dim=-1)).tolist()


def test_samples_are_drawn_by_the_same_settings_token_for_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal rows none ends alone, so both draw the same numbers; then by the settings that change the scores."""
    monkeypatch.setattr(torch, "multinomial", draw_by_ours)
    stock, ours = make(plain=True), make()
    for model in (stock, ours):
        model.generation_config.eos_token_id = None
    inputs = batch([[11, 12, 13, 14] * 10] * 6)
    for settings in (
        {"top_k": 0},
        {},
        {"top_k": 0, "temperature": 0.6, "top_p": 0.8},
        {"top_k": 5, "min_p": 0.1},
    ):
        outputs = []
        for model in (stock, ours):
            torch.manual_seed(3)
            outputs.append(model.generate(**inputs, max_new_tokens=20, do_sample=True, **settings))
        assert torch.equal(outputs[0], outputs[1])
        assert len({tuple(row) for row in outputs[0].tolist()}) > 1


def test_shared_prefixes_are_computed_once_and_finished_rows_no_more() -> None:
    model = make()
    calls: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    trajectory = list(range(8, 58)) * 3
    prompts = [trajectory[:50]] * 4 + [trajectory[:99]] * 4 + [trajectory] * 4
    tokens = iter([torch.tensor([END] * 4 + [8] * 8), torch.tensor([END] + [8] * 7), torch.tensor([END] * 7)])
    new = decode(
        model,
        prompts,
        max_new_tokens=9,
        is_finished=lambda ids: ids[:, -1] == END,
        select=lambda logits: next(tokens),
    )
    assert calls == [149, 12, 8, 7]
    assert [len(row) for row in new] == [1] * 4 + [2] + [3] * 7
    lengths = [keys[0][0].shape[2] for keys, _ in compute_prompts(model, prompts)]
    assert lengths == [49, 98, 149]


def test_rows_of_a_prompt_share_its_keys_and_their_own_count_apart() -> None:
    """The cache of a prompt's rows holds the prompt once, and each new token."""
    model = make()
    kept: list[int] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        for group in getattr(kwargs.get("shared_prompts"), "groups", ()):
            kept.append(group.bias(None).shape[-1])

    model.base_model.register_forward_pre_hook(look, with_kwargs=True)
    model.generate(**batch([[9, 10, 11] * 20] * 5), max_new_tokens=3, do_sample=False, eos_token_id=None)
    assert kept == [59 + 5, 59 + 10, 59 + 15]


def test_rows_end_at_a_stop_string(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "multinomial", draw_by_ours)
    tokenizer = load_tokenizer(str(tiny_model))
    model = load_policy(str(tiny_model), dtype="float32", lora=None).eval()
    stock = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    torch.manual_seed(0)
    inputs = tokenizer(["def f(x):"] * 4, return_tensors="pt")
    free = model.generate(**inputs, max_new_tokens=40, do_sample=True, top_k=0)
    texts = [tokenizer.decode(row) for row in free[:, inputs["input_ids"].shape[1] :]]
    stops = [texts[0][10:12], texts[1][20:23]]
    found: list[list[int]] = []
    wanted: list[list[int]] = []
    for seed in range(5):
        for one, rows in ((model, found), (stock, wanted)):
            torch.manual_seed(seed)
            single = {key: value[:1] for key, value in inputs.items()}
            settings = {"max_new_tokens": 60, "do_sample": True, "top_k": 0, "stop_strings": stops}
            rows.append(one.generate(**single, **settings, tokenizer=tokenizer)[0].tolist())
    assert found == wanted
    assert any(len(row) < inputs["input_ids"].shape[1] + 60 for row in found)
    torch.manual_seed(0)
    together = model.generate(
        **inputs, max_new_tokens=60, do_sample=True, top_k=0, stop_strings=stops, tokenizer=tokenizer
    )
    for row in together[:, inputs["input_ids"].shape[1] :].tolist():
        text = tokenizer.decode(row, skip_special_tokens=True)
        assert not any(stop in text[:-8] for stop in stops)


def test_unsupported_settings_go_to_stock_generate() -> None:
    stock, ours = make(plain=True), make()
    inputs = batch([[9, 10, 11, 12] * 9] * 3)
    for settings in (
        {"num_beams": 2},
        {"repetition_penalty": 1.5},
        {"min_new_tokens": 5},
        {"return_dict_in_generate": True, "output_scores": True},
    ):
        one, other = (
            m.generate(**inputs, max_new_tokens=6, do_sample=False, **settings) for m in (stock, ours)
        )
        if not isinstance(one, torch.Tensor):
            assert len(other.scores) == len(one.scores)
            one, other = one.sequences, other.sequences
        assert torch.equal(one, other)


def test_the_model_is_left_as_it_was() -> None:
    model = make()
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="now"):
        decode(model, [[9] * 50], max_new_tokens=2, is_finished=lambda ids: ids[:, -1] < 0, select=fail)
    assert model.config._attn_implementation == before


def fail(logits: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("now")


@pytest.mark.parametrize("lora", [None, {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}])
def test_a_loaded_policy_uses_this_decoding(tiny_model: Path, lora: Any) -> None:
    torch.manual_seed(0)
    model: Any = load_policy(str(tiny_model), dtype="float32", lora=lora).eval()
    tokenizer = load_tokenizer(str(tiny_model))
    inputs = tokenizer(["def f(x):"] * 3, return_tensors="pt")
    base = model.get_base_model() if lora else model
    found = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    own = type(base).generate(base, **inputs, max_new_tokens=12, do_sample=False)
    assert torch.equal(found, own)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 in this CPU's oneDNN"
)
@torch.no_grad()
def test_packed_weights_give_the_same_products_and_are_removed_afterwards() -> None:
    model = make(plain=True).to(torch.bfloat16)
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear]
    inputs = torch.arange(24).view(3, 8)
    before = model(input_ids=inputs).logits
    with sampling_weights(model, rows=3):
        assert all("forward" in vars(layer) for layer in layers)
        torch.testing.assert_close(model(input_ids=inputs).logits, before, rtol=2e-2, atol=2e-2)
    assert not any("forward" in vars(layer) for layer in layers)
    with sampling_weights(model.float(), rows=3):
        assert not any("forward" in vars(layer) for layer in layers)

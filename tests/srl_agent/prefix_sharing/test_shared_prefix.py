"""Shared prefixes: the prefix tree, and scores and gradients equal to those of whole rows."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from trl.trainer.utils import add_fused_lm_head

from srl_agent.prefix_sharing import tree_attention
from srl_agent.prefix_sharing.kv_cache import unsupported_reason
from srl_agent.prefix_sharing.logprobs import Scores, add_shared_prefix
from srl_agent.prefix_sharing.prefix_tree import Node, Row, build_trees, count_tokens, pack_rows, rows_of
from srl_agent.prefix_sharing.sft_labels import add_shared_labels, rows_from_labels, sharing_pays
from srl_agent.prefix_sharing.tree_attention import packed_mask_fn
from srl_agent.training.lm_head import fit_lm_head_to_cpu
from tests.present import present

VOCABULARY = 200
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
CONFIGS: dict[str, PretrainedConfig] = {
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}


def make(
    name: str = "qwen2",
    *,
    attention: str = "sdpa",
    lora: bool = False,
    dtype: Any = torch.float32,
    outputs: tuple[str, ...] = ("log_probs", "entropy"),
    device: str = "cpu",
) -> Any:
    fit_lm_head_to_cpu()
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention).to(device, dtype)
    assert unsupported_reason(base) is None
    add_fused_lm_head(base, temperature=0.7, outputs=outputs)
    model = base
    if lora:
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    add_shared_prefix(base)
    return model.train()


def random_rows(draw: random.Random) -> list[Row]:
    """Return groups of completions over prompts that grow, branch off, or have little in common."""

    def tokens(low: int, high: int) -> list[int]:
        return [draw.randrange(VOCABULARY) for _ in range(draw.randrange(low, high))]

    trunk, rows = tokens(20, 150), []
    for _ in range(draw.randrange(1, 5)):
        prompt = trunk[: draw.randrange(1, len(trunk) + 1)] + (tokens(1, 60) if draw.random() < 0.4 else [])
        rows += [Row(prompt=prompt, completion=tokens(0, 30)) for _ in range(draw.randrange(1, 5))]
        trunk = trunk + tokens(0, 50)
    draw.shuffle(rows)
    return rows


def plain(model: Any, rows: Sequence[Row]) -> list[Scores]:
    """Score one row at a time with TRL's own code."""
    scores = []
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.completion]], device=model.device)
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        output = model(input_ids=ids, labels=labels, fused_lm_head=True)
        count = len(row.completion)
        shape = slice(output.log_probs.shape[1] - count, None)
        scores.append(Scores(output.log_probs[0, shape], output.entropy[0, shape]))
    return scores


def gradient(model: Any, scores: Sequence[Scores], seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    loss = sum([(s * torch.randn(len(s)).to(s.device)).sum() + 0.1 * present(e).sum() for s, e, _ in scores])
    model.zero_grad()
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def check(model: Any, seed: int, *, checkpointing: bool = False) -> None:
    rows = random_rows(random.Random(seed))
    wanted = plain(model, rows)
    expected = gradient(model, wanted, seed)
    if checkpointing:
        model.gradient_checkpointing_enable()
    found = model(shared_rows=rows)
    actual = gradient(model, found, seed)
    for (score, entropy, _), (other, other_entropy, _) in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, score, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other_entropy, entropy, rtol=1e-5, atol=1e-5)
    assert float((actual - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_and_gradients_equal_those_of_plain_rows(name: str, attention: str) -> None:
    model = make(name, attention=attention)
    for seed in range(4):
        check(model, seed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_and_gradients_are_equal_on_a_gpu(name: str, checkpointing: bool) -> None:
    model = make(name, device="cuda")
    for seed in range(4):
        check(model, seed, checkpointing=checkpointing)


@torch.no_grad()
def test_flex_attention_equals_the_dense_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward only: FlexAttention has no backward pass on a CPU."""
    model = make()
    for seed in range(4):
        rows = random_rows(random.Random(seed))
        wanted = model(shared_rows=rows)
        with monkeypatch.context() as patch:
            patch.setattr(tree_attention, "_has_flex_attention", lambda model: True)
            found = model(shared_rows=rows)
        for (score, *_), (other, *_) in zip(wanted, found, strict=True):
            torch.testing.assert_close(other, score, rtol=1e-5, atol=1e-5)


@given(prompts=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_packed_token_attends_to_those_before_it_in_its_row(prompts: list[list[int]]) -> None:
    rows = [Row(prompt=prompt, completion=[index] * (index % 3)) for index, prompt in enumerate(prompts)]
    packed = pack_rows(rows, shortest=2)
    mask_fn, unused, index = (
        packed_mask_fn(packed, device="cpu"),
        torch.tensor(0),
        torch.arange(len(packed.tokens)),
    )
    seen = mask_fn(unused, unused, index[:, None], index)
    for number, row in enumerate(rows):
        for query in range(*packed.completions[number].indices(len(index))):
            attended = seen[query].nonzero()[:, 0].tolist()
            length = len(row.prompt) + query - packed.completions[number].start
            assert [packed.tokens[key] for key in attended] == [*row.prompt, *row.completion][:length]
            assert [packed.positions[key] for key in attended] == list(range(length))
            assert packed.labels[query] == number


@pytest.mark.parametrize("checkpointing", [False, True])
def test_rows_are_one_call_of_the_model(checkpointing: bool) -> None:
    model = make()
    if checkpointing:
        model.gradient_checkpointing_enable()
    calls: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    prompts = [list(range(100)), list(range(160)), list(range(199)), [7]]
    rows = [Row(prompt=prompt, completion=[1] * 10) for prompt in prompts for _ in range(4)]
    gradient(model, model(shared_rows=rows), 0)
    gradient(model, model(shared_rows=[Row(prompt=[3], completion=[])]), 0)  # as where nothing was sampled
    assert calls == [198 + 16 * 10, 1]


def test_a_model_that_shares_computes_padded_rows_as_before() -> None:
    ids, mask = torch.tensor([[0, 0, 1, 2, 3], [4, 5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    model = make()
    output = model(input_ids=ids, attention_mask=mask).logits
    model.config._attn_implementation = "sdpa"
    assert torch.equal(output, model(input_ids=ids, attention_mask=mask).logits)


@pytest.mark.parametrize("name", ["qwen2", "llama"])
def test_scores_and_gradients_are_equal_with_gradient_checkpointing(name: str) -> None:
    for seed in range(4):
        check(make(name), seed, checkpointing=True)


def test_gradient_checkpointing_keeps_no_activations_inside_layers() -> None:
    rows = random_rows(random.Random(1))
    unique, _ = count_tokens(build_trees(rows), rows)
    kept = []
    for checkpointing in (False, True):
        model = make()
        if checkpointing:
            model.gradient_checkpointing_enable()
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor, storages: dict[int, int] = storages) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            scores = model(shared_rows=rows)
        kept.append(sum(size for place, size in storages.items() if place not in weights))
        assert len(scores) == len(rows)
    assert kept[1] < kept[0] / 8, (kept, unique)  # the hidden states between the layers


@pytest.mark.parametrize("checkpointing", [False, True])
def test_scores_and_gradients_are_equal_with_an_adapter(checkpointing: bool) -> None:
    for seed in range(3):
        model = make(lora=True)
        if checkpointing:
            model.enable_input_require_grads()
        check(model, seed, checkpointing=checkpointing)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layers_below_the_first_adapter_compute_no_gradient(checkpointing: bool) -> None:
    """Although transformers lets the embeddings require a gradient with gradient checkpointing."""
    base = make()
    last = LoraConfig(r=4, target_modules=r".*layers\.2\..*_proj", init_lora_weights=False)
    model = get_peft_model(base, last).train()
    if checkpointing:
        model.enable_input_require_grads()  # as TRL does; gradient_checkpointing_enable does it once more
    check(model, 0, checkpointing=checkpointing)
    passed = {0: 0, 1: 0, 2: 0}
    for index, layer in enumerate(base.model.layers):
        layer.register_full_backward_hook(lambda *_, i=index: passed.update({i: passed[i] + 1}))
    rows = random_rows(random.Random(0))
    gradient(model, model(shared_rows=rows), 0)
    assert passed[0] == passed[1] == 0 < passed[2]
    assert base.model.embed_tokens(torch.tensor([1])).requires_grad == checkpointing  # as it was before


def test_bfloat16_differs_by_rounding_only() -> None:
    model = make(dtype=torch.bfloat16)
    rows = random_rows(random.Random(5))
    with torch.no_grad():
        wanted, found = plain(model, rows), model(shared_rows=rows)
    for (score, *_), (other, *_) in zip(wanted, found, strict=True):
        assert float((score - other).abs().max()) < 0.1 if len(score) else True


def test_without_gradients_the_scores_are_the_same() -> None:
    model = make().eval()
    rows = random_rows(random.Random(7))
    with torch.no_grad():
        for (score, *_), (other, *_) in zip(plain(model, rows), model(shared_rows=rows), strict=True):
            torch.testing.assert_close(other, score, rtol=1e-5, atol=1e-5)


def test_a_call_without_rows_is_unchanged() -> None:
    model = make()
    ids = torch.tensor([[1, 2, 3]])
    assert model(input_ids=ids).logits.shape == (1, 3, VOCABULARY)


def test_unsupported_models_have_a_reason() -> None:
    tiny: dict[str, Any] = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 50}
    assert "gpt2 is none of" in str(unsupported_reason(AutoModelForCausalLM.from_config(GPT2Config(**tiny))))
    dropping = Qwen2Config(**SIZES, attention_dropout=0.1)
    assert "at random (attention_dropout)" in str(
        unsupported_reason(AutoModelForCausalLM.from_config(dropping))
    )


# --- trees ------------------------------------------------------------------------------------------


def spell(node: Node, above: Sequence[int] = ()) -> dict[int, list[int]]:
    """Return the tokens above each row of a tree, and in its node."""
    path = [*above, *node.tokens]
    found = dict.fromkeys(node.rows, path)
    assert node.start == len(above)
    for child in node.children:
        found |= spell(child, path)
    return found


PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=8)


@given(prompts=PROMPTS, shortest=st.integers(1, 5))
def test_every_row_is_in_one_node_below_its_own_prompt(prompts: list[list[int]], shortest: int) -> None:
    rows = [Row(prompt=prompt, completion=[0]) for prompt in prompts]
    trees = build_trees(rows, shortest=shortest)
    seen: dict[int, list[int]] = {}
    for tree in trees:
        part = spell(tree)
        assert not part.keys() & seen.keys()
        seen |= part
    assert seen == {index: prompt[:-1] for index, prompt in enumerate(prompts)}
    shared, alone = count_tokens(trees, rows)
    assert shared <= alone


def test_shared_tokens_are_counted_once() -> None:
    prompts = [list(range(100)), list(range(160)), list(range(220))]
    rows = [Row(prompt=prompt, completion=[1] * 10) for prompt in prompts for _ in range(4)]
    trees = build_trees(rows)
    assert count_tokens(trees, rows) == (219 + 12 * 10, 4 * (100 + 160 + 220) + 120)
    (root,) = trees
    assert [(node.start, node.end, len(node.rows)) for node in root.walk()] == [
        (0, 99, 4), (99, 159, 4), (159, 219, 4),
    ]  # fmt: skip


def test_short_prefixes_are_not_shared() -> None:
    rows = [Row(prompt=[1, 2, 3, *[k] * 50], completion=[1]) for k in (4, 5)]
    assert [tree.start for tree in build_trees(rows)] == [0, 0]
    assert len(build_trees(rows, shortest=3)) == 1


def test_padding_is_removed_from_rows() -> None:
    ids = torch.tensor([[0, 0, 5, 6, 7, 8, 0], [1, 2, 3, 4, 9, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0]])
    assert rows_of(ids, mask, 3) == [
        Row(prompt=[5, 6], completion=[7, 8]),
        Row(prompt=[1, 2, 3, 4], completion=[9]),
    ]


# --- supervised rows -------------------------------------------------------------------------------------------


def labelled(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Return a batch as TRL collates it, padded on the right."""
    width = max(len(row.prompt) + len(row.completion) for row in rows)
    ids, mask, labels = [], [], []
    for row in rows:
        whole, pad = [*row.prompt, *row.completion], width - len(row.prompt) - len(row.completion)
        ids.append(whole + [0] * pad)
        mask.append([1] * len(whole) + [0] * pad)
        labels.append([-100] * len(row.prompt) + list(row.completion) + [-100] * pad)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {key: torch.tensor(value) for key, value in batch.items()}


def nested(seed: int, *, tokens: int = 400) -> list[Row]:
    """Return a row for each of four steps of a trajectory, with a growing context."""
    draw = random.Random(seed)
    whole = [draw.randrange(VOCABULARY) for _ in range(tokens + 400)]
    starts = [tokens + 90 * step + draw.randrange(40) for step in range(4)]
    return [
        Row(prompt=whole[:start], completion=whole[start : start + draw.randrange(1, 60)]) for start in starts
    ]


@pytest.mark.parametrize("lora", [False, True])
def test_supervised_rows_of_a_trajectory_give_the_plain_loss_and_gradient(lora: bool) -> None:
    batch = labelled(nested(0))
    outputs, gradients, tokens = [], [], []
    for shares in (False, True):
        model = make(lora=lora, outputs=("log_probs", "entropy", "is_top1"))
        base = model.get_base_model() if lora else model
        if shares:
            add_shared_labels(base)
        seen: list[int] = []
        base.base_model.register_forward_pre_hook(
            lambda module, args, kwargs, seen=seen: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        output = model(**batch, fused_lm_head=True)
        model.zero_grad()
        output.loss.backward()
        outputs.append(output)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        tokens.append(sum(seen))
    for name in ("loss", "log_probs", "entropy", "is_top1", "label_mask"):
        torch.testing.assert_close(outputs[1][name], outputs[0][name], rtol=1e-5, atol=1e-5)
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 1e-5
    assert tokens[1] < tokens[0] / 2


def test_supervised_rows_that_share_too_little_or_have_gaps_are_computed_whole() -> None:
    alone = [nested(seed)[0] for seed in range(4)]
    assert sharing_pays(nested(0))
    assert not sharing_pays(alone)
    batch = labelled(nested(0))
    assert rows_from_labels(**batch) == nested(0)
    gap = batch["labels"].clone()
    gap[0, int((gap[0] != -100).int().argmax()) + 1] = -100
    model = make(outputs=("log_probs", "entropy", "is_top1"))
    plain = model(**{**batch, "labels": gap}, fused_lm_head=True)
    add_shared_labels(model)
    found = model(**{**batch, "labels": gap}, fused_lm_head=True)
    assert torch.equal(found.log_probs, plain.log_probs)
    assert int(found.label_mask.sum()) == int((gap[:, 1:] != -100).sum())

"""Our CPU products are as accurate as the libraries', which are used where ours do not apply."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM, LlamaConfig
from trl.kernels import ChunkedLogProbFunction

from srl_agent.generation.cpu_weights import sampling_weights
from srl_agent.generation.shared_prefix_decoding import add_decoding
from srl_agent.prefix_sharing.cpu_attention import attend, hidden_as_bias, use_blocked_attention
from srl_agent.training.lm_head import _CpuLogProbFunction
from srl_agent.training.lora_product import fuse_lora
from tests.present import present

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 in this CPU's oneDNN"
)


def make(dtype: torch.dtype, **lora: Any) -> Any:
    """Return a small Llama with a nonzero LoRA adapter."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=96, intermediate_size=128, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, initializer_range=0.1,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config).to(dtype)
    return get_peft_model(
        base, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, **lora)
    )


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    found, exact = found.detach().double(), exact.detach().double()
    return float((found - exact).norm() / exact.norm())


def loss_and_gradients(model: Any, ids: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_fused_lora_is_as_accurate_as_pefts() -> None:
    ids = torch.arange(2 * 40).view(2, 40) % 300
    model, exact = make(torch.bfloat16), make(torch.float32).double()
    exact.load_state_dict(model.state_dict())
    wanted = loss_and_gradients(exact, ids)
    of_peft = loss_and_gradients(model, ids)
    assert fuse_lora(model) == 14
    of_ours = loss_and_gradients(model, ids)
    assert not torch.equal(of_ours, of_peft)
    assert distance(of_ours, wanted) < 1.2 * distance(of_peft, wanted) < 0.2
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("case", ["disabled", "merged", "dropout", "two adapters", "rslora with dora"])
def test_an_adapter_that_does_more_is_computed_by_peft(case: str) -> None:
    settings: dict[str, dict[str, Any]] = {
        "dropout": {"lora_dropout": 0.5},
        "rslora with dora": {"use_dora": True},
    }
    model = make(torch.bfloat16, **settings.get(case, {})).train()
    if case == "merged":
        model.merge_adapter()
    if case == "two adapters":
        model.add_adapter("other", LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        model.base_model.set_adapter(["default", "other"])
    ids = torch.arange(40)[None]
    outputs = []
    for fused in (False, True):
        if fused:
            fuse_lora(model)
        torch.manual_seed(1)
        if case == "disabled":
            with model.disable_adapter():
                outputs.append(model(input_ids=ids).logits)
        else:
            outputs.append(model(input_ids=ids).logits)
    assert torch.equal(*outputs)


def test_only_frozen_bfloat16_layers_are_fused() -> None:
    assert fuse_lora(make(torch.float32)) == 0
    assert fuse_lora(nn.Linear(3, 3)) == 0


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)])
def test_sampling_weights_hold_the_adapter_and_leave_the_model_alone(dtype: torch.dtype) -> None:
    model = make(dtype).eval()
    fuse_lora(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = {name: vars(layer).get("forward") for name, layer in model.named_modules()}
    ids = torch.arange(60).view(3, 20)
    wanted = model(input_ids=ids).logits
    with sampling_weights(model.get_base_model(), rows=60):
        calls = count_calls(model)
        found = model(input_ids=ids).logits
    assert calls == []  # of the adapters
    assert distance(found, wanted) < (1e-5 if dtype == torch.float32 else 0.02)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: vars(layer).get("forward") for name, layer in model.named_modules()} == own
    with model.disable_adapter(), sampling_weights(model.get_base_model(), rows=60):
        assert distance(model(input_ids=ids).logits, wanted) > 0.1


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@torch.no_grad()
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_adapters_are_merged_while_stock_generate_samples(device: str) -> None:
    model = make(torch.float32).eval().to(device)
    ids = torch.arange(24, device=device).view(3, 8)
    # A penalty is not understood by our own decoding; on a GPU everything is left to stock.
    options = {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": 1.3}
    tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    embeddings = {"inputs_embeds": model.get_input_embeddings()(ids), "attention_mask": torch.ones_like(ids)}
    wanted = [model.generate(**inputs, **options) for inputs in (tokens, embeddings)]
    add_decoding(model.get_base_model())
    calls = count_calls(model)
    found = [model.generate(**inputs, **options) for inputs in (tokens, embeddings)]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert calls == []


def count_calls(model: Any) -> list[str]:
    calls: list[str] = []
    for layer in model.modules():
        if isinstance(layer, LoraLinear):
            layer.lora_A["default"].register_forward_hook(lambda *_: calls.append("A"))
    return calls


Make = Callable[[int, int], torch.Tensor]


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (1, 30), (128, 128), (300, 300), (150, 400)])
def test_blocked_attention_is_as_accurate_as_sdpa(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(2, h, n, 16).bfloat16().requires_grad_() for h, n in ((6, queries), (2, keys), (2, keys))
    )
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None].repeat(2, 1, 1, 1)
    seen[1, :, :, : keys // 3] = False  # padding on the left of the second row
    upstream = torch.randn(2, 6, queries, 16)
    visible = seen.any(dim=-1)[..., None]

    def gradients(attention: Any, *inputs: torch.Tensor) -> torch.Tensor:
        own = [x.detach().requires_grad_() for x in inputs]
        output = attention(*own)
        (output.float() * upstream * visible).sum().backward()
        return torch.cat([(output * visible).flatten(), *(present(x.grad).flatten() for x in own)])

    exact = gradients(
        lambda a, b, c: scaled_dot_product_attention(
            a, b, c, attn_mask=seen, scale=0.3, enable_gqa=True
        ).nan_to_num(),
        *(x.double() for x in (q, k, v)),
    )
    stock = gradients(
        lambda a, b, c: scaled_dot_product_attention(
            a, b, c, attn_mask=hidden_as_bias(seen, a.dtype), scale=0.3, enable_gqa=True
        ),
        q, k, v,
    )  # fmt: skip
    ours = gradients(lambda a, b, c: attend(a, b, c, hidden_as_bias(seen, a.dtype), 0.3), q, k, v)
    assert bool(ours.isfinite().all())
    assert distance(ours, exact) < max(2.5 * distance(stock, exact), 0.01)


def test_a_model_with_blocked_attention_makes_the_scores_of_sdpa() -> None:
    model = make(torch.bfloat16).get_base_model()
    ids = torch.arange(2 * 200).view(2, 200) % 300
    mask = torch.ones_like(ids)
    mask[0, :50] = 0
    for masks in (None, mask):
        model.config._attn_implementation = "sdpa"
        stock = model(input_ids=ids, attention_mask=masks).logits
        use_blocked_attention(model)
        ours = model(input_ids=ids, attention_mask=masks).logits
        assert not torch.equal(ours, stock)
        assert distance(ours[:, 50:], stock[:, 50:]) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_gradient_of_the_lm_head_is_as_accurate_as_trls(dtype: torch.dtype, temperature: float) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 32).to(dtype), (torch.randn(5000, 32) * 0.4).to(dtype)
    targets, upstream = torch.randint(5000, (300,)), torch.randn(300)
    hidden[:50] = weight[targets[:50]] * 12  # these are predicted almost surely

    def gradient(of: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        inputs = like.detach().requires_grad_()
        (of(inputs) * upstream).sum().backward()
        assert inputs.grad is not None
        return inputs.grad

    exact = gradient(
        lambda h: torch.log_softmax(h @ weight.double().t() / temperature, -1).gather(1, targets[:, None])[
            :, 0
        ],
        hidden.double(),
    )

    def gradient_by(function: Any) -> torch.Tensor:
        arguments = (weight, None, targets, temperature, 512, None, 1.0, ("entropy",))
        return gradient(lambda h: function.apply(h, *arguments)[0], hidden)

    stock, ours = (gradient_by(function) for function in (ChunkedLogProbFunction, _CpuLogProbFunction))
    assert distance(ours, exact) < 1.2 * distance(stock, exact) + 1e-6
    assert distance(ours[:50], exact[:50]) < 2 * distance(stock[:50], exact[:50]) + 1e-6


@pytest.mark.parametrize("case", ["entropy", "weight", "bias", "softcap"])
def test_a_loss_of_more_than_log_probabilities_is_trls(case: str) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(20, 8), torch.randn(100, 8), torch.randn(100)]
    targets = torch.randint(100, (20,))
    gradients = []
    for function in (ChunkedLogProbFunction, _CpuLogProbFunction):
        hidden, weight, bias = (x.detach().clone() for x in inputs)
        hidden.requires_grad_()
        weight.requires_grad_(case == "weight")
        cap = 5.0 if case == "softcap" else None
        outputs = function.apply(
            hidden, weight, bias if case == "bias" else None, targets, 1.0, 64, cap, 1.0, ("entropy",)
        )
        (outputs[0].sum() + (outputs[1].sum() if case == "entropy" else 0)).backward()
        gradients.append(torch.cat([x.grad.flatten() for x in (hidden, weight) if x.grad is not None]))
    assert torch.equal(*gradients)

"""Policies in this process: a real tiny model, and scripts."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.demo import expert_path
from srl_agent.formats import get_format
from srl_agent.models.load import load_policy
from srl_agent.models.packaged import ModelError
from srl_agent.policies import ContextOverflowError, Policy, PolicyError, Sampling, make_policy
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.steps import PromptSettings, StepSettings, render_example
from tests.present import present
from tests.scripted_answers import answers_in_turn
from trajectories import Step, Trajectory
from trajectories.store import read_trajectories

PROMPT = [{"role": "user", "content": "Fix it."}]
GREEDY = Sampling(max_tokens=12)
WARM = Sampling(temperature=1.0, max_tokens=12, seed=1)


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return make_policy("transformers", {"model": str(tiny_model), "dtype": "float32", "max_batch": 2})


def test_seeded_completions_leave_the_generator_as_it_was(tiny_model: Path) -> None:
    import torch

    from srl_agent.generation.generate import complete_all
    from srl_agent.models.load import load_chat

    model, chat = load_policy(str(tiny_model), dtype="float32", lora=None), load_chat(str(tiny_model))
    before = torch.random.get_rng_state()
    once, again = (
        complete_all(model.eval(), chat, [PROMPT] * 3, sampling=WARM, batch_size=2) for _ in range(2)
    )
    assert once == again
    assert len({completion.text for completion in once}) > 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_greedy_is_what_validation_measures(policy: Policy, tiny_model: Path) -> None:
    from transformers import BatchEncoding

    from srl_agent.generation.generate import complete_all
    from srl_agent.models.load import load_chat, load_policy

    first, second = policy.generate(PROMPT, n=2, sampling=GREEDY)
    model, chat = load_policy(str(tiny_model), dtype="float32", lora=None), load_chat(str(tiny_model))
    (measured,) = complete_all(model.eval(), chat, [PROMPT], sampling=Sampling(max_tokens=12), batch_size=1)
    assert first == second == measured
    assert first.finish_reason == "length"
    assert first.completion_tokens == len(first.token_ids or ()) == 12
    encoded = chat.tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_dict=True)
    assert isinstance(encoded, BatchEncoding)
    assert first.prompt_tokens == len(encoded["input_ids"])
    assert policy.name == str(tiny_model)


def test_samples_differ_and_a_seed_gives_them_again(policy: Policy) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1).item()
    torch.manual_seed(7)
    made = policy.generate(PROMPT, n=5, sampling=WARM)
    assert torch.rand(1).item() == expected  # a seeded request leaves torch's generator alone
    assert len(made) == 5
    assert len({completion.token_ids for completion in made}) == 5
    assert policy.generate(PROMPT, n=5, sampling=WARM) == made


def test_requests_from_several_threads_do_not_mix(policy: Policy) -> None:
    alone = [
        policy.generate(PROMPT, sampling=Sampling(temperature=1.0, max_tokens=8, seed=s)) for s in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda s: policy.generate(PROMPT, sampling=Sampling(temperature=1.0, max_tokens=8, seed=s)),
            range(4),
        )
        assert list(together) == alone


def test_a_stop_string_ends_the_text_before_it(policy: Policy) -> None:
    (whole,) = policy.generate(PROMPT, sampling=GREEDY)
    end = whole.text[len(whole.text) // 2 :][:3]
    (stopped,) = policy.generate(PROMPT, sampling=Sampling(max_tokens=12, stop=(end,)))
    assert stopped.text == whole.text.partition(end)[0]
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == (whole.token_ids or ())[: stopped.completion_tokens]
    assert stopped.completion_tokens < whole.completion_tokens


def test_a_prompt_that_does_not_fit(policy: Policy) -> None:
    with pytest.raises(ContextOverflowError, match=r"the prompt has \d+ tokens; with 12 .* context of 4096"):
        policy.generate([{"role": "user", "content": "word " * 4100}], sampling=GREEDY)


def test_with_an_adapter(tiny_model: Path, tmp_path: Path, policy: Policy) -> None:
    import torch

    lora = load_policy(str(tiny_model), dtype="float32", lora={"r": 2, "target_modules": "all-linear"})
    with torch.no_grad():
        for name, weight in lora.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=5.0)
    lora.save_pretrained(tmp_path / "adapter")
    settings = {"model": str(tiny_model), "dtype": "float32", "adapter": str(tmp_path / "adapter")}
    adapted = make_policy("transformers", settings)
    assert adapted.name == str(tmp_path / "adapter")
    assert adapted.generate(PROMPT, sampling=GREEDY) != policy.generate(PROMPT, sampling=GREEDY)


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "up_proj")])
@pytest.mark.parametrize("last", [None, 1, 99])
def test_an_adapter_on_the_last_layers_only(tiny_model: Path, targets: Any, last: int | None) -> None:
    lora = {"r": 2, "target_modules": targets, "last_layers": last}
    model = load_policy(str(tiny_model), dtype="float32", lora=lora)
    count = model.config.num_hidden_layers
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    layers = {int(present(re.search(r"\.layers\.(\d+)\.", name))[1]) for name in names}
    assert count > 1
    assert layers == set(range(max(count - (last or count), 0), count))
    kinds = {name.split(".lora_")[0].rpartition(".")[2] for name in names}
    every = {f"{part}_proj" for part in ("q", "k", "v", "o", "gate", "up", "down")}
    assert kinds == (every if targets == "all-linear" else set(targets))


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of experts of two layers."""
    from transformers import AutoModelForCausalLM, Qwen3MoeConfig

    more: dict[str, Any] = {"head_dim": 8}  # allowed, but not among the parameters
    config = Qwen3MoeConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, moe_intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, **more,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("experts")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (
            {"target_modules": "all-linear", "last_layers": 1},
            "all-linear would skip them; name the modules",
        ),
        (
            {"target_modules": ("q_proj", "gate_proj", "up_proj"), "last_layers": 1},
            "peft adapts model.layers.0.mlp.experts as well",
        ),
        ({"target_modules": ("q_proj", "up_proj")}, "without also targeting gate_proj"),
        ({"target_modules": ("nosuch",)}, "model.lora: .*nosuch.* not found"),
        (
            {"target_modules": r".*\.layers\.1\..*_proj"},
            "names of modules of this mixture of experts, in all layers",
        ),
    ],
)
def test_adapters_that_are_not_those_asked_for_are_refused(
    experts: Path, lora: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_policy(str(experts), dtype="float32", lora={"r": 2, **lora})


def test_adapters_on_a_mixture_of_experts(experts: Path) -> None:
    lora = {"r": 2, "target_modules": ("q_proj", "o_proj"), "last_layers": 1}
    model = load_policy(str(experts), dtype="float32", lora=lora)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    kinds = {name.partition(".lora_")[0].partition(".layers.")[2] for name in trained}
    assert kinds == {"1.self_attn.q_proj", "1.self_attn.o_proj"}
    model = load_policy(str(experts), dtype="float32", lora={"r": 2, "target_modules": "all-linear"})
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert any(".layers.0.mlp.experts." in name for name in trained)


def test_a_missing_model() -> None:
    with pytest.raises(ModelError, match="no such folder"):
        make_policy("transformers", {"model": "./nowhere"})


# --- scripts -------------------------------------------------------------------------------------------------------


def test_a_function_of_the_prompt() -> None:
    policy = ScriptedPolicy(lambda prompt: prompt[-1]["content"].upper(), name="shouts")
    made = policy.generate(PROMPT, n=2, sampling=GREEDY)
    assert [completion.text for completion in made] == ["FIX IT."] * 2
    assert (policy.name, made[0].prompt_tokens, made[0].completion_tokens) == ("shouts", 2, 2)


def test_answers_in_turn_are_counted_by_task() -> None:
    policy = answers_in_turn({"Fix": ["a", "b", "c"], "Other": ["x"]})
    assert [c.text for c in policy.generate(PROMPT, n=2, sampling=GREEDY)] == ["a", "b"]
    other = [{"role": "user", "content": "Other"}]
    assert policy.generate(other, sampling=GREEDY)[0].text == "x"
    assert policy.generate(PROMPT, sampling=GREEDY)[0].text == "c"
    with pytest.raises(PolicyError, match="the script of 'Fix' ends after 3 answers"):
        policy.generate(PROMPT, sampling=GREEDY)
    with pytest.raises(PolicyError, match="no script for this prompt: 'Who'"):
        policy.generate([{"role": "user", "content": "Who"}], sampling=GREEDY)


@pytest.mark.parametrize("window", [0, 2, None])
@pytest.mark.parametrize("name", ["xml", "hermes"])
def test_the_expert_answers_every_training_prompt(name: str, window: int | None) -> None:
    action_format = get_format(name)
    experts = list(read_trajectories(expert_path()))[:12]
    settings = StepSettings(context_window=window)
    policy = ScriptedPolicy.from_trajectories(experts, action_format=action_format, settings=settings)
    for expert in experts:
        for index, step in enumerate(expert.steps):
            example = render_example(expert, index, settings=settings, action_format=action_format)
            (made,) = policy.generate(example.prompt, sampling=GREEDY)
            assert action_format.parse(made.text).actions == step.actions


def test_a_prompt_without_a_recorded_step_is_an_error() -> None:
    action_format = get_format("xml")
    said = Step(thought="Shall I?", actions=(), observation="Yes.")
    expert = Trajectory(trajectory_id="t", instance_id="i", task="Fix it.", steps=(said,), source="test")
    policy = ScriptedPolicy.from_trajectories(
        [expert], action_format=action_format, settings=PromptSettings(context_window=1)
    )
    prompt = action_format.render_prompt("Fix it.", [])
    assert policy.generate(prompt, sampling=GREEDY)[0].text == "Shall I?"
    with pytest.raises(PolicyError, match="no recorded expert step matches this prompt"):
        policy.generate(action_format.render_prompt("Fix that.", []), sampling=GREEDY)

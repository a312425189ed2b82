"""A real vLLM server of a tiny model and an adapter; its command is in SRL_AGENT_VLLM (see docs/scale.md).

SRL_AGENT_VLLM="vllm-env/bin/python -m vllm.entrypoints.openai.api_server" pytest -m vllm
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from benchmarks.vllm_serving import Server, compared, rows
from harness.cli import run
from harness.validate import main
from srl_agent.policies import ContextOverflowError, Policy, Sampling, make_policy
from tests.tiny_runs import recipe

pytestmark = pytest.mark.vllm

PROMPTS = [[{"role": "user", "content": text}] for text in ("Fix the parser.", "def add(a, b):", "Why?")]
NAMES = ("base", "tuned")


@pytest.fixture(scope="module")
def weights(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with heads of 32, the smallest that vLLM has on a CPU, and an adapter over it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("served")
    config = Qwen2Config.from_pretrained(
        tiny_model, hidden_size=64, num_attention_heads=2, num_key_value_heads=1
    )
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():  # far from ties, which another order of sums decides otherwise
        model.lm_head.weight.mul_(20)
    for name in ("plain", "model"):
        model.save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder / name)
        model.generation_config.repetition_penalty = 5.0  # servers take what a request does not say from here
    lora = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    )
    lora.save_pretrained(folder / "adapter")
    return folder / "model", folder / "adapter"


@pytest.fixture(scope="module")
def server(weights: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = os.environ.get("SRL_AGENT_VLLM")
    if not command:
        pytest.skip("SRL_AGENT_VLLM does not name the command of a vLLM server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    flags = ["--dtype", "float32", "--enforce-eager"]
    with Server(
        command, str(weights[0]), {"tuned": str(weights[1])}, port=port, log=log, flags=flags
    ) as served:
        yield served


def served_policy(server: Server, name: str, **settings: object) -> Policy:
    return make_policy("endpoint", {"base_url": server.url, "model": name, "retries": 0, **settings})


def local_settings(weights: tuple[Path, Path], name: str) -> dict[str, object]:
    adapter = str(weights[1]) if name == "tuned" else None
    return {"model": str(weights[0].with_name("plain")), "adapter": adapter, "dtype": "float32"}


def whole(text: str) -> str:
    """Return a text without a character that was cut at its end: vLLM leaves it out, a tokenizer writes U+FFFD."""
    return text.rstrip("\ufffd")


def test_greedy_answers_are_those_of_the_same_weights_here(
    server: Server, weights: tuple[Path, Path]
) -> None:
    """In float32, base and adapter; what the served model's generation_config asks for is off."""
    greedy, answers = Sampling(max_tokens=20), {}
    for name in NAMES:
        served = served_policy(server, name, extra={"logprobs": True, "return_token_ids": True})
        local = make_policy("transformers", local_settings(weights, name))
        for prompt in PROMPTS:
            (there,), (here,) = (
                served.generate(prompt, sampling=greedy),
                local.generate(prompt, sampling=greedy),
            )
            assert there.token_ids == here.token_ids
            assert whole(there.text) == whole(here.text)
            assert there.prompt_tokens == here.prompt_tokens
            assert there.finish_reason == here.finish_reason
        answers[name] = there.text
    assert answers["base"] != answers["tuned"]
    plain = {"model": "base", "messages": PROMPTS[0], "temperature": 0.0, "max_tokens": 20}
    penalised = httpx.post(f"{server.url}/chat/completions", json=plain, timeout=60).json()
    (ours,) = served_policy(server, "base").generate(PROMPTS[0], sampling=greedy)
    assert penalised["choices"][0]["message"]["content"] != ours.text


def test_several_samples_have_their_own_tokens_and_log_probabilities(server: Server) -> None:
    policy = served_policy(server, "tuned", extra={"logprobs": True, "return_token_ids": True})
    made = policy.generate(PROMPTS[0], n=4, sampling=Sampling(temperature=1.0, max_tokens=12, seed=3))
    assert len({completion.text for completion in made}) > 1
    for completion in made:
        assert completion.token_ids is not None
        assert completion.logprobs is not None
        assert len(completion.token_ids) == len(completion.logprobs) == completion.completion_tokens
        assert max(completion.logprobs) <= 0
    first, second = policy.generate(PROMPTS[0], n=2, sampling=Sampling(max_tokens=12))
    assert first == second


@pytest.mark.parametrize(("words", "longest"), [(5000, 16), (200_000, 16), (1, 5000)])
def test_what_does_not_fit_is_a_context_limit_at_once(server: Server, words: int, longest: int) -> None:
    started = time.monotonic()
    with pytest.raises(ContextOverflowError, match="does not fit the context"):
        served_policy(server, "base", retries=6, backoff=5.0).generate(
            [{"role": "user", "content": "word " * words}], sampling=Sampling(max_tokens=longest)
        )
    assert time.monotonic() - started < 5  # no retry


def test_validation_through_the_server_is_that_of_the_same_weights_here(
    server: Server, weights: tuple[Path, Path], tmp_path: Path
) -> None:
    path = recipe(tmp_path, weights[0], validation={"max_new_tokens": 12}, rewards=[{"name": "similarity"}])
    endpoint = {"base_url": server.url, "model": "tuned", "retries": 0}
    for name, settings in (("endpoint", endpoint), ("transformers", local_settings(weights, "tuned"))):
        policy = [f"policy.name={name}", f"policy.settings={json.dumps(settings)}"]
        assert run(partial(main, [str(path), "--name", name, *policy])) == 0
    served, local = (
        [
            {**row, "completion": whole(row["completion"])}
            for row in rows(tmp_path / name / "validation.jsonl")
        ]
        for name in ("endpoint", "transformers")
    )
    assert compared(served, local, "policy")["equal_answers"] == len(served) == 6


@pytest.mark.usefixtures("image")
def test_an_evaluation_is_resumed_after_the_server_died(server: Server, tmp_path: Path) -> None:
    table = json.dumps({"base_url": server.url, "model": "tuned", "retries": 0})
    for scaffold in ("tool-loop", "oracle-edit"):
        sampling = "sampling: {temperature: 0.0, max_tokens: 16}"
        line = [
            sys.executable, "-m", "harness.evaluate", "demo", f"output={tmp_path}", f"name={scaffold}", "workers=1",
            "judge=[predictions]", "tasks.slice=0:4", "policy.name=endpoint", f"policy.settings={table}",
            f"scaffold={{name: {scaffold}, oracle: {scaffold == 'oracle-edit'}, settings: {{{sampling}}}}}",
            "max_policy_failures=2",
        ]  # fmt: skip
        process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        attempts = tmp_path / scaffold / "attempts.jsonl"
        while process.poll() is None and not rows(attempts):
            time.sleep(0.05)
        server.stop()
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert "cannot be reached" in said.splitlines()[-1]
        kept = [row for row in rows(attempts) if row["bucket"] != "policy_failure"]
        assert kept
        server.start()
        resumed = [sys.executable, "-m", "harness.evaluate", "--resume", str(tmp_path / scaffold)]
        assert subprocess.run(resumed, capture_output=True, timeout=300).returncode == 0
        report = json.loads((tmp_path / scaffold / "report.json").read_text())
        assert report["total_instances"] == 4
        assert (report["policy_failure_instances"], report["incomplete_instances"]) == (0, 0)

"""The endpoint policy against a real server that misbehaves on purpose."""

import socket
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from importlib.util import find_spec
from time import time
from typing import Any

import pytest

from srl_agent.plugins import PluginError
from srl_agent.policies import ContextOverflowError, Policy, PolicyError, Sampling, make_policy
from tests.srl_agent.policies.chat_server import ChatServer, Reply, chat, serve

PROMPT = [{"role": "user", "content": "Hello"}]
SAMPLED = Sampling(temperature=1.0)


def policy(url: str, **settings: Any) -> Policy:
    quick = {"retries": 2, "backoff": 0.01, "timeout": 5.0}
    return make_policy("endpoint", {"base_url": url, "model": "m", **quick, **settings})


def ask(server: ChatServer, n: int = 1, sampling: Sampling | None = None, **settings: Any) -> list[str]:
    made = policy(server.url, **settings).generate(PROMPT, n=n, sampling=sampling or Sampling())
    return [completion.text for completion in made]


def test_what_is_sent_and_what_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=11, stop=("END",), seed=3)
    with serve(Reply(chat("Hi", tokens=5))) as server:
        asked = policy(server.url, api_key_env="THE_KEY", extra={"top_k": 20})
        (completion,) = asked.generate(PROMPT, sampling=sampling)
    assert asked.name == "m"
    assert server.requests == [
        {
            "path": "/v1/chat/completions", "model": "m", "messages": PROMPT, "n": 1, "temperature": 0.5,
            "top_p": 0.9, "max_tokens": 11, "stop": ["END"], "seed": 3, "top_k": 20, "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
    ]  # fmt: skip
    assert server.headers[0]["authorization"] == "Bearer secret"
    assert (completion.text, completion.finish_reason) == ("Hi", "stop")
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 5)


def test_several_samples_in_one_request() -> None:
    with serve(Reply(chat("a", "b", "c", tokens=10))) as server:
        made = policy(server.url).generate(PROMPT, n=3, sampling=SAMPLED)
    assert [c.text for c in made] == ["a", "b", "c"]
    assert [c.completion_tokens for c in made] == [4, 3, 3]
    assert [r["n"] for r in server.requests] == [3]


def test_n_refused_becomes_n_requests_with_different_seeds() -> None:
    refusal = Reply({"error": {"message": "n must be 1"}}, status=400)
    with serve(refusal, Reply(chat("a")), Reply(chat("b")), Reply(chat("c"))) as server:
        asked = policy(server.url)
        made = asked.generate(PROMPT, n=2, sampling=Sampling(temperature=1.0, seed=5))
        made += asked.generate(PROMPT, n=2, sampling=SAMPLED)
    assert [c.text for c in made] == ["a", "b", "c", "c"]
    assert [r["n"] for r in server.requests] == [2, 1, 1, 1, 1]  # it is not asked for two again
    assert [r.get("seed") for r in server.requests] == [5, 5, 6, None, None]


def test_greedy_samples_are_alike_and_asked_for_once() -> None:
    """vLLM answers 400 to several, which must not count as a server that cannot give several samples."""
    with serve(Reply(chat("a", tokens=5)), Reply(chat("b", "c"))) as server:
        asked = policy(server.url)
        made = asked.generate(PROMPT, n=2, sampling=Sampling())
        made += asked.generate(PROMPT, n=2, sampling=SAMPLED)
    assert [c.text for c in made] == ["a", "a", "b", "c"]
    assert [c.completion_tokens for c in made[:2]] == [5, 5]
    assert [r["n"] for r in server.requests] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "Unrecognized request argument supplied: top_k",
        '{"detail": [{"type": "extra_forbidden", "loc": ["body", "min_p"], "msg": "Extra inputs are not permitted"}]}',
    ],
)
def test_a_server_that_does_not_know_the_neutral_filters_is_asked_without_them(text: str) -> None:
    with serve(Reply(text, status=400), Reply(chat("a"))) as server:
        asked = policy(server.url)
        made = [asked.generate(PROMPT, sampling=SAMPLED)[0].text for _ in range(2)]
    assert made == ["a", "a"]
    assert ["repetition_penalty" in r for r in server.requests] == [True, False, False]
    assert not {"top_k", "min_p"} & server.requests[1].keys()


def test_log_probabilities_and_token_ids_that_were_asked_for() -> None:
    body = chat("a", "bc", tokens=3)
    for choice, ids in zip(body["choices"], ([4], [5, 6]), strict=True):
        listed = [{"token": str(token), "logprob": -0.5 * token, "top_logprobs": []} for token in ids]
        choice |= {"logprobs": {"content": listed}, "token_ids": ids}
    extra = {"logprobs": True, "return_token_ids": True}
    with serve(Reply(body)) as server:
        made = policy(server.url, extra=extra).generate(PROMPT, n=2, sampling=SAMPLED)
    assert (server.requests[0]["logprobs"], server.requests[0]["return_token_ids"]) == (True, True)
    assert [c.token_ids for c in made] == [(4,), (5, 6)]
    assert [c.logprobs for c in made] == [(-2.0,), (-2.5, -3.0)]
    assert [c.completion_tokens for c in made] == [1, 2]  # not an equal share


def test_n_ignored_is_made_up_for() -> None:
    with serve(Reply(chat("a")), Reply(chat("b", "c"))) as server:
        assert ask(server, n=3, sampling=SAMPLED) == ["a", "b", "c"]
    assert [r["n"] for r in server.requests] == [3, 2]


def test_500_twice_then_fine() -> None:
    with serve(Reply("boom", status=500), Reply("boom", status=503), Reply(chat("Hi"))) as server:
        assert ask(server) == ["Hi"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("value", ["0.4", "date"])
def test_429_waits_as_long_as_the_server_asks(value: str) -> None:
    wait = formatdate(time() + 2, usegmt=True) if value == "date" else value
    with serve(Reply("busy", status=429, headers={"retry-after": wait}), Reply(chat("Hi"))) as server:
        assert ask(server) == ["Hi"]
    assert server.times[1] - server.times[0] >= 0.4


def test_a_server_that_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(
        PolicyError, match=rf"{url}/chat/completions: cannot be reached: .*tried 3 times.*base_url"
    ):
        policy(url).generate(PROMPT, sampling=Sampling())


def test_too_slow() -> None:
    with serve(Reply(chat("Hi"), after=1.0)) as server:
        with pytest.raises(
            PolicyError, match=r"no answer within the timeout \(tried 2 times\); raise `timeout`"
        ):
            ask(server, timeout=0.2, retries=1)
        assert len(server.requests) == 2


GARBAGE = {
    "html": "<html><body>Bad gateway</body></html>",
    "empty": "",
    "list": "[1]",
    "no choices": {"object": "error", "message": "?"},
    "empty choices": {"choices": []},
    "null choices": {"choices": None},
    "null content": chat(None),
    "content of another kind": chat(["Hi"]),  # type: ignore[arg-type]  # no text
    "no message": {"choices": [{"text": "Hi"}]},
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_an_invalid_answer_is_retried_and_then_quoted(body: Any) -> None:
    with serve(Reply(body), Reply(chat("Hi"))) as server:
        assert ask(server) == ["Hi"]
    with serve(Reply(body)) as server:
        with pytest.raises(PolicyError, match=rf"{server.url}.*the answer is not a chat completion"):
            ask(server)
        assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "advice"), [(400, ""), (401, "api_key_env"), (404, "`model` right")])
def test_a_refusal_is_not_retried(status: int, advice: str) -> None:
    with serve(Reply({"error": {"message": "no such thing"}}, status=status)) as server:
        with pytest.raises(PolicyError, match=rf"refuses with {status}: .*no such thing.*{advice}") as caught:
            ask(server)
        assert not isinstance(caught.value, ContextOverflowError)
        assert len(server.requests) == 1


OVERFLOWS = {
    "openai": {
        "error": {
            "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.",
            "code": "context_length_exceeded",
        }
    },
    "vllm": {
        "object": "error",
        "message": "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens.",
        "code": 400,
    },
    "vllm 0.32, the prompt alone": {
        "error": {
            "message": "This model's maximum context length is 2048 tokens. However, your prompt contains at least "
            "2049 input tokens, which exceeds this limit even without any output tokens.",
            "code": 400,
        }
    },
    "vllm 0.32, the completion alone": {
        "error": {
            "message": "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output"
        }
    },
    "vllm, the prompt alone": {"message": "max_tokens must be at least 1, got -186.", "code": 400},
    "vllm, older": {"message": "The prompt (total length 25938) is too long to fit into the model"},
    "sglang": {"message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."},
    "llama.cpp": {"error": {"type": "exceed_context_size_error", "message": "request exceeds it"}},
}


@pytest.mark.parametrize("body", OVERFLOWS.values(), ids=OVERFLOWS.keys())
def test_a_prompt_that_does_not_fit(body: Any) -> None:
    with serve(Reply(body, status=400)) as server:
        with pytest.raises(ContextOverflowError, match="does not fit the context"):
            ask(server, n=2, sampling=SAMPLED)
        assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thinking_that_was_split_off_comes_first(key: str) -> None:
    thinking: dict[str, Any] = {key: "\nLook.\n"}
    with serve(Reply(chat("\n\nls", **thinking))) as server:
        assert ask(server) == ["<think>\nLook.\n</think>\n\nls"]
    thinking = {key: "Look."}
    with serve(Reply(chat("<think>Look.</think>ls", **thinking))) as server:
        assert ask(server) == ["<think>Look.</think>ls"]


def test_thinking_that_the_prompt_opened_is_opened_again() -> None:
    with serve(Reply(chat("Look.\n</think>\n\nls"))) as server:
        assert ask(server) == ["<think>\nLook.\n</think>\n\nls"]


def test_filters_are_always_sent() -> None:
    sampling = Sampling(temperature=1.0, top_k=5, min_p=0.1, repetition_penalty=1.05)
    with serve(Reply(chat("a"))) as server:
        ask(server, sampling=sampling)
        ask(server, sampling=Sampling(temperature=1.0))
    asked, plain = server.requests
    assert (asked["top_k"], asked["min_p"], asked["repetition_penalty"]) == (5, 0.1, 1.05)
    assert (plain["top_k"], plain["min_p"], plain["repetition_penalty"]) == (
        -1,
        0.0,
        1.0,
    )  # not left to the server
    refusal = Reply("Unrecognized request argument supplied: top_k", status=400)
    with serve(refusal) as server, pytest.raises(PolicyError, match="refuses with 400"):
        ask(server, sampling=sampling)  # what was asked for is not dropped
    assert len(server.requests) == 1


def test_thinking_that_was_cut_off_is_an_answer() -> None:
    body = chat(None, reasoning_content="Hm")
    body["choices"][0]["finish_reason"] = "length"
    with serve(Reply(body)) as server:
        (made,) = policy(server.url).generate(PROMPT, sampling=Sampling())
    assert (made.text, made.finish_reason) == ("<think>\nHm", "length")


def test_without_usage_tokens_are_zero() -> None:
    with serve(Reply({"choices": chat("Hi")["choices"]})) as server:
        (made,) = policy(server.url).generate(PROMPT, sampling=Sampling())
    assert (made.prompt_tokens, made.completion_tokens) == (0, 0)


def test_from_several_threads() -> None:
    with serve(Reply(chat("Hi"), after=0.05)) as server:
        asked = policy(server.url)
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: asked.generate(PROMPT, sampling=Sampling())[0].text, range(8)))
    assert made == ["Hi"] * 8


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(PolicyError, match="NO_KEY is not set"):
        policy("http://localhost/v1", api_key_env="NO_KEY")
    with pytest.raises(PolicyError, match="'localhost:8000' must start with http"):
        policy("localhost:8000")
    with pytest.raises(PluginError, match=r"policy endpoint has no setting url: it takes .*base_url"):
        make_policy("endpoint", {"url": "x"})
    with pytest.raises(PluginError, match="policy endpoint needs the setting base_url, model"):
        make_policy("endpoint", {})
    with pytest.raises(
        PluginError, match="unknown policy 'vlm': use one of endpoint, transformers, vllm, or"
    ):
        make_policy("vlm", {})
    with pytest.raises(PluginError, match="cannot be imported"):
        make_policy("tests.nowhere:Policy", {})


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_an_extra_that_is_not_installed_is_named() -> None:
    with pytest.raises(PluginError, match=r"No module named 'vllm'; pip install 'srl-agent\[vllm\]'"):
        make_policy("vllm", {"model": "m"})

"""Policy of an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, a provider."""

import email.utils
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, PolicyError
from trajectories.types import JSON

_LONGEST_WAIT = 600.0  # seconds; a longer Retry-After is cut to this
_LONGEST_BACKOFF = 60.0  # seconds between tries, without a Retry-After
_TRANSIENT = frozenset({408, 409, 425, 429})  # and 5xx

# Errors for a prompt that does not fit: OpenAI's code, vLLM's messages of several versions, SGLang's, llama.cpp's.
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum (?:context|model) length|context (?:length|size|window)"
    r"|max_tokens must be at least 1, got -|cannot be greater than max_model_len|prompt .{0,60}is too long"
    r"|reduce the length of the (?:messages|input|prompt)",
    re.IGNORECASE,
)


_ADVICE = {401: "; name the key's variable as `api_key_env`", 404: "; are `base_url` and `model` right?"}


class EndpointPolicy:
    """Chat completions over HTTP: retries while a server is busy, gives up at once if it refuses."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        timeout: float = 900.0,
        retries: int = 6,
        backoff: float = 1.0,
        extra: Mapping[str, JSON] | None = None,
        name: str | None = None,
    ) -> None:
        """``base_url`` ends before ``/chat/completions``, e.g. ``http://localhost:8000/v1``.

        ``api_key_env``: the environment variable that holds the key. ``timeout``: seconds of one try without data from
        the server. ``backoff``: seconds before the second try, doubled from try to try. ``extra``: more fields of the
        request, e.g. ``{"chat_template_kwargs": {"enable_thinking": false}}``, or ``{"logprobs": true}`` and vLLM's
        ``{"return_token_ids": true}`` for ``Completion.logprobs`` and ``token_ids``. Raises PolicyError.
        """
        if not base_url.startswith(("http://", "https://")):
            raise PolicyError(f"base_url {base_url!r} must start with http:// or https://")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._retries = retries
        self._backoff = backoff
        self._extra = dict(extra or {})
        self._name = name or model
        self._one_by_one = False  # True for a server that gives one sample per request
        self._knows_filters = True  # False for a server that refuses their fields
        self._client = httpx.Client(timeout=timeout, headers=_authorization(api_key_env))

    @property
    def name(self) -> str:
        return self._name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Return ``n`` completions, by one request if the server supports that, else by several.

        Servers count the tokens of all samples together: each sample gets an equal share, unless token ids or
        log-probabilities were asked for. Raises PolicyError.
        """
        if sampling.temperature == 0 and n > 1:  # all alike; vLLM refuses to make several
            return self.generate(prompt, sampling=sampling) * n
        completions: list[Completion] = []
        while (left := n - len(completions)) > 0:
            asked = 1 if self._one_by_one else left
            # The same seed would give the same sample again.
            seed = None if sampling.seed is None else sampling.seed + len(completions)
            body = self._body(prompt, asked, replace(sampling, seed=seed))
            try:
                made = self._ask(body)
            except _RefusedError:
                if asked == 1:
                    raise
                made = self._ask({**body, "n": 1})  # if this fails too, n was not the reason
                self._one_by_one = True
            completions += made[:left]
        return completions

    def _body(self, prompt: Sequence[Message], n: int, sampling: Sampling) -> dict[str, JSON]:
        return {
            "model": self._model,
            "messages": list(prompt),
            "n": n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            **({"stop": list(sampling.stop)} if sampling.stop else {}),
            **({"seed": sampling.seed} if sampling.seed is not None else {}),
            **(_filters(sampling) if self._knows_filters else {}),
            **self._extra,
        }

    def _ask(self, body: Mapping[str, JSON]) -> list[Completion]:
        """Return one answer's completions. Raises PolicyError."""
        try:
            return self._retried(body)
        except _RefusedError as error:
            off = {key: value for key, value in _filters(Sampling()).items() if key in body}
            wanted = {key: body[key] for key in off} != off or off.keys() & self._extra.keys()
            if wanted or not any(field in str(error) for field in off):
                raise
            self._knows_filters = False
            return self._retried({key: value for key, value in body.items() if key not in off})

    def _retried(self, body: Mapping[str, JSON]) -> list[Completion]:
        """Return one answer's completions, after up to ``retries`` retries. Raises PolicyError."""
        for attempt in range(self._retries + 1):
            found = self._try(body)
            if not isinstance(found, _Retry):
                return found
            trouble = found
            if attempt < self._retries:
                backoff = min(self._backoff * 2.0**attempt, _LONGEST_BACKOFF)
                wait = backoff if found.wait is None else min(max(found.wait, 0.0), _LONGEST_WAIT)
                # Randomised, so that many clients do not retry at the same moment.
                time.sleep(wait + random.uniform(0, backoff) / 2)
        raise PolicyError(f"{self._url}: {trouble.what} (tried {self._retries + 1} times); {trouble.advice}")

    def _try(self, body: Mapping[str, JSON]) -> "list[Completion] | _Retry":
        try:
            response = self._client.post(self._url, json=body)
        except httpx.TimeoutException:
            return _Retry("no answer within the timeout", "raise `timeout`, or lower the load on the server")
        except httpx.RequestError as error:
            return _Retry(f"cannot be reached: {error}", "is the server up, and `base_url` right?")
        if response.status_code in _TRANSIENT or response.status_code >= 500:
            what = f"answers {response.status_code}: {_excerpt(response.text)}"
            return _Retry(what, "see the server's log", _retry_after(response.headers.get("retry-after")))
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return _completions(response.json())
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            what = f"the answer is not a chat completion ({error}): {_excerpt(response.text)}"
            return _Retry(what, "is `base_url` the address of an OpenAI-compatible server?")

    def _refusal(self, response: httpx.Response) -> PolicyError:
        said = _excerpt(response.text)
        if response.status_code in (400, 413, 422) and _OVERFLOW.search(response.text):
            return ContextOverflowError(f"{self._url}: the prompt does not fit the context: {said}")
        advice = _ADVICE.get(response.status_code, "")
        return _RefusedError(f"{self._url}: the server refuses with {response.status_code}: {said}{advice}")


class _RefusedError(PolicyError):
    """The server understood the request and refused it."""


@dataclass(frozen=True)
class _Retry:
    """Why a try failed where a retry may succeed."""

    what: str
    advice: str
    wait: float | None = None  # seconds that the server asks for


def _authorization(api_key_env: str | None) -> dict[str, str]:
    if api_key_env is None:
        return {}
    key = os.environ.get(api_key_env)
    if not key:
        raise PolicyError(f"api_key_env: the environment variable {api_key_env} is not set")
    return {"Authorization": f"Bearer {key}"}


def _retry_after(value: str | None) -> float | None:
    """Return seconds, from either form of the header; None without a readable one."""
    if value is None:
        return None
    with suppress(ValueError):
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None


def _filters(sampling: Sampling) -> dict[str, JSON]:
    """Return the fields that vLLM, SGLang and llama.cpp know and OpenAI refuses.

    They are sent where they are off, too: vLLM and SGLang take what a request does not say from the model's
    ``generation_config.json``, which may ask for a penalty. -1 is the one ``top_k`` that both read as off.
    """
    penalty = sampling.repetition_penalty
    return {"top_k": sampling.top_k or -1, "min_p": sampling.min_p, "repetition_penalty": penalty}


def _excerpt(text: str) -> str:
    short = " ".join(text.split())
    return (short[:300] + "…" if len(short) > 300 else short) or "(nothing)"


def _completions(answer: JSON) -> list[Completion]:
    """Read a chat completion. Raises ValueError, KeyError, TypeError, AttributeError or IndexError if it is none."""
    choices = answer["choices"]
    if not choices:
        raise ValueError("no choices")
    usage = answer.get("usage") or {}
    tokens = int(usage.get("completion_tokens") or 0)
    prompt_tokens = int(usage.get("prompt_tokens") or 0)
    shares = [tokens // len(choices) + (number < tokens % len(choices)) for number in range(len(choices))]
    return [_completion(choice, prompt_tokens, share) for choice, share in zip(choices, shares, strict=True)]


def _completion(choice: Mapping[str, JSON], prompt_tokens: int, tokens: int) -> Completion:
    """Read one sample; ``tokens`` is its share, for a server that does not list its tokens."""
    listed = (choice.get("logprobs") or {}).get("content")
    logprobs = tuple(float(token["logprob"]) for token in listed) if listed is not None else None
    ids = choice.get("token_ids")
    token_ids = tuple(int(token) for token in ids) if ids is not None else None
    known = token_ids if token_ids is not None else logprobs
    return Completion(
        text=_text(choice["message"]),
        finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=prompt_tokens,
        completion_tokens=tokens if known is None else len(known),
        token_ids=token_ids,
        logprobs=logprobs,
    )


def _text(message: Mapping[str, JSON]) -> str:
    """Return the answer, with the reasoning that the server split off put back in front of it."""
    content = message.get("content")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(thinking, str) or not thinking:
        if not isinstance(content, str):
            raise ValueError("no content")
        # Without a tag that opens it, the thought began in the prompt: the server's template wrote the tag.
        closed_only = "</think>" in content and "<think>" not in content.partition("</think>")[0]
        return f"<think>\n{content}" if closed_only else content
    if content is None:
        return f"<think>\n{thinking}"  # cut off before the answer began
    if not isinstance(content, str):
        raise ValueError("content is not text")
    if "</think>" in content:
        return content
    return f"<think>\n{thinking.strip()}\n</think>\n\n{content.lstrip()}"

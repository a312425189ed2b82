"""A model in this process, with transformers: for small models and machines without a server."""

import threading
from collections.abc import Mapping, Sequence

import torch

from srl_agent.context_length import context_length
from srl_agent.formats import Message
from srl_agent.generation.generate import complete
from srl_agent.generation.types import Completion, Sampling
from srl_agent.models.load import load_policy, load_policy_chat
from srl_agent.models.packaged import resolve_model
from srl_agent.policies.base import ContextOverflowError
from trajectories.types import JSON


class TransformersPolicy:
    """Serves one request at a time; its ``n`` samples are decoded in batches of up to ``max_batch``."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "bfloat16",
        adapter: str | None = None,
        device: str | None = None,
        max_batch: int = 8,
        name: str | None = None,
        options: Mapping[str, object] | None = None,
        chat_template_kwargs: Mapping[str, JSON] | None = None,
        template_date: str | None = None,
    ) -> None:
        """``model``: a folder, a hub id or a packaged model; ``adapter``: folder of a LoRA adapter on it.

        ``device``: None uses an accelerator if there is one. ``options`` go to ``from_pretrained``.
        ``chat_template_kwargs`` and ``template_date`` (YYYY-MM-DD): as in a training recipe's table ``model``. Raises
        ModelError.
        """
        path = resolve_model(model)
        self._chat = load_policy_chat(path, chat_template_kwargs, template_date)
        self._model = load_policy(path, dtype=dtype, lora=None, adapter=adapter, **(options or {}))
        self._model.to(device or torch.accelerator.current_accelerator() or "cpu").eval()
        self._context = context_length(self._model.config)
        self._max_batch = max_batch
        self._name = name or adapter or model
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Return ``n`` completions; greedy ones are identical and computed once. Raises ContextOverflowError."""
        ids = self._chat.prompt_ids(prompt)
        if self._context is not None and len(ids) + sampling.max_tokens > self._context:
            raise ContextOverflowError(
                f"{self._name}: the prompt has {len(ids)} tokens; with {sampling.max_tokens} for the completion "
                f"that is over the model's context of {self._context}"
            )
        if sampling.temperature == 0:
            return self._sample(ids, 1, sampling) * n
        return self._sample(ids, n, sampling)

    def _sample(self, ids: list[int], n: int, sampling: Sampling) -> list[Completion]:
        completions: list[Completion] = []
        # A seeded request restores the state of torch's global generator.
        with self._lock, torch.random.fork_rng(enabled=sampling.seed is not None):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            while left := n - len(completions):
                batch = [ids] * min(left, self._max_batch)
                completions += complete(self._model, self._chat, batch, sampling)
        return completions

"""A model in this process, with vLLM: a GPU machine without a server. Needs the extra ``vllm``."""

import threading
from collections.abc import Mapping, Sequence

from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from srl_agent.formats import Message
from srl_agent.generation.generate import completion
from srl_agent.generation.settings import ids_of, vllm_settings
from srl_agent.generation.types import Completion, Sampling
from srl_agent.models.load import declared_ends, load_policy_chat
from srl_agent.models.packaged import resolve_model
from srl_agent.policies.base import ContextOverflowError
from trajectories.types import JSON


class VLLMPolicy:
    """Serves one request at a time; for concurrent ones start ``vllm serve`` and use the endpoint policy."""

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        name: str | None = None,
        chat_template_kwargs: Mapping[str, JSON] | None = None,
        template_date: str | None = None,
        **engine: object,
    ) -> None:
        """``engine``: vLLM's own arguments; the others as in TransformersPolicy. Raises ModelError."""
        path = resolve_model(model)
        self._chat = load_policy_chat(path, chat_template_kwargs, template_date)
        self._ends = ids_of(self._chat.tokenizer.eos_token_id, self._chat.turn_end, declared_ends(path))
        self._llm = LLM(model=path, enable_lora=adapter is not None, **engine)
        self._lora = LoRARequest("adapter", 1, adapter) if adapter is not None else None
        self._context: int = self._llm.llm_engine.model_config.max_model_len
        self._name = name or adapter or model
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Raises ContextOverflowError."""
        ids = self._chat.prompt_ids(prompt)
        if len(ids) + sampling.max_tokens > self._context:
            raise ContextOverflowError(
                f"{self._name}: the prompt has {len(ids)} tokens; with {sampling.max_tokens} for the completion "
                f"that is over the engine's context of {self._context} (max_model_len)"
            )
        greedy = sampling.temperature == 0
        # vLLM refuses several greedy samples, which are identical.
        parameters = SamplingParams(n=1 if greedy else n, **vllm_settings(sampling, self._ends))
        with self._lock:
            asked = [{"prompt_token_ids": ids}]
            (output,) = self._llm.generate(asked, parameters, use_tqdm=False, lora_request=self._lora)
        completions = [
            completion(self._chat, ids, list(sample.token_ids), self._ends, sampling.stop)
            for sample in output.outputs
        ]
        return completions * n if greedy else completions

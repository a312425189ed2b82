"""A model in this process, with vLLM: a GPU machine without a server. Needs the extra ``vllm``."""

import threading
from collections.abc import Sequence

from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from srl_agent.formats import Message
from srl_agent.generation.generate import tokenize_prompt
from srl_agent.generation.types import Completion, Sampling
from srl_agent.models.load import load_tokenizer
from srl_agent.models.packaged import resolve_model
from srl_agent.policies.base import ContextOverflowError


class VLLMPolicy:
    """Serves one request at a time; for concurrent ones start ``vllm serve`` and use the endpoint policy."""

    def __init__(
        self, model: str, *, adapter: str | None = None, name: str | None = None, **engine: object
    ) -> None:
        """``model`` and ``adapter`` as in TransformersPolicy; ``engine``: vLLM's own arguments. Raises ModelError."""
        path = resolve_model(model)
        self._tokenizer = load_tokenizer(path)
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
        ids = tokenize_prompt(self._tokenizer, prompt)
        if len(ids) + sampling.max_tokens > self._context:
            raise ContextOverflowError(
                f"{self._name}: the prompt has {len(ids)} tokens; with {sampling.max_tokens} for the completion "
                f"that is over the engine's context of {self._context} (max_model_len)"
            )
        greedy = sampling.temperature == 0
        parameters = SamplingParams(
            n=1 if greedy else n,  # vLLM refuses several greedy samples, which are identical
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            seed=sampling.seed,
        )
        with self._lock:
            asked = [{"prompt_token_ids": ids}]
            (output,) = self._llm.generate(asked, parameters, use_tqdm=False, lora_request=self._lora)
        completions = [
            Completion(
                text=sample.text,
                finish_reason="length" if sample.finish_reason == "length" else "stop",
                prompt_tokens=len(ids),
                completion_tokens=len(sample.token_ids),
                token_ids=tuple(sample.token_ids),
            )
            for sample in output.outputs
        ]
        return completions * n if greedy else completions

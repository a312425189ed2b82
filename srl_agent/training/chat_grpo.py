"""TRL's GRPO with prompts, ends of completions and their text as in validation and in policies."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase
from trl import GRPOTrainer

from srl_agent.formats import Message
from srl_agent.generation.chat import Chat, make_chat
from srl_agent.generation.settings import own_ends_only


class ChatGRPOTrainer(GRPOTrainer):
    """TRL's ``GRPOTrainer``, which samples as its own settings say: the model's ``generation_config`` has no say in it.

    ``chat`` renders the prompts; None: the template of the trainer's tokenizer, with TRL's ``chat_template_kwargs``.
    """

    processing_class: PreTrainedTokenizerBase
    chat: Chat

    def __init__(self, *, chat: Chat | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chat = chat or make_chat(self.processing_class, template_kwargs=self.chat_template_kwargs)
        ends = own_ends_only(self.accelerator.unwrap_model(self.model), self.chat)
        self.eos_token_ids = ends
        if self.use_vllm:
            engine = self.vllm_generation
            engine.generation_kwargs = {"stop_token_ids": ends, **engine.generation_kwargs}
        else:
            self.generation_config.eos_token_id = ends

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        if isinstance(prompts[0], str):
            tokenized: tuple[list[list[int]], None, dict[str, Any]] = super()._tokenize_prompts(prompts)
            return tokenized
        messages: Sequence[Sequence[Message]] = prompts
        return self.chat.batch_ids(messages), None, {}

    def texts(self, prompt_ids: Sequence[Sequence[int]], token_ids: Sequence[Sequence[int]]) -> list[str]:
        """Return what is judged of completions."""
        pairs = zip(prompt_ids, token_ids, strict=True)
        return [self.chat.text(prompt, tokens) for prompt, tokens in pairs]

"""Chat templates: messages to prompt tokens, an expert's text to target tokens, sampled tokens to the text that counts.

Training rows, sampling, validation, profiles and local policies all use it, so that they see the same prompts and judge
the same text. A template may open ``<think>`` itself where an answer begins: then targets begin inside it, and what is
sampled counts with the opened tag in front.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase as Tokenizer

from srl_agent.formats import ActionFormat, FormatError, Message
from srl_agent.generation.types import ModelError
from trajectories.types import JSON

# The day that templates print which print today's: prompts of a resumed run, and of the next one, are the same.
TEMPLATE_DATE = date(2026, 1, 1)

_OPENED = re.compile(r"<think>\s*\Z")
_EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
# Written by models and read by action formats, also where a tokenizer calls them special.
_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
_PROBE = "What a message says."
_SECOND_PROBE = "What another one says."


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A tokenizer with its chat template, and the settings that prompts are rendered with; see :func:`make_chat`."""

    tokenizer: Tokenizer
    template_kwargs: Mapping[str, JSON] = field(default_factory=dict)
    today: date = TEMPLATE_DATE
    has_system_role: bool  # False: the system text goes in front of the first user message
    turn_end: int  # the token that the template writes after an answer: the last one of a target
    hidden: frozenset[int] | None  # tokens that are no text; None: those that the tokenizer leaves out itself

    def render(self, messages: Sequence[Message], *, answered: bool = False) -> str:
        """Return messages as the template writes them, up to where the answer begins, or with it.

        Raises ModelError.
        """
        if not self.has_system_role:
            messages = _without_system(messages)
        try:
            return _render(self.tokenizer, messages, self.template_kwargs, self.today, answered)
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ModelError(
                f"{_name(self.tokenizer)}: its chat template refuses messages of the roles {roles}: {error}; choose "
                "another model, or correct chat_template in its folder"
            ) from error

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of chat messages, up to where the answer begins. Raises ModelError."""
        return self._encode(self.render(messages))

    def batch_ids(self, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Return the tokens of several prompts; consecutive equal ones are rendered once. Raises ModelError."""
        found: list[list[int]] = []
        for index, prompt in enumerate(prompts):
            again = index > 0 and prompt == prompts[index - 1]
            found.append(list(found[-1]) if again else self.prompt_ids(prompt))
        return found

    def target_ids(self, prompt_ids: Sequence[int], text: str) -> list[int]:
        """Return the tokens of an answer to a prompt, with the end of the turn: what SFT learns."""
        opened = self.opened(prompt_ids)
        return [*self._encode(_inside(opened, text) if opened else text), self.turn_end]

    def text(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of a completion, with the ``<think>`` that its prompt ends with: what is judged."""
        return self.opened(prompt_ids) + self.decode(ids)

    def opened(self, prompt_ids: Sequence[int]) -> str:
        """Return the ``<think>`` at the end of a prompt, with the white space after it; empty if it ends otherwise."""
        tail = self.tokenizer.decode(list(prompt_ids[-8:]), skip_special_tokens=False)
        assert isinstance(tail, str)
        found = _OPENED.search(tail)
        return found[0] if found else ""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        if self.hidden is None:
            text = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        else:
            shown = [token for token in ids if token not in self.hidden]
            text = self.tokenizer.decode(shown, skip_special_tokens=False)
        assert isinstance(text, str)
        return text

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def make_chat(
    tokenizer: Tokenizer, *, template_kwargs: Mapping[str, JSON] | None = None, today: date = TEMPLATE_DATE
) -> Chat:
    """Find out how a tokenizer's template treats system messages and ends of turns.

    ``template_kwargs``: arguments of the template, such as ``enable_thinking``; ``today``: the date that templates see.
    Raises ModelError for a template that cannot be used, and for an argument that it does not read.
    """
    given = dict(template_kwargs or {})
    template = str(tokenizer.get_chat_template())
    for key in given:
        if not re.search(rf"\b{re.escape(key)}\b", template):
            raise ModelError(
                f"chat_template_kwargs: the chat template of {_name(tokenizer)} reads no {key}: remove it"
            )
    return Chat(
        tokenizer=tokenizer,
        template_kwargs=given,
        today=today,
        has_system_role=_has_system_role(tokenizer, given, today),
        turn_end=_turn_end(tokenizer, given, today),
        hidden=_hidden(tokenizer),
    )


def chat_notes(chat: Chat) -> list[str]:
    """Return what a user should know about the template, a line each."""
    notes = []
    if not chat.has_system_role:
        notes.append("its template has no system role: system text goes in front of the first user message")
    if "strftime_now" in str(chat.tokenizer.get_chat_template()):
        notes.append(f"its template prints today's date: it is {chat.today} (model.template_date)")
    asked = [{"role": "user", "content": _PROBE}]
    prompt, answer = chat.render(asked), {"role": "assistant", "content": _SECOND_PROBE}
    if _OPENED.search(prompt):
        notes.append(
            "its template opens <think> where an answer begins: targets and completions begin inside it"
        )
    before = chat.render([*asked, answer], answered=True).partition(_SECOND_PROBE)[0]
    written = before.removeprefix(prompt) if before.startswith(prompt) else ""
    if written.strip() not in ("", _EMPTY_THOUGHT.strip()):
        notes.append(
            f"its template writes {written!r} in front of an answer; targets and completions begin without it"
        )
    if prompt.endswith(_EMPTY_THOUGHT):
        notes.append("its template writes an empty <think> block in front of an answer")
    return notes


def render_row(chat: Chat, prompt: Sequence[Message], target: str) -> str:
    """Return a row as SFT learns it, as text with special tokens. Raises ModelError."""
    prompt_ids = chat.prompt_ids(prompt)
    text = chat.tokenizer.decode(
        [*prompt_ids, *chat.target_ids(prompt_ids, target)], skip_special_tokens=False
    )
    assert isinstance(text, str)
    return text


def template_problems(
    chat: Chat, prompt: Sequence[Message], target: str, action_format: ActionFormat
) -> list[str]:
    """Return what is wrong with a row: a prompt that loses text, a target that counts as another or as malformed."""
    try:
        rendered, prompt_ids = chat.render(prompt), chat.prompt_ids(prompt)
    except ModelError as error:
        return [str(error)]
    name, problems = _name(chat.tokenizer), []
    for message in prompt:
        if message["content"].strip() not in rendered:
            problems.append(
                f"{name}: its chat template does not write the {message['role']} message as it is"
            )
    if chat.tokenizer.decode(prompt_ids, skip_special_tokens=False) != rendered:
        problems.append(f"{name}: its tokenizer changes the prompt: decoded, the tokens are another text")
    if rendered.endswith(_EMPTY_THOUGHT) and target.startswith("<think>"):
        problems.append(
            f"{name}: its chat template writes an empty <think> block and the target another one: set "
            "model.chat_template_kwargs.enable_thinking to true, or steps.thoughts to none"
        )
    if malformed := target_problem(chat, prompt, target, action_format):
        return [*problems, malformed]
    judged = chat.text(prompt_ids, chat.target_ids(prompt_ids, target))
    if action_format.parse(judged) != action_format.parse(target):
        problems.append(f"{name}: its tokenizer changes the expert's completion: decoded, it is another one")
    return problems


def target_problem(
    chat: Chat, prompt: Sequence[Message], target: str, action_format: ActionFormat
) -> str | None:
    """Return why the expert's own completion would count as malformed, None if it would not. Raises ModelError."""
    prompt_ids = chat.prompt_ids(prompt)
    try:
        action_format.parse(chat.text(prompt_ids, chat.target_ids(prompt_ids, target)))
    except FormatError as error:
        advice = (
            "; its template opens <think> where an answer begins: set steps.thoughts to expert or filler, or, if it "
            "reads enable_thinking, model.chat_template_kwargs.enable_thinking to false"
        )
        told = f"{_name(chat.tokenizer)}: the expert's own completion counts as malformed: {error}"
        return told + (advice if chat.opened(prompt_ids) else "")
    return None


def _name(tokenizer: Tokenizer) -> str:
    return f"model {tokenizer.name_or_path!r}" if tokenizer.name_or_path else "the tokenizer"


def _render(
    tokenizer: Tokenizer, messages: Sequence[Message], given: Mapping[str, JSON], today: date, answered: bool
) -> str:
    text = tokenizer.apply_chat_template(
        list(messages),
        tokenize=False,
        add_generation_prompt=not answered,
        strftime_now=today.strftime,
        **given,
    )
    assert isinstance(text, str)
    return text


def _has_system_role(tokenizer: Tokenizer, given: Mapping[str, JSON], today: date) -> bool:
    """Return whether the template writes system messages; some raise an error, others drop them."""
    messages = [{"role": "system", "content": _PROBE}, {"role": "user", "content": _SECOND_PROBE}]
    try:
        return _PROBE in _render(tokenizer, messages, given, today, False)
    except (TemplateError, TypeError, ValueError, KeyError):
        return False  # a template that refuses user messages, too, fails in _turn_end


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Return messages with the system texts in front of the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if system and rest:
        rest[0]["content"] = "\n\n".join([*system, rest[0]["content"]])
    return rest


def _turn_end(tokenizer: Tokenizer, given: Mapping[str, JSON], today: date) -> int:
    """Return the token after an answer: the first of the vocabulary's added ones, or else the tokenizer's end."""
    messages = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _SECOND_PROBE}]
    try:
        text = _render(tokenizer, messages, given, today, True)
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{_name(tokenizer)}: its chat template refuses a user message with an answer: {error}; use a chat model"
        ) from error
    if _PROBE not in text or _SECOND_PROBE not in text:
        raise ModelError(
            f"{_name(tokenizer)}: its chat template does not write plain text messages; use a chat model"
        )
    ids = tokenizer(text.rpartition(_SECOND_PROBE)[2], add_special_tokens=False)["input_ids"]
    found = next((token for token in ids if token in tokenizer.added_tokens_decoder), tokenizer.eos_token_id)
    if found is None:
        raise ModelError(
            f"{_name(tokenizer)}: neither its chat template nor its tokenizer ends a turn: set eos_token in its "
            "tokenizer_config.json"
        )
    return int(found)


def _hidden(tokenizer: Tokenizer) -> frozenset[int] | None:
    special = {
        token: added.content for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    if not set(_TAGS) & set(special.values()):
        return None
    return frozenset(token for token, content in special.items() if content not in _TAGS)


def _inside(opened: str, text: str) -> str:
    """Return an answer as it continues an opened ``<think>``; one without a thought closes the tag first.

    >>> _inside("<think>\\n", "<think>\\nWhy?\\n</think>\\n\\nls"), _inside("<think>\\n", "ls")
    ('Why?\\n</think>\\n\\nls', '\\n</think>\\n\\nls')
    """
    whole = text if text.startswith("<think>") else _EMPTY_THOUGHT + text
    return whole.removeprefix(opened) if whole.startswith(opened) else whole.removeprefix("<think>").lstrip()

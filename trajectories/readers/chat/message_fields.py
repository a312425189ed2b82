"""Chat messages in which any part may be odd: where a document holds them, their texts, thinking beside commands."""

from collections import Counter

from trajectories.conversation.events import Folded
from trajectories.conversation.reasoning import join_reasoning, split_thinking
from trajectories.readers.chat.exchange import exchange_of
from trajectories.readers.chat.sharegpt import as_chat
from trajectories.types import JSON, JSONObject

_OPEN, _CLOSE = "<think>", "</think>"


def messages_of(value: JSON, notes: Counter[str]) -> list[JSONObject]:
    """Return the messages of a row, of a request with its response, or of a bare list. Raises ValueError for none.

    ``notes`` counts what is no message.
    """

    def note(what: str) -> None:
        notes[what] += 1

    messages = [as_chat(_with_content(message)) for message in exchange_of(value, note).messages]
    notes["message_not_understood"] += messages.count(None)
    return [message for message in messages if message is not None]


def _with_content(message: JSON) -> JSON:
    """Return a message whose text is in ``text`` (nebius' sets) with it in ``content``."""
    if not isinstance(message, dict) or not isinstance(message.get("text"), str):
        return message
    return message if message.get("content") else {**message, "content": message["text"]}


def reply_in(response: JSON) -> JSONObject | None:
    """Return the message of a chat completion, None if it is something else."""
    choices = response.get("choices") if isinstance(response, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else None


def task_of(folded: Folded, column: str | None) -> str | None:
    """Return the task's own column if the prompt holds it or is empty, None for the task in the prompt."""
    task = (column or "").strip()
    return task if task and (not folded.prompt.strip() or task in folded.prompt) else None


def split_before_fence(text: str) -> tuple[str, str]:
    r"""Return (thinking, visible text) of a reply whose command is a fenced block: tags in the command are its own.

    >>> split_before_fence("<think>Or ```pwd```?</think>Look.\n```bash\necho '</think>'\n```")
    ('Or ```pwd```?', "Look.\n```bash\necho '</think>'\n```")
    """
    first, rest = _leading_thinking(text)
    head, fence, tail = rest.partition("```")
    thinking, visible = split_thinking(head)
    return join_reasoning(first, thinking), f"{visible}{fence}{tail}"


def _leading_thinking(text: str) -> tuple[str, str]:
    """Return the thinking that a reply begins with, and the rest; the prompt may have opened its tag."""
    if text.lstrip().startswith(_OPEN):
        inner, _, rest = text.lstrip().removeprefix(_OPEN).partition(_CLOSE)
        return inner, rest
    inner, _, rest = text.partition(_CLOSE)
    closes = _CLOSE in text and _OPEN not in text and rest[:1] in ("", "\n", "\r", "<")
    # A tag inside of the command has no whole block behind it.
    if closes and ("```" not in inner or rest.count("```") > 1):
        return inner, rest
    return "", text

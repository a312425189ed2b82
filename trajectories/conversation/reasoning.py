"""Private thinking in chat messages: fields of servers, blocks of content, and tagged spans in the text."""

import re

from trajectories.types import JSON, JSONObject

THINKING_BLOCKS = ("thinking", "redacted_thinking", "reasoning", "redacted-reasoning")
ENCRYPTED = "encrypted_reasoning"  # the note of a reply whose thinking only its provider can read
_SEALED = frozenset({"redacted_thinking", "redacted-reasoning", "reasoning.encrypted"})

# Servers write the same thinking under several of these; the first one that holds text is taken.
_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
_NESTED = ("provider_specific_fields", "additional_kwargs")  # LiteLLM's and LangChain's
_HOLDERS = ("content", *_FIELDS)
_HOLDING = frozenset((*_FIELDS, *_NESTED))
_TEXTS = (
    "text",
    "thinking",
    "content",
    "reasoning_content",
    "reasoning",
    "summary",
)  # in a block of thinking
_TOKEN = re.compile(
    r"(?P<open><(?:think|thinking|seed:think)>|\[THINK\])"
    r"|(?P<close></(?:think|thinking|seed:think)>|\[/THINK\])"
    r"|(?P<call><function=|<tool_call>(?=\s*(?:<function=|[{\[]|[\w.-]+\s*<arg_key>))|<(?:｜DSML｜)?invoke name="
    r"|<\|tool_call_begin\|>|<｜tool▁call▁begin｜>)"
)
_QUOTES = "`'\""


def reasoning_of(message: JSONObject) -> str:
    """Return the thinking that a server put into fields or content blocks of a message, empty if there is none.

    >>> reasoning_of({"content": "Look.", "reasoning_content": "The sign is wrong."})
    'The sign is wrong.'
    """
    in_content = thinking_in(message.get("content"))
    if _HOLDING.isdisjoint(message):  # as of most messages
        return in_content
    for key in _FIELDS:
        if (value := message.get(key)) and (text := _text(value)):
            return text
    if in_content:
        return in_content
    for key in _NESTED:
        if (inner := message.get(key)) and isinstance(inner, dict) and (text := reasoning_of(inner)):
            return text
    return ""


def thinking_in(content: JSON) -> str:
    """Return the text of the thinking blocks of a message's content."""
    if not isinstance(content, list):
        return ""
    return _text(
        [block for block in content if isinstance(block, dict) and block.get("type") in THINKING_BLOCKS]
    )


def _text(value: JSON) -> str:
    """Return the text of thinking: a string, a block that holds it under one of several keys, or a list of these."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(text for item in value if (text := _text(item)))
    if isinstance(value, dict):
        return next((text for key in _TEXTS if (text := _text(value.get(key)))), "")
    return ""


def is_sealed(message: JSONObject) -> bool:
    """Return whether a message holds thinking that only its provider can read."""
    held = (blocks for key in _HOLDERS if isinstance(blocks := message.get(key), list))
    return any(
        isinstance(block, dict) and str(block.get("type")) in _SEALED for blocks in held for block in blocks
    )


def hides_reasoning(message: JSONObject) -> bool:
    """Return whether a message holds thinking of which nothing can be read, such as a signature alone."""
    if reasoning_of(message):
        return False
    held = (message.get(key) for key in ("content", "thinking_blocks", "reasoning_details"))
    blocks = [block for blocks in held if isinstance(blocks, list) for block in blocks]
    signed = (
        isinstance(block, dict) and block.get("type") in THINKING_BLOCKS and block.get("signature")
        for block in blocks
    )
    return is_sealed(message) or any(signed)


def join_reasoning(*texts: str) -> str:
    """Return the thinking of several places as one text; what a place repeats counts once."""
    return "\n".join(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))


def split_thinking(text: str) -> tuple[str, str]:
    r"""Return (thinking, visible text) of a reply in which ``<think>…</think>`` or a tag like it marks thinking.

    The opening tag may be missing, where a prompt ends with it, and so may the closing tag of a reply that is all
    thinking. Tags within quotes, and tags after the first call, are text.

    >>> split_thinking("<think>\nI should list.\n</think>\n\nLook.")
    ('I should list.', '\n\nLook.')
    >>> split_thinking("I should list.\n</think>\n\nLook."), split_thinking("<think>\nI should")
    (('I should list.', '\n\nLook.'), ('I should', ''))
    """
    if "think" not in text and "THINK" not in text:
        return "", text
    if _TOKEN.search(text) is None:
        return "", text
    thinking: list[str] = []
    visible: list[str] = []
    start = 0  # of the text that is not handed out
    opened: re.Match[str] | None = None
    call = len(text)  # where the first call since the opening tag begins
    for token in _TOKEN.finditer(text):
        if token["call"]:
            if opened is None:
                break
            call = min(call, token.start())
        elif _is_quoted(text, token):
            continue
        elif token["open"] and opened is None:
            visible.append(text[start : token.start()])
            start, opened, call = token.end(), token, len(text)
        elif token["close"] and (opened or (not thinking and not visible and _ends_line(text, token))):
            thinking.append(text[start : token.start()])
            start, opened = token.end(), None
    if opened is not None:  # never closed
        if "".join(visible).strip():
            start = opened.start()
        else:
            thinking.append(text[start:call])
            start = call
    return join_reasoning(*thinking), "".join(visible) + text[start:]


def _is_quoted(text: str, token: re.Match[str]) -> bool:
    before, after = text[token.start() - 1 : token.start()], text[token.end() : token.end() + 1]
    return bool(before and before in _QUOTES) or bool(after and after in _QUOTES)


def _ends_line(text: str, token: re.Match[str]) -> bool:
    return text[token.end() : token.end() + 1] in ("", "\n", "\r", "<")

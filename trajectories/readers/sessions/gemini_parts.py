"""Parts of a Gemini content: texts, thoughts, calls and their results."""

import json
from dataclasses import dataclass, replace

from trajectories.conversation.events import Reply, Result
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.types import JSON, JSONObject

# The result's text: what the tool wrote, or its error.
_OUTPUTS = ("output", "error", "result", "content")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The texts, thoughts, calls and results of one content, each in order."""

    text: str
    thoughts: str
    calls: tuple[tuple[JSON, JSON, JSON], ...] = ()  # name, arguments, id
    results: tuple[Result, ...] = ()

    def reply(self) -> Reply:
        """Return the turn of the agent that these parts are."""
        return replace(make_reply(self.text, self.calls), reasoning=self.thoughts)


def read_parts(content: JSON) -> Parts:
    """Read Gemini's parts: a list of them, one of them, or a text.

    >>> look = {"functionCall": {"id": "c1", "name": "ls", "args": {"path": "."}}}
    >>> parts = read_parts([{"text": "Plan", "thought": True}, {"text": "Look."}, look])
    >>> parts.thoughts, parts.text, parts.calls
    ('Plan', 'Look.', (('ls', {'path': '.'}, 'c1'),))
    """
    thoughts: list[str] = []
    texts: list[str] = []
    calls: list[tuple[JSON, JSON, JSON]] = []
    results: list[Result] = []
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, dict):
            texts += [part] if isinstance(part, str) else []
        elif isinstance(called := part.get("functionCall"), dict):
            calls.append((called.get("name"), called.get("args"), called.get("id")))
        elif isinstance(answer := part.get("functionResponse"), dict):
            results.append(Result(text=response_text(answer), call_ids=_ids(answer.get("id"))))
        elif part.get("thought") is True:
            thoughts.append(_text(part))
        else:
            texts.append(_text(part))
    return Parts(text=_joined(texts), thoughts=_joined(thoughts), calls=tuple(calls), results=tuple(results))


def response_text(answer: JSONObject) -> str:
    """Return the text of a ``functionResponse``: its output or error, and its other parts.

    >>> response_text({"id": "c1", "name": "ls", "response": {"output": "a.py"}})
    'a.py'
    """
    response = answer.get("response")
    texts = [_output(response)]
    inner = answer.get("parts")
    texts += [_text(part) for part in inner if isinstance(part, dict)] if isinstance(inner, list) else []
    return _joined(texts)


def _output(response: JSON) -> str:
    if response is None or isinstance(response, str):
        return response or ""
    if isinstance(response, dict):
        found = [response[key] for key in _OUTPUTS if response.get(key) is not None]
        if found and all(isinstance(text, str) for text in found):
            return _joined(found)
        if len(response) == 1 and isinstance(blocks := next(iter(response.values())), list):
            try:
                return text_of(blocks)  # an MCP server's blocks
            except TypeError:
                pass
    return json.dumps(response, ensure_ascii=False)


def _text(part: JSONObject) -> str:
    """Return the text of a part; media and other parts become ``[kind]``."""
    if isinstance(part.get("text"), str):
        return str(part["text"])
    for key in ("executableCode", "codeExecutionResult"):
        if isinstance(inner := part.get(key), dict):
            code = inner.get("code", inner.get("output"))
            return code if isinstance(code, str) else ""
    kind = next((key for key in part if key not in ("thought", "thoughtSignature", "text")), None)
    return f"[{kind}]" if kind else ""


def _ids(call_id: JSON) -> tuple[str, ...]:
    return (call_id,) if isinstance(call_id, str) and call_id else ()


def _joined(texts: list[str]) -> str:
    return "\n".join(text for text in texts if text.strip())

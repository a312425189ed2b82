"""Calls in texts under the marks of model families, found by a simple rule for each. No reader has a part in it."""

import json
import re
from collections.abc import Iterator, Mapping

from harness.data.inspection.source_marks import ARGUMENTS, Key, arguments_of, first, loaded
from trajectories.types import JSONObject

_GLM = re.compile(r"<tool_call>\s*([\w.-]+)\s*(?=<arg_key>|</tool_call>)")
_ARGUMENT = re.compile(r"<arg_key>([^<]*)</arg_key>\s*<arg_value>((?:[^<]|<(?!/arg_value>))*)</arg_value>")
_KIMI = re.compile(r"<\|tool_call_begin\|>\s*([^<]*?)(?::\d+)?\s*<\|tool_call_argument_begin\|>")
_DEEPSEEK = re.compile(r"<｜tool▁call▁begin｜>([^<]*)<｜tool▁sep｜>")
_INVOKE = re.compile(r"""<((?:｜DSML｜)?)invoke name=["']?([^"'>\n]+)["']?>""")
_PARAMETER = re.compile(
    r"""<(?:｜DSML｜)?parameter name=["']?([^"'>\n]+)["']?( string="false")?(?: string="true")?>"""
)


def tagged_calls(text: str) -> Iterator[Key | None]:
    """Yield the calls of a text in the first form that it holds; None for one that is not well formed."""
    heads = [(match.start(), read, match) for read, of in _FORMS.items() if (match := of.search(text))]
    first, read, _ = min(heads, key=lambda head: head[0], default=(-1, None, None))
    earlier = min((text.find(mark) for mark in ("<function=", '"commands"') if mark in text), default=first)
    json_call = re.search(r"<tool_call>\s*[{\[]", text)
    if read is None or earlier < first or (json_call and json_call.start() < first):
        return
    matches = list(_FORMS[read].finditer(text))
    for match, after in zip(matches, [*(one.start() for one in matches[1:]), len(text)], strict=True):
        try:
            yield read(match, text[match.end() : after])
        except (ValueError, RecursionError):
            yield None


def json_calls(node: JSONObject) -> Iterator[Key]:
    """Yield the calls of a ShareGPT turn of role function_call, or of a JSON reply of SWE-agent."""
    text = node.get("value") or node.get("content")
    value = loaded(text) if isinstance(text, str) and text.lstrip().startswith(("{", "[")) else None
    if str(node.get("from") or node.get("role")) in ("function_call", "tool_call"):
        listed = value if isinstance(value, list) else [value]
    else:
        listed = [value.get("command")] if "action" in node and isinstance(value, Mapping) else []
    for call in listed:
        if isinstance(call, Mapping) and isinstance(call.get("name"), str):
            yield call["name"], arguments_of(first(call, ARGUMENTS))


def terminus_xml(text: str) -> Iterator[Key]:
    """Yield the calls of a reply of Terminus in XML."""
    _, _, inner = text.partition("<response>")
    body, closed, rest = inner.rpartition("</commands>")
    if not closed or "<analysis>" not in body:
        return
    for piece in body.partition("<commands>")[2].split("<keystrokes")[1:]:
        head, _, line = piece.partition(">")
        duration = re.search(r"[\d.]+", head)
        given = {
            "keystrokes": line.partition("</keystrokes>")[0],
            "duration": float(duration[0]) if duration else 1.0,
        }
        yield "bash_command", arguments_of(given)
    if "<task_complete>true" in rest.replace("\n", ""):
        yield "mark_task_complete", arguments_of({})


def _glm(head: re.Match[str], body: str) -> Key:
    return head[1], arguments_of({key.strip(): value for key, value in _ARGUMENT.findall(body)})


def _kimi(head: re.Match[str], body: str) -> Key:
    return head[1].removeprefix("functions."), arguments_of(_object(body.partition("<|tool_call_end|>")[0]))


def _deepseek(head: re.Match[str], body: str) -> Key:
    raw = body.partition("<｜tool▁call▁end｜>")[0]
    name, fence, fenced = raw.partition("```json")
    if fence and head[1].strip() == "function":
        return name.strip(), arguments_of(_object(fenced.rpartition("```")[0]))
    return head[1].strip(), arguments_of(_object(raw))


def _invoke(head: re.Match[str], body: str) -> Key:
    found = {}
    for match in _PARAMETER.finditer(body):
        value = body[match.end() :].partition(f"</{head[1]}parameter>")[0]
        found[match[1]] = json.loads(value) if match[2] else value
    return head[2].strip(), arguments_of(found)


def _object(raw: str) -> str:
    json.JSONDecoder(strict=False).decode(raw.strip() or "{}")
    return raw


_FORMS = {_glm: _GLM, _kimi: _KIMI, _deepseek: _DEEPSEEK, _invoke: _INVOKE}

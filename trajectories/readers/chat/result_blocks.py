"""Texts of content blocks that hold a tool's result: of servers' own tools, documents, search results, references."""

from collections.abc import Iterator

from trajectories.types import JSON, JSONObject

# Fields that are the text itself; any other is written as ``name: value``.
_PLAIN = ("text", "stdout", "stderr", "content", "lines", "data", "results", "source", "document", "resource")
# Fields that say nothing to the model, or that only the server can read.
_SILENT = frozenset(
    {
        "type",
        "citations",
        "cache_control",
        "media_type",
        "mimeType",
        "tool_use_id",
        "caller",
        "file_type",
        "id",
        "blob",
    }
)
_HOLDERS = frozenset({"document", "search_result", "tool_reference", "resource", "container_upload"})


def is_result_block(kind: JSON) -> bool:
    """Return whether a block of this type holds a result in fields of its own.

    >>> is_result_block("bash_code_execution_result"), is_result_block("text")
    (True, False)
    """
    return isinstance(kind, str) and (kind in _HOLDERS or kind.endswith(("_result", "_error")))


def result_text(block: JSONObject) -> str:
    """Return the text of such a block, ``[type]`` if it holds none that can be read.

    >>> result_text({"type": "code_execution_result", "stdout": "42 a.py\\n", "stderr": "", "return_code": 1})
    '42 a.py\\nreturn_code: 1'
    """
    text = "\n".join(piece for piece in _pieces(block) if piece)
    return text or f"[{block.get('type', 'result')}]"


def _pieces(value: JSON) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, dict):
        if value.get("type") in ("image", "image_url", "base64", "file"):
            yield f"[{value.get('media_type') or value['type']}]"
            return
        for key, field in value.items():
            if isinstance(field, dict | list) or key in _PLAIN:
                yield from _pieces(field)
            elif key not in _SILENT and not _is_empty(key, field):
                yield f"{key}: {field}"
    elif value is not None:
        yield str(value).removesuffix("\n")


def _is_empty(key: str, field: JSON) -> bool:
    """Return whether a field tells nothing: empty, a success, or encrypted."""
    if key == "return_code":
        return field in (0, None)
    return field is None or field == "" or key.startswith(("encrypted", "signature"))

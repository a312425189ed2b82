"""Words for documents of no known format: what they look like, and what to do."""

from collections.abc import Collection, Mapping

from trajectories.types import JSON

_SHOWN = 6  # keys of an object

# Keys that documents of a kind have, one of each set, and what to do with them.
_KINDS: tuple[tuple[tuple[Collection[str], ...], str], ...] = (
    (({"instance_id"}, {"model_patch"}), "a prediction: a patch without the steps that led to it"),
    (
        ({"instance_id"}, {"base_commit", "environment_setup_commit"}, {"problem_statement", "test_patch"}),
        "a task without a trajectory: name the file in the tasks of a recipe",
    ),
    (({"trial_name"}, {"verifier_result", "agent_result"}), "the result of a Harbor trial: give the trial's folder"),
    (({"chosen"}, {"rejected"}), "a pair of preferred and other answers, not a trajectory"),
    (
        ({"type"}, {"timestamp"}, {"session_id"}, {"model"}),
        "a stream of Gemini CLI, which lacks what the tools returned: give its session files",
    ),
    (({"sessionID"}, {"messageID", "role"}), "a file of opencode's own storage: give what `opencode export` prints"),
    (({"input_ids"},), "tokens: give the text they were made of"),
    (
        ({"instruction", "prompt", "question", "input"}, {"output", "response", "completion", "answer"}),
        "a prompt and an answer, without steps",
    ),
)  # fmt: skip


def describe(value: JSON) -> str:
    """Describe a document, with what to do if it is of a kind that is no trajectory.

    >>> describe({"input_ids": [1]})
    "an object with the keys 'input_ids' (tokens: give the text they were made of)"
    """
    if isinstance(value, dict):
        keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:_SHOWN])
        return f"an object with the keys {keys}{_kind(value)}" if keys else "an empty object"
    if isinstance(value, list):
        first = value[0] if value else None
        begins = f" that begins with {describe(first)}" if isinstance(first, dict) else ""
        return f"a list of {len(value)}{begins}"
    return f"a {type(value).__name__}"


def _kind(value: Mapping[str, JSON]) -> str:
    for keys, what in _KINDS:
        if all(any(key in value for key in choice) for choice in keys):
            return f" ({what})"
    return ""

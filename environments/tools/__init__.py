"""What the agent's tools mean, wherever they run: ``bash``, ``str_replace_editor``, ``submit`` (SWE-smith's set)."""

TOOL_NAMES = ("bash", "str_replace_editor", "submit")

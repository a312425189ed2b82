"""The agent's tools, independent of where they run. The set and the names are SWE-smith's."""

TOOL_NAMES = ("bash", "str_replace_editor", "submit")

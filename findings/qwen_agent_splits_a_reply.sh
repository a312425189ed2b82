#!/bin/sh
# qwen-agent 0.0.34: one reply of a model comes back as several assistant messages.
#
# Guess: a reply is one message, with its text, its thinking and its calls, as in every other chat format.
# Behaviour: the thinking, the text and each call are messages of their own. A message holds at most one `function_call`,
# so two parallel calls are two messages in a row, and their results follow both. The calls are numbered in
# `extra.function_id`, from 1 in every reply.
# Where it matters: whoever takes each assistant message for a turn gets three turns without an action, or without a
# thought, for one; and the numbers are no ids of the conversation.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# The last four are imported by the package, which does not name them.
"$folder/venv/bin/pip" install --quiet qwen-agent==0.0.34 numpy==2.4.6 soundfile==0.14.0 python-dateutil==4.0.0 tqdm==4.70.1
cat > "$folder/split.py" <<'PY'
from qwen_agent.llm.fncall_prompts.nous_fncall_prompt import NousFnCallPrompt
from qwen_agent.llm.schema import ContentItem, Message

call = '<tool_call>\n{"name": "bash", "arguments": {"command": "%s"}}\n</tool_call>'
text = "Look.\n" + call % "ls" + "\n" + call % "pwd"
reply = Message(role="assistant", content=[ContentItem(text=text)], reasoning_content="I should list.")
messages = [message.model_dump() for message in NousFnCallPrompt().postprocess_fncall_messages([reply])]
for message in messages:
    print(message)
held = [
    (bool(message["content"]), bool(message.get("reasoning_content")), message["extra"].get("function_id"))
    for message in messages
]
assert held == [(False, True, None), (True, False, None), (False, False, "1"), (False, False, "2")], held
PY
"$folder/venv/bin/python" "$folder/split.py"

#!/bin/sh
# trl 1.16.0's chat templates (copies of the models' own): tool calls with OpenAI's string arguments train wrong or raise.
#
# Guess: messages in the shape of OpenAI's API, where a call's `arguments` are a JSON string, are what chat templates
# take; or templates refuse it alike.
# Behaviour: of ten families one renders string and object alike (Qwen3). Qwen2.5, Llama 3 and gpt-oss escape the string
# once more without a word, so that a model learns {"arguments": "{\"command\": …}"}. Qwen3.5, Qwen3.6, GLM-4.5,
# Nemotron 3 and Gemma 4 raise. DeepSeek V3 takes the string and raises for an object. No shape suits all of them;
# objects suit all but DeepSeek V3.
# Where it matters: logs of API calls as training rows.
# Seen on 2026-12-01; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 jinja2==3.1.6
"$folder/venv/bin/pip" install --quiet --no-deps trl==1.16.0
cat > "$folder/render.py" <<'PY'
import importlib.util
import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

templates = Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
schema = {"type": "object", "properties": {"command": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "bash", "description": "", "parameters": schema}}]
command = 'ls "a"'


def outcome(template: str, arguments: object) -> str:
    call = {"type": "function", "function": {"name": "bash", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "ok"},
    ]
    try:
        text = render_jinja_template([messages], tools=tools, chat_template=template)[0][0]
    except Exception:
        return "raises"
    if json.dumps(json.dumps({"command": command})) in text:
        return "escaped twice"
    return "right" if command in text or json.dumps(command) in text else "lost"


expected = {
    "qwen3": "right right",
    "qwen2_5": "escaped twice right",
    "llama3_1": "escaped twice right",
    "gptoss": "escaped twice right",
    "qwen3_5_think": "raises right",
    "qwen3_6": "raises right",
    "glm4moe": "raises right",
    "nemotron_3_nano": "raises right",
    "gemma4_v5": "raises right",
    "deepseekv3": "right raises",
}
found = {}
for name in expected:
    template = (templates / f"{name}.jinja").read_text(encoding="utf-8")
    shapes = (json.dumps({"command": command}), {"command": command})
    found[name] = " ".join(outcome(template, arguments) for arguments in shapes)
    print(f"{name}: string {outcome(template, shapes[0])}, object {outcome(template, shapes[1])}")
sys.exit(found != expected)
PY
"$folder/venv/bin/python" "$folder/render.py"
# Output seen:
# qwen3: string right, object right
# qwen2_5: string escaped twice, object right
# llama3_1: string escaped twice, object right
# gptoss: string escaped twice, object right
# qwen3_5_think: string raises, object right
# qwen3_6: string raises, object right
# glm4moe: string raises, object right
# nemotron_3_nano: string raises, object right
# gemma4_v5: string raises, object right
# deepseekv3: string right, object raises

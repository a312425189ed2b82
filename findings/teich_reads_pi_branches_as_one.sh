#!/bin/sh
# teich 0.3.6: a Pi session with two branches becomes one conversation that never took place.
#
# Guess: a Pi session is a tree by parentId, whose branches are alternatives: the user went back to an earlier message
# and asked otherwise. A converter to training rows follows one branch, or makes a row of each.
# Behaviour: parentId is not looked at. The messages of all branches follow each other in the order of the file, so that
# a model is trained on the second answer as if it had seen the first attempt, and on the attempt that was given up.
# Where it matters: agent traces of the hub (datasets asks for teich to read them). Split the branches before; here each
# is a trajectory of its own.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet teich==0.3.6
cat > "$folder/read.py" <<'PY'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from teich.converter import convert_trace_to_training_example


def entry(own, parent, role, text):
    message = {"role": role, "content": [{"type": "text", "text": text}], "timestamp": 0}
    if role == "assistant":
        message |= {"api": "x", "provider": "x", "model": "m", "stopReason": "stop", "usage": {}}
    return {"type": "message", "id": own, "parentId": parent, "timestamp": "2026-01-01T00:00:00Z", "message": message}


lines = [
    {"type": "session", "version": 3, "id": "s", "timestamp": "2026-01-01T00:00:00Z", "cwd": "/p"},
    entry("a", None, "user", "Which fruit?"),
    entry("b", "a", "assistant", "Apple."),
    entry("c", "b", "user", "A yellow one."),
    entry("d", "c", "assistant", "Banana."),
    entry("e", "b", "user", "A red one."),  # the user went back to "Apple."
    entry("f", "e", "assistant", "Cherry."),
]
path = Path(sys.argv[1]) / "session.jsonl"
path.write_text("".join(json.dumps(line) + "\n" for line in lines))
found = convert_trace_to_training_example(path)
texts = [message["content"] for message in found.messages if message["role"] != "system"]
print(f"teich {version('teich')}: {texts}")
sys.exit(texts != ["Which fruit?", "Apple.", "A yellow one.", "Banana.", "A red one.", "Cherry."])
PY
"$folder/venv/bin/python" "$folder/read.py" "$folder" 2>/dev/null
# Output seen:
# teich 0.3.6: ['Which fruit?', 'Apple.', 'A yellow one.', 'Banana.', 'A red one.', 'Cherry.']

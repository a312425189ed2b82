#!/bin/sh
# transformers 5.17.0, accelerate 1.15.0: making TrainingArguments changes the process. Arguments that were made early
# cannot be used late.
#
# Guess: TrainingArguments is a configuration. The arguments of two trainers can be made first, to check them, and the
# trainers after that, each with its own precision.
# Behaviour: TrainingArguments(...) resets accelerate's process-wide AcceleratorState; Trainer(...) fills it. If both
# arguments are made before the first trainer, the second trainer meets the state of the first, and raises ValueError
# ("AcceleratorState has already been initialized …") where its precision differs. If its arguments are made after the
# first trainer, nothing is raised. The arguments are equal in both cases.
# Where it matters: a run of several stages, each with its own trainer, in one process.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 accelerate==1.15.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import subprocess
import sys

CODE = """
import sys
from transformers import Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

folder, order = sys.argv[1:]
size = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
model = Qwen2ForCausalLM(Qwen2Config(**size, num_attention_heads=1, num_key_value_heads=1))


def arguments(bf16):
    return TrainingArguments(output_dir=folder, report_to="none", use_cpu=True, bf16=bf16)


first = arguments(True)
second = arguments(False) if order == "both first" else None
Trainer(model=model, args=first)
try:
    Trainer(model=model, args=second or arguments(False))
    print("no error")
except ValueError as error:
    print(type(error).__name__, str(error)[:60])
"""
found = {}
for order in ("both first", "in turn"):
    done = subprocess.run([sys.executable, "-c", CODE, sys.argv[1], order], capture_output=True, text=True, check=True)
    found[order] = done.stdout.splitlines()[-1]
    print(f"arguments made {order}: {found[order]}")
assert found["in turn"] == "no error", found
assert found["both first"].startswith("ValueError AcceleratorState has already been initialized"), found
PY

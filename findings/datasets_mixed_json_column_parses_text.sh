#!/bin/sh
# datasets 5.2.0: texts in a JSON Lines file become numbers, lists or null as soon as another row has no text there.
#
# Guess: load_dataset("json") gives back the values of the file. Where a column has several types, the new Json feature
# keeps each value as it is, since JSON can hold them all.
# Behaviour: in a column of texts only, every text stays one. With one number (or list, or object) in any row, the
# column becomes Json, and every text that is itself valid JSON is parsed: "12" is 12, "007" is 7, "null" is None,
# "[1, 20]" is a list. "two" stays. Without parsing, the file's "12" and 12 can no longer be told apart.
# Where it matters: answers of mathematics sets ("12", and 13 in one row), arguments of tool calls, whose text
# "[1, 20]" or "null" is what a model has to write.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0
cat > "$folder/load.py" <<'PY'
import json
import sys
from pathlib import Path

import datasets

folder = Path(sys.argv[1])
texts = ["12", "007", "null", "true", "[1, 20]", "two"]


def loaded(name: str, values: list) -> list:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"value": value}) + "\n" for value in values))
    rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache"))
    print(f"{name}: {rows.features['value']}: {rows['value'][:]}")
    return rows["value"][:]


print(f"datasets {datasets.__version__}")
alone, beside = loaded("texts", texts), loaded("texts and a number", [*texts, 13])
sys.exit(alone != texts or beside != [12, 7, None, True, [1, 20], "two", 13])
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" "$folder/load.py" "$folder"
# Output seen:
# datasets 5.2.0
# texts: Value('string'): ['12', '007', 'null', 'true', '[1, 20]', 'two']
# texts and a number: Json(decode=True): [12, 7, None, True, [1, 20], 'two', 13]

#!/bin/sh
# datasets 5.2.0: a JSON Lines file, loaded and written again, holds 1767312000000 where it held "2026-01-02".
#
# Guess: load_dataset("json") and Dataset.to_json are inverse for rows of texts.
# Behaviour: a column (also deep in lists of objects) in which every text looks like an ISO date becomes
# Value('timestamp[s]'). Rows hold datetime objects, and to_json writes them as milliseconds since 1970, without the
# name of the type. Time zones and the form ("2026-01-02", "2026-01-02 00:00:00", "2026-01-02T00:00:00Z") are gone. One
# text that is no date in the rows that are looked at first keeps the whole column as it is, so it depends on the other
# rows. Times without a date stay texts.
# Where it matters: results of tools ("date -I"), answers, versions like "2026-01-02" in sets of trajectories.
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


def written_again(name: str, contents: list[str]) -> list:
    path, copy = folder / f"{name}.jsonl", folder / f"{name}.copy.jsonl"
    rows = [{"messages": [{"role": "tool", "content": content}]} for content in contents]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache"))
    loaded.to_json(copy)
    found = [json.loads(line)["messages"][0]["content"] for line in copy.read_text().splitlines()]
    print(f"{name}: {contents} -> {found}")
    return found


print(f"datasets {datasets.__version__}")
dates = ["2026-01-02", "2026-01-02 00:00:00", "2026-01-02T00:00:00Z"]
same = written_again("dates", dates) == [1767312000000] * 3
same &= written_again("dates and a text", [*dates, "none"]) == [*dates, "none"]
same &= written_again("times", ["03:04", "03:04:05"]) == ["03:04", "03:04:05"]
sys.exit(not same)
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" "$folder/load.py" "$folder"
# Output seen:
# datasets 5.2.0
# dates: ['2026-01-02', '2026-01-02 00:00:00', '2026-01-02T00:00:00Z'] -> [1767312000000, 1767312000000, 1767312000000]
# dates and a text: ['2026-01-02', '2026-01-02 00:00:00', '2026-01-02T00:00:00Z', 'none'] -> ['2026-01-02', '2026-01-02 00:00:00', '2026-01-02T00:00:00Z', 'none']
# times: ['03:04', '03:04:05'] -> ['03:04', '03:04:05']

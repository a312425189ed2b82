#!/bin/sh
# inspect_ai 0.3.285: an .eval log is a zip archive that zipfile lists but cannot read before Python 3.14.
#
# Guess: the log format is documented as a zip of JSON members, so zipfile and json are enough to read one.
# Behaviour: the members are compressed by method 93 (Zstandard), not by 8 (Deflate). namelist() works; open() raises
# NotImplementedError where zipfile has no such method (before Python 3.14). inspect_ai itself patches zipfile through
# the package zipfile_zstd, process-wide and on import. So the same lines work beside inspect_ai and fail without it.
# Where it matters: converters and viewers that do not want inspect_ai and its dependencies. pyarrow and zstandard
# read the bytes of a member.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet inspect_ai==0.3.285
cat > "$folder/write.py" <<'PY'
import sys
from importlib.metadata import version

from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, write_eval_log

spec = EvalSpec(
    created="2026-01-01T00:00:00+00:00", task="sums", dataset=EvalDataset(), model="acme/small", config=EvalConfig()
)
sample = EvalSample(id=1, epoch=1, input="1 + 1", target="2")
write_eval_log(EvalLog(eval=spec, samples=[sample]), sys.argv[1])
print("inspect_ai", version("inspect_ai"))
PY
cat > "$folder/read.py" <<'PY'
import json
import sys
import zipfile

archive = zipfile.ZipFile(sys.argv[1])
methods = {member.filename: member.compress_type for member in archive.infolist()}
print("methods:", sorted(set(methods.values())), "of", len(methods), "members")
assert "samples/1_epoch_1.json" in methods
try:
    print("sample:", json.loads(archive.read("samples/1_epoch_1.json"))["input"])
except NotImplementedError as error:
    print("sample: NotImplementedError:", error)
    failed = True
else:
    failed = False
sys.exit(set(methods.values()) != {93} or failed != (sys.version_info < (3, 14)))
PY
"$folder/venv/bin/python" "$folder/write.py" "$folder/sums.eval"
"$folder/venv/bin/python" "$folder/read.py" "$folder/sums.eval"
# Output seen with Python 3.11:
# inspect_ai 0.3.285
# methods: [93] of 5 members
# sample: NotImplementedError: That compression method is not supported

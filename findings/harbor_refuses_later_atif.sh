#!/bin/sh
# Harbor 0.13.0 and 0.26.0, atif 1.8.0: which versions of ATIF a document may name.
#
# Guess: versions 1.x of the Agent Trajectory Interchange Format are compatible upwards, and a reader takes a document of
# a later one that uses none of its additions.
# Behaviour: Harbor's models list the versions they accept. 0.13.0 ends at 1.7 and refuses a document for the name 1.8
# alone; 0.26.0 takes both. The models of the package `atif` take any text as the version.
# Where it matters: a writer that always names the latest version is not read by a Harbor of the year before; a document
# that validates with `atif` may still be refused.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet atif==1.8.0
for version in 0.13.0 0.26.0; do
    "$folder/venv/bin/pip" download --quiet --no-deps --only-binary :all: --python-version 3.13 \
        --dest "$folder" "harbor==$version"
    # The models alone: the package around them wants a later Python and many libraries.
    mkdir -p "$folder/$version/harbor/models"
    touch "$folder/$version/harbor/__init__.py" "$folder/$version/harbor/models/__init__.py"
    python3 -m zipfile -e "$folder/harbor-$version-py3-none-any.whl" "$folder/whole-$version"
    cp -r "$folder/whole-$version/harbor/models/trajectories" "$folder/$version/harbor/models/"
done
cat > "$folder/accepts.py" <<'PY'
import sys

from pydantic import ValidationError

if sys.argv[1] == "atif":
    from atif import Trajectory
else:
    from harbor.models.trajectories import Trajectory

agent = {"name": "a", "version": "1"}
document = {"agent": agent, "steps": [{"step_id": 1, "source": "user", "message": "Fix it."}]}
accepted = []
for version in ("ATIF-v1.7", "ATIF-v1.8", "ATIF-v9"):
    try:
        Trajectory.model_validate(document | {"schema_version": version, "session_id": "s"})
        accepted.append(version)
    except ValidationError:
        pass
print(sys.argv[1], "accepts", *accepted)
sys.exit(" ".join(accepted) != sys.argv[2])
PY
run() { PYTHONPATH="$folder/$1" "$folder/venv/bin/python" "$folder/accepts.py" "$1" "$2"; }
run 0.13.0 "ATIF-v1.7"
run 0.26.0 "ATIF-v1.7 ATIF-v1.8"
run atif "ATIF-v1.7 ATIF-v1.8 ATIF-v9"

"""Rows of both schemas, filters, and errors of broken files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from environments.swe.tasks import TaskError, load_tasks, official_image, select_tasks

TEST_PATCH = """\
diff --git a/tests/test_a.py b/tests/test_a.py
--- a/tests/test_a.py
+++ b/tests/test_a.py
@@ -1 +1 @@
-x
+y
"""
SCRIPT = """\
#!/bin/bash
cd /testbed
git checkout {base} tests/test_a.py
git apply -v - <<'EOF_1'
{patch}
EOF_1
: '>>>>> Start Test Output'
pytest -rA tests/test_a.py
: '>>>>> End Test Output'
git checkout {base} tests/test_a.py
"""


def row(name: str = "acme__w-1", **changes: Any) -> dict[str, Any]:
    return {
        "instance_id": name,
        "repo": "acme/w",
        "base_commit": "a" * 40,
        "problem_statement": "It breaks.",
        "patch": "--- a/w/a.py\n+++ b/w/a.py\n@@ -1 +1 @@\n-a\n+b\n",
        "test_patch": TEST_PATCH,
        "FAIL_TO_PASS": '["tests/test_a.py::test_x"]',
        "PASS_TO_PASS": ["tests/test_a.py::test_y"],
        "version": "1.0",
        "image": official_image(name),
        "eval_script": SCRIPT.format(base="a" * 40, patch=TEST_PATCH.rstrip("\n")),
        "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
        **changes,
    }


def old(name: str, **changes: Any) -> dict[str, Any]:
    return {
        k: v
        for k, v in row(name, **changes).items()
        if k not in ("image", "eval_script", "log_parser", "eval_type")
    }


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def test_test_names_are_json_text_or_lists(tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path / "t.jsonl", row()))
    assert task.FAIL_TO_PASS == ("tests/test_a.py::test_x",)
    assert task.PASS_TO_PASS == ("tests/test_a.py::test_y",)
    assert (task.patched_files, task.test_files) == (("w/a.py",), ("tests/test_a.py",))


def test_json_by_id_gzip_and_parquet_are_the_same(tmp_path: Path) -> None:
    wanted = load_tasks(write(tmp_path / "t.jsonl", row()))
    (tmp_path / "t.json").write_text(json.dumps({"acme__w-1": row()}))
    with gzip.open(tmp_path / "t.jsonl.gz", "wt") as out:
        out.write(json.dumps(row()) + "\n")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row()]), tmp_path / "t.parquet")
    for name in ("t.json", "t.jsonl.gz", "t.parquet"):
        assert load_tasks(str(tmp_path / name)) == wanted


def test_rows_of_the_older_schema_take_missing_columns_from_a_newer_set(tmp_path: Path) -> None:
    newer = write(tmp_path / "new.jsonl", row())
    other_patch = TEST_PATCH.replace("test_a", "test_b")
    older = write(
        tmp_path / "old.jsonl",
        old("acme__w-1"),
        old("acme__w-2", base_commit="b" * 40, test_patch=other_patch),
    )
    known, like = load_tasks(older, columns_from=newer)
    assert known == load_tasks(newer)[0]
    expected = SCRIPT.format(base="b" * 40, patch=other_patch.rstrip("\n")).replace("test_a.py", "test_b.py")
    assert like.eval_script == expected
    assert like.image == "swebench/sweb.eval.x86_64.acme_1776_w-2:latest"
    with pytest.raises(TaskError, match="columns_from"):
        load_tasks(older)
    unknown = write(tmp_path / "v.jsonl", old("acme__w-3", version="9"))
    with pytest.raises(TaskError, match=r"acme__w-3: no test command is known.*acme/w 9"):
        load_tasks(unknown, columns_from=newer)


def test_djangos_tests_are_named_as_modules(tmp_path: Path) -> None:
    def django(name: str, file: str, make: Any) -> dict[str, Any]:
        patch = TEST_PATCH.replace("tests/test_a.py", file)
        module = file.removeprefix("tests/").removesuffix(".py").replace("/", ".")
        script = SCRIPT.format(base="a" * 40, patch=patch.rstrip("\n"))
        script = script.replace("pytest -rA tests/test_a.py", f"./tests/runtests.py {module}")
        script = script.replace("tests/test_a.py", file)
        return dict(make(name, repo="django/django", test_patch=patch, eval_script=script))

    newer = write(tmp_path / "new.jsonl", django("django__django-1", "tests/forms/tests.py", row))
    older = write(tmp_path / "old.jsonl", django("django__django-2", "tests/admin/test_x.py", old))
    (task,) = load_tasks(older, columns_from=newer)
    assert "./tests/runtests.py admin.test_x\n" in task.eval_script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"t.jsonl:1: not JSON"),
        ("3\n", r"t.jsonl:1: a task is an object"),
        (json.dumps({"instance_id": "a"}) + "\n", r"t.jsonl:1: the row has no repo"),
        (json.dumps(row(FAIL_TO_PASS="[")) + "\n", r"t.jsonl:1: FAIL_TO_PASS is not a JSON list"),
        (json.dumps(row(FAIL_TO_PASS=[1])) + "\n", r"t.jsonl:1: FAIL_TO_PASS is not a list of test names"),
        ((json.dumps(row()) + "\n") * 2, r"duplicate acme__w-1"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    if "the row has no" in message:
        text = json.dumps(row(repo=None)) + "\n"
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(TaskError, match=message):
        load_tasks(str(tmp_path / "t.jsonl"))


def test_a_missing_file_lists_the_sets() -> None:
    with pytest.raises(TaskError, match="verified, lite, full"):
        load_tasks("no/such/file.jsonl")


def test_filters(tmp_path: Path) -> None:
    tasks = load_tasks(
        write(tmp_path / "t.jsonl", *(row(f"acme__w-{n}") for n in range(5)), row("b__c-1", repo="b/c"))
    )

    def ids(**filters: Any) -> list[str]:
        return [task.instance_id for task in select_tasks(tasks, **filters)]

    assert ids(ids=["acme__w-3"]) == ["acme__w-3"]
    assert ids(repos=["b/c"]) == ["b__c-1"]
    assert ids(regex="w-[12]$", span="1:") == ["acme__w-2"]
    assert ids(span="::3") == ["acme__w-0", "acme__w-3"]
    for filters, message in (
        ({"ids": ["acme__w-33"]}, "did you mean acme__w-3"),
        ({"repos": ["acme/x"]}, "no repository acme/x"),
        ({"regex": "zzz"}, "no task is left of 6"),
        ({"regex": "("}, "tasks.regex"),
        ({"span": "a"}, "is not a slice"),
        ({"span": "0:4:0"}, "is not a slice"),
    ):
        with pytest.raises(TaskError, match=message):
            ids(**filters)


@pytest.mark.realdata
def test_published_rows_load_in_both_schemas(real_data: Path) -> None:
    newer = load_tasks(str(real_data / "swebench/swebench_verified_v5_500.jsonl"))
    older = load_tasks(
        str(real_data / "swebench/swebench_verified_500.jsonl"),
        columns_from=str(real_data / "swebench/swebench_verified_v5_500.jsonl"),
    )
    assert len(newer) == len(older) == 500
    assert [task.eval_script for task in newer] == [task.eval_script for task in older]

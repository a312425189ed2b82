"""Benchmarks, columns, answers, and errors of broken files."""

import gzip
import json
from pathlib import Path

import pytest

from environments.math.tasks import BENCHMARKS, MathTask, MathTaskError, load_math_tasks

FILES = {
    "amc23": "amc23.jsonl",
    "aime24": "aime24.jsonl",
    "aime25": "aime25.jsonl",
    "math500": "math500.jsonl",
    "minerva": "minerva_math.jsonl",
    "gsm8k": "gsm8k_test.jsonl",
}


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_columns_and_answers_of_the_publishers(tmp_path: Path) -> None:
    source = write(
        tmp_path / "mix.jsonl",
        {"id": 60, "problem": "P", "question": "Q", "answer": "204"},
        {"question": "Q", "answer": "2*9=<<2*9=18>>18\n#### 1,018"},
        {"Problem": "P", "Answer": 27.0},
        {"problem": "P", "final_answer": 0.5},
        {"problem": "P", "solution": r"\boxed{1}, no: \[\boxed{\frac{1}{2}} \mathrm{~cm}\]"},
        {"problem": "P", "answer": "", "solution": r"\boxed{7}"},
        {"problem": "P", "answer": 0},
    )
    tasks = load_math_tasks(source)
    assert tasks[0] == MathTask(instance_id="mix-60", problem="P", answer="204", source="mix")
    assert [task.answer for task in tasks] == ["204", "1,018", "27", "0.5", r"\frac{1}{2}", "7", "0"]
    assert [task.instance_id for task in tasks[1:]] == [f"mix-{place}" for place in range(1, 7)]


def test_all_kinds_of_files_are_the_same(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"problem": f"{n}?", "answer": str(n)} for n in range(3)]
    wanted = load_math_tasks(write(tmp_path / "t.jsonl", *rows))
    (tmp_path / "t.json").write_text(json.dumps(rows))
    for name in ("t.jsonl.gz", "t.json.gz"):
        with gzip.open(tmp_path / name, "wt") as out:
            out.write((tmp_path / name.removesuffix(".gz")).read_text())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name in ("t.json", "t.jsonl.gz", "t.json.gz", "t.parquet"):
        assert load_math_tasks(str(tmp_path / name)) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"t.jsonl:1: not JSON"),
        ('{"problem": "p", "answer": 1}\n\n3\n', r"t.jsonl:3: a task is an object"),
        ('{"text": "p", "answer": 1}', r"t.jsonl:1: the row has no problem or question.*it has answer, text"),
        ('{"problem": "p", "solution": "so 3"}', r"t.jsonl:1: no answer: .*its solution has no .boxed"),
        ('{"problem": "p", "answer": [1]}', r"t.jsonl:1: the answer is of type list"),
        ('{"problem": "p", "answer": NaN}', r"t.jsonl:1: the answer is nan"),
        ('{"problem": "p", "answer": "#### "}', r"t.jsonl:1: the answer is empty"),
        (
            '{"problem": "p", "answer": 1, "id": 4}\n' * 2,
            r"t.jsonl:2: duplicate t-4, first at .*t.jsonl:1",
        ),
        ("", r"t.jsonl: no problem"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(MathTaskError, match=message):
        load_math_tasks(str(tmp_path / "t.jsonl"))


def test_damaged_archives_and_missing_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl.gz").write_text("{}")
    (tmp_path / "t.parquet").write_text("{}")
    for name, message in (
        ("t.jsonl.gz", "not gzip"),
        ("t.parquet", "not parquet"),
        ("u.jsonl", "no file .*u.jsonl; give a file, a hub name .*amc23, aime24"),
    ):
        with pytest.raises(MathTaskError, match=message):
            load_math_tasks(str(tmp_path / name))


def test_an_incomplete_benchmark_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"problem": "p", "answer": 1})
    with pytest.raises(MathTaskError, match="aime24 has 30 problems, 1 were found"):
        load_math_tasks("aime24", path=path)
    assert load_math_tasks("aime24", path=path, split="train")[0].instance_id == "aime24-0"


@pytest.mark.realdata
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_benchmarks_load_completely(real_data: Path, name: str) -> None:
    tasks = load_math_tasks(name, path=str(real_data / "math" / FILES[name]))
    assert len(tasks) == BENCHMARKS[name].problems
    assert all(task.answer.strip() and task.problem.strip() and task.source == name for task in tasks)
    assert len({task.instance_id for task in tasks}) == len(tasks)


@pytest.mark.realdata
def test_ids_and_answers_of_real_rows(real_data: Path) -> None:
    def answer(name: str, place: int) -> tuple[str, str]:
        task = load_math_tasks(name, path=str(real_data / "math" / FILES[name]))[place]
        return task.instance_id, task.answer

    assert answer("aime24", 0) == ("aime24-60", "204")
    assert answer("amc23", 0) == ("amc23-0", "27")
    assert answer("gsm8k", 0) == ("gsm8k-0", "18")
    assert answer("minerva", 0) == ("minerva-0", "1.6")
    assert answer("math500", 0) == ("math500-0", r"\left( 3, \frac{\pi}{2} \right)")

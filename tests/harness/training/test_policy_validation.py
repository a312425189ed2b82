"""``python -m harness.validate``: any policy on the held-out steps, with the lines that training writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.validate import main
from tests.srl_agent.policies.chat_server import Reply, chat, serve
from tests.tiny_runs import recipe, whole_lines

GOOD = Reply(
    chat("<think>\nI look.\n</think>\n<function=bash>\n<parameter=command>ls</parameter>\n</function>")
)

STRUCTURED = [{"name": "structured"}]


@pytest.fixture
def validate(tmp_path: Path) -> Callable[..., int]:
    """The command in this process, into ``tmp_path``: its exit code."""
    return lambda *words: run(lambda: main([*map(str, words)]))


def endpoint(url: str, **settings: object) -> list[str]:
    table = json.dumps({"base_url": url, "model": "m", "retries": 0, **settings})
    return ["policy.name=endpoint", f"policy.settings={table}", "workers=1"]


def test_a_policy_is_measured_as_training_measures_its_model(
    validate: Callable[..., int], finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The same weights, in training and as a policy: the same lines and the same metrics."""
    policy = ["policy.name=transformers", f"policy.settings={{model: '{tiny_model}', dtype: float32}}"]
    assert validate(finished / "config.yaml", f"output={tmp_path}", "--name", "served", *policy) == 0
    lines = whole_lines(tmp_path / "served/validation.jsonl")
    trained = [row for row in whole_lines(finished / "validation.jsonl") if row["stage"] == "base"]
    assert [{**row, "stage": "base"} for row in lines] == trained
    (metrics,) = whole_lines(tmp_path / "served/metrics.jsonl")
    (base,) = (row for row in whole_lines(finished / "metrics.jsonl") if row["stage"] == "base")
    assert {**metrics, "stage": "base", "time": 0} == {**base, "time": 0}


def test_a_server_that_dies_keeps_what_was_measured(
    validate: Callable[..., int], tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, tiny_model)
    with serve(GOOD, GOOD, Reply("the engine is dead", status=500), GOOD) as server:
        assert validate(path, "--name", "served", *endpoint(server.url)) == 1
        said = capfd.readouterr().err
        assert f"stopped; resume it with: python -m harness.validate --resume {tmp_path / 'served'}" in said
        assert "answers 500: the engine is dead (tried 1 times)" in said.splitlines()[-1]
        before = whole_lines(tmp_path / "served/validation.jsonl")
        assert (len(before), len(server.requests)) == (2, 3)
        assert validate("--resume", tmp_path / "served") == 0
        assert len(server.requests) == 3 + 4
    lines = whole_lines(tmp_path / "served/validation.jsonl")
    assert len(lines) == 6
    assert all(row in lines for row in before)
    assert [(row["trajectory_id"], row["step_index"]) for row in lines] == sorted(
        (row["trajectory_id"], row["step_index"]) for row in lines
    )
    assert "eval_format_rate 1.0000" in capfd.readouterr().out
    assert json.loads((tmp_path / "served/manifest.json").read_text())["status"] == "finished"


def test_several_samples_of_a_step_are_one_request(
    validate: Callable[..., int], tiny_model: Path, tmp_path: Path
) -> None:
    three: Any = chat("a", "b", "c")
    sampled = {"samples": 3, "temperature": 0.7, "max_new_tokens": 9}
    path = recipe(tmp_path, tiny_model, validation=sampled, rewards=STRUCTURED)
    with serve(Reply(three)) as server:
        assert validate(path, "--name", "served", *endpoint(server.url)) == 0
    assert [(r["n"], r["temperature"], r["max_tokens"]) for r in server.requests] == [(3, 0.7, 9)] * 6
    lines = whole_lines(tmp_path / "served/validation.jsonl")
    assert [row["completion"] for row in lines] == ["a", "b", "c"] * 6
    assert {row["reward"] for row in lines} == {-1.0}


def test_a_step_that_does_not_fit_counts_as_an_empty_answer(
    validate: Callable[..., int], tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal = {"error": {"message": "This model's maximum context length is 64 tokens."}}
    with serve(Reply(refusal, status=400), GOOD) as server:
        path = recipe(tmp_path, tiny_model, rewards=STRUCTURED)
        assert validate(path, "--name", "served", *endpoint(server.url)) == 0
    assert "warning: counts as an empty answer" in capfd.readouterr().err
    (empty,) = (row for row in whole_lines(tmp_path / "served/validation.jsonl") if not row["completion"])
    assert (empty["clipped"], empty["reward"], empty["exact_match"]) == (True, -1.0, False)


def test_what_is_wrong_shows_before_a_folder_is_made(
    validate: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, code, message in (
        (["policy.name=vlm"], 2, "unknown policy 'vlm'"),
        ([], 2, "missing key policy"),
        (["policy.name=endpoint", "policy.settings={base_url: 'x', model: m}"], 1, "must start with http"),
        (["policy.name=endpoint", "policy.setings={}"], 2, "did you mean settings?"),
    ):
        assert validate("demo", f"output={tmp_path}", "--name", "served", *words) == code
        assert message in capfd.readouterr().err
    assert not (tmp_path / "served").exists()
    dry = ["demo", "--dry-run", *endpoint("http://localhost:1/v1")]
    assert validate(*dry) == 0
    assert "92 held-out steps x 1 completions, 0 held-out tasks" in capfd.readouterr().out

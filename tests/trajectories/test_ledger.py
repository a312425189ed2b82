import pytest

from trajectories.ledger import EXAMPLES, Count, Ledger


def test_numbers_add_up_over_files_and_formats() -> None:
    ledger = Ledger()
    a = ledger.file("a.jsonl", "trae")
    a.trajectory("a.jsonl:1", 5, [("no_action", 2), ("no_action", 4)])
    a.trajectory("a.jsonl:2", 3, [("exit_marker", 3)], reason="no_task")
    ledger.file("b.json").skip("empty", "b.json")
    ledger.check()
    out = ledger.to_json()
    assert out["total"]["trajectories"] == {"read": 2, "kept": 1, "dropped": {"no_task": 1}}
    steps = {"read": 8, "kept": 3, "dropped": {"no_action": 2, "exit_marker": 1, "no_task": 2}}
    assert out["total"]["steps"] == steps
    assert out["formats"]["trae"]["steps"] == steps
    assert out["formats"]["-"]["skipped"] == {"empty": 1}
    assert out["files"][0]["examples"]["steps"]["no_action"] == ["a.jsonl:1 turn 2", "a.jsonl:1 turn 4"]


def test_examples_are_bounded() -> None:
    account = Ledger().file("a", "trae")
    for number in range(100):
        account.trajectory(f"a:{number}", 1, [("no_action", 1)])
    assert account.steps.dropped["no_action"] == 100
    assert len(account.examples("steps")["no_action"]) == EXAMPLES


def test_check_refuses_numbers_that_do_not_add_up() -> None:
    ledger = Ledger()
    ledger.file("a", "trae").steps.read = 3
    with pytest.raises(AssertionError, match="a: steps"):
        ledger.to_json()
    with pytest.raises(AssertionError, match="what"):
        Count(read=1, kept=2).check("what")

"""Names of tables on the hub, in the syntax of ``harness.convert``."""

from pathlib import Path

import pytest

from environments.math.tasks import load_math_tasks
from environments.rows import hub_rows, is_hub_name, split_hub_name


@pytest.mark.parametrize("name", ["acme/sums", "hf:acme/sums", "acme/sums:easy@dev", "hf:acme/sums:easy@dev"])
def test_hub_names_may_have_a_prefix_a_config_and_a_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, config: str | None, *, split: str) -> list[dict[str, str]]:
        asked.append((name, config, split))
        return [{"problem": "1+1"}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert is_hub_name(name)
    assert list(hub_rows(name, "test", config="main", error=ValueError)) == [
        ({"problem": "1+1"}, "acme/sums:1")
    ]
    assert asked == [("acme/sums", "easy", "dev") if "@" in name else ("acme/sums", "main", "test")]


def test_a_local_folder_may_take_the_place_of_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"problem": "1+1", "answer": 2}\n')
    assert not is_hub_name(str(folder))
    assert split_hub_name(f"hf:{folder}@train") == (str(folder), None, "train")
    (task,) = load_math_tasks(f"hf:{folder}@train")
    assert (task.instance_id, task.answer) == ("sums-0", "2")

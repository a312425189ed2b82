"""The same evaluation on a Ray cluster of two nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evaluation.folder import EvaluationFolder
from harness.jsonl import read_rows
from tests.harness.evaluation.test_evaluate import command, report_of
from tests.tiny_runs import ROOT

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the nodes' workers
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000}
    )
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


def test_a_cluster_of_two_nodes_gives_the_same_verdicts(image: str, address: str, tmp_path: Path) -> None:
    arguments = ["tasks.ids=[demo__calc-1,demo__calc-2]", "limits.cpus=1"]
    here = command(tmp_path, *arguments, "name=here")
    there = command(tmp_path, *arguments, "name=there", "executor=ray", RAY_ADDRESS=address)
    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stderr
    reports = [report_of(tmp_path / "outputs" / name) for name in ("here", "there")]
    for key in ("resolved_ids", "certificate", "rollout_status", "total_instances"):
        assert reports[0][key] == reports[1][key]
    assert reports[1]["resolved_instances"] == 2
    verdicts = [
        {(row["instance_id"], row["patch_digest"], row["resolved"]) for row in read_rows(folder.verdicts)}
        for folder in (EvaluationFolder(tmp_path / "outputs" / name) for name in ("here", "there"))
    ]
    assert verdicts[0] == verdicts[1]

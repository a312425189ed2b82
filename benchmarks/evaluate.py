"""Cost of verifying a patch beyond its own tests, and how it scales with workers.

    python benchmarks/evaluate.py [--tasks 12] [--stock 3]

On the demo's tasks (tests of a fraction of a second, so nearly all is overhead): seconds of one verdict beyond its eval
script, of one attempt's sandbox (start, removing the later history, submission), verdicts a minute with 1, 2 and 4
workers, and the same verdicts by swebench's own harness on the same images. Needs a container engine.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from environments.sandbox.agent import AgentSandbox
from environments.sandbox.container import Container, Limits
from environments.sandbox.history import strip_future_commits
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.demo.instances import build_demo_images, demo_instances

VERIFIER = ContainerVerifier(limits=Limits(memory_gb=1), test_seconds=120)


def verdict_overhead(tasks: list[SWETask]) -> float:
    """Median seconds of a verdict beyond its eval script."""
    verdicts = [VERIFIER.verify(task, task.patch) for task in tasks]
    assert all(verdict.resolved for verdict in verdicts)
    return statistics.median(verdict.seconds - verdict.test_seconds for verdict in verdicts)


def attempt_overhead(tasks: list[SWETask]) -> float:
    """Median seconds of the sandbox of an attempt in which nothing is done."""
    seconds = []
    for task in tasks:
        started = time.monotonic()
        with Container(task.image) as container:
            strip_future_commits(container, task.base_commit)
            AgentSandbox(container).submission()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


def verdicts_a_minute(tasks: list[SWETask], workers: int) -> float:
    started = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda task: VERIFIER.verify(task, task.patch), tasks))
    return 60 * len(tasks) / (time.monotonic() - started)


def stock_seconds(tasks: list[SWETask]) -> float:
    """Median seconds of a verdict by swebench's own harness."""
    import docker
    from swebench.harness.run_evaluation import run_instance
    from swebench.harness.utils import make_test_spec

    client = docker.from_env()
    seconds = []
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)  # it writes its logs where it is
        try:
            for task in tasks:
                row: dict[str, Any] = {key: getattr(task, key) for key in task.__dataclass_fields__}
                row |= {key: json.dumps(row[key]) for key in ("FAIL_TO_PASS", "PASS_TO_PASS")}
                prediction = {
                    "instance_id": task.instance_id,
                    "model_name_or_path": "gold",
                    "model_patch": task.patch,
                }
                started = time.monotonic()
                run_instance(make_test_spec(row), prediction, client, "benchmark", 120)
                seconds.append(time.monotonic() - started)
        finally:
            os.chdir(before)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--stock", type=int, default=3, help="tasks that swebench's harness verifies too")
    options = parser.parse_args()
    tasks = list(demo_instances())[: options.tasks]
    build_demo_images(frozenset(task.instance_id for task in tasks), lambda name: None)
    VERIFIER.verify(tasks[0], tasks[0].patch)  # imports
    result: dict[str, Any] = {
        "verdict_overhead_s": round(verdict_overhead(tasks), 2),
        "attempt_overhead_s": round(attempt_overhead(tasks), 2),
        "verdicts_per_minute": {n: round(verdicts_a_minute(tasks, n), 1) for n in (1, 2, 4)},
        "stock_verdict_s": round(stock_seconds(tasks[: options.stock]), 2),
    }
    result["wall_ratio"] = round(result["stock_verdict_s"] / (60 / result["verdicts_per_minute"][1]), 1)
    print(f"{len(tasks)} tasks of the demo, {os.cpu_count()} cores")
    print(f"a verdict beyond its own tests   {result['verdict_overhead_s']:.2f} s (median)")
    print(f"the sandbox of an attempt        {result['attempt_overhead_s']:.2f} s (median)")
    for workers, rate in result["verdicts_per_minute"].items():
        print(f"verdicts a minute, {workers} workers     {rate:.0f}")
    print(
        f"a verdict by swebench's harness  {result['stock_verdict_s']:.2f} s, {result['wall_ratio']:.1f} times ours"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()

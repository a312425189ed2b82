"""The demo's tasks as SWE-bench instances, with images that are built on this machine."""

from collections.abc import Callable
from dataclasses import replace

from environments.images.base import BASE_VERSION, base_image
from environments.images.instance import has_image, image_from_files
from environments.sandbox.local import LocalSandbox
from environments.swe.tasks import SWETask
from harness.demo import DemoTask, load_tasks
from harness.demo.sources import load_sources

_SCRIPT = """\
#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git -c core.fileMode=false diff {base}
{restore}
git apply -v - <<'EOF_114329324912'
{test_patch}
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider {tests}
: '>>>>> End Test Output'
{restore}
"""


def demo_instances() -> tuple[SWETask, ...]:
    """Return all tasks in the schema of swebench 5, without building anything."""
    return tuple(_instance(task) for task in load_tasks())


def build_demo_images(instance_ids: frozenset[str], on_built: Callable[[str], None]) -> None:
    """Build the missing images of these instances. Raises EnvironmentFailure."""
    sources = {source.instance_id: source for source in load_sources()}
    for task in load_tasks():
        image = _image_name(task)
        if task.instance_id not in instance_ids:
            continue
        if not has_image(image):
            with LocalSandbox(sources[task.instance_id].buggy()) as sandbox:
                assert sandbox.base_commit == task.base_commit
                image_from_files(image, base=base_image(), archive=sandbox.archive("testbed"))
        on_built(task.instance_id)


def _instance(task: DemoTask) -> SWETask:
    tests = sorted({name.partition("::")[0] for name in (*task.FAIL_TO_PASS, *task.PASS_TO_PASS)})
    image, parser = _image_name(task), "parse_log_pytest"
    instance = SWETask(**vars(task), version="1", image=image, eval_script="", log_parser=parser)
    script = _SCRIPT.format(
        base=task.base_commit,
        restore=f"git checkout {task.base_commit} {' '.join(instance.test_files)}",
        test_patch=task.test_patch.rstrip("\n"),
        tests=" ".join(tests),
    )
    return replace(instance, eval_script=script)


def _image_name(task: DemoTask) -> str:
    """Return a name that changes with the files (the commit id) and the base image (its version)."""
    return f"srl-agent/{task.instance_id}:{task.base_commit[:12]}-{BASE_VERSION}"

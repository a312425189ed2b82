"""Imports point down, folder by folder, and heavy libraries stay in the folders that need them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The house from the top down. A folder imports from itself and from lower floors only; so folders on one floor do not
# know each other. Modules that lie directly in a package stand here by their own name.
FLOORS = (
    "harness/train harness/convert harness/evaluate harness/report harness/profile harness/validate "
    "harness/doctor harness/build_image",
    "harness/training",
    "harness/training/checks",
    "harness/training/outcomes",
    "harness/evaluation/swe harness/evaluation/math",
    "harness/evaluation",
    "harness/data/inspection",
    "harness/data harness/reporting",
    "harness/demo harness/run_folder harness/machine",
    "harness/demo/math harness/config harness/jsonl",
    "harness/console harness/cli harness/statistics harness",
    "srl_agent/training srl_agent/scaffolds",
    "srl_agent/policies",
    "srl_agent/models",
    "srl_agent/generation srl_agent/rewards srl_agent/steps",
    "srl_agent/prefix_sharing srl_agent/formats srl_agent/step_kinds",
    "srl_agent/plugins srl_agent/context_length srl_agent",
    "srl_agent/typed_values",
    "environments/swe environments/math environments/images",
    "environments/sandbox",
    "environments/tools environments/rows environments/failures environments",
    "trajectories/filters",
    "trajectories/readers trajectories/writers",
    "trajectories/readers/sessions trajectories/readers/scaffolds trajectories/readers/harbor",
    "trajectories/readers/chat",
    "trajectories/conversation",
    "trajectories/round_trip trajectories/schema_check trajectories/sources",
    "trajectories/store trajectories/vocabulary trajectories/ledger trajectories/solutions",
    "trajectories/fast_json",
    "trajectories",
    "trajectories/types trajectories/pointers",
    "trajectories/task_ids",
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
# What a package may import of the others, whatever the floors say.
PACKAGES = {
    "trajectories": set(),
    "srl_agent": {"trajectories"},
    "environments": set(),
    "harness": {"trajectories", "srl_agent", "environments"},
}
MODELS = {"torch", "trl", "transformers", "vllm", "peft", "accelerate"}
HEAVY = MODELS | {"datasets", "pyarrow", "swebench", "math_verify", "sympy"}
HEAVY_IN = {
    "harness/training": MODELS | {"datasets"},
    "harness/training/checks": MODELS,
    "harness/machine": {"torch"},
    "harness/data": {"datasets"},
    "srl_agent/context_length": {"transformers"},
    "srl_agent/training": MODELS,
    "srl_agent/generation": MODELS,
    "srl_agent/models": MODELS,
    "srl_agent/policies": MODELS,
    "srl_agent/prefix_sharing": MODELS,
    "environments/rows": {"datasets", "pyarrow"},
    "environments/swe": {"swebench"},
    "environments/math": {"math_verify", "sympy"},
    "trajectories/sources": {"datasets", "pyarrow"},
}


def sources() -> dict[str, Path]:
    """Every module of ours, by dotted name."""
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {dotted(path): path for path in found if "repositories" not in path.parts}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = sources()


def room(module: str) -> str:
    """The folder that a module is in, or its own name directly in a package."""
    path = MODULES[module].relative_to(ROOT)
    if len(path.parts) > 2 or path.name == "__init__.py":
        return path.parent.as_posix()
    return path.with_suffix("").as_posix()


def imports(module: str) -> Iterator[str]:
    """Names of the modules that a module imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def test_every_folder_has_a_floor() -> None:
    assert {room(module) for module in MODULES} == FLOOR.keys()


def test_imports_point_down() -> None:
    wrong = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module)
        if other in MODULES and room(other) != room(module) and FLOOR[room(other)] <= FLOOR[room(module)]
    }
    assert not wrong


def test_packages_import_only_what_they_may() -> None:
    wrong = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module)
        if (package := other.partition(".")[0]) in PACKAGES
        and package != (own := module.partition(".")[0])
        and package not in PACKAGES[own]
    }
    assert not wrong


def test_heavy_libraries_are_imported_in_their_folders_only() -> None:
    wrong = {
        f"{module} imports {library}"
        for module in MODULES
        for other in imports(module)
        if (library := other.partition(".")[0]) in HEAVY and library not in HEAVY_IN.get(room(module), ())
    }
    assert not wrong


@pytest.mark.parametrize(
    "command", ["train", "profile", "validate", "convert", "evaluate", "build_image", "report", "doctor"]
)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        f"try: runpy.run_module('harness.{command}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print([name for name in {sorted(HEAVY)!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: " in done.stdout


def test_importing_policies_and_scaffolds_imports_none_of_their_libraries() -> None:
    code = (
        "import sys, srl_agent.policies.scripted, srl_agent.scaffolds.tool_loop, srl_agent.scaffolds.agentless_mini\n"
        f"print([name for name in {sorted(HEAVY | {'httpx', 'minisweagent', 'pydantic'})!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"

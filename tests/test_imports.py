"""Imports point down, and heavy libraries stay behind their seams."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "trajectories": set(),
    "srl_agent": {"trajectories"},
    "environments": set(),
    "harness": {"trajectories", "srl_agent", "environments"},
}
HEAVY = {
    "torch",
    "trl",
    "transformers",
    "vllm",
    "peft",
    "accelerate",
    "datasets",
    "pyarrow",
    "swebench",
    "math_verify",
    "sympy",
}
SEAMS = {
    "environments/swe/grading.py",
    "environments/math/equality.py",
    "environments/rows.py",
    "trajectories/tables.py",
    "srl_agent/models.py",
    "srl_agent/policies/local.py",
    "srl_agent/policies/vllm_local.py",
    "srl_agent/training/batches.py",
    "srl_agent/training/srl.py",
    "srl_agent/training/shared_prefix.py",
    "srl_agent/training/kept_keys.py",
    "srl_agent/training/packed_attention.py",
    "srl_agent/training/cpu_attention.py",
    "srl_agent/training/lora_product.py",
    "srl_agent/training/sampling_weights.py",
    "srl_agent/training/shared_prompts.py",
    "srl_agent/training/shared_labels.py",
    "srl_agent/training/decoding.py",
    "srl_agent/training/sft.py",
    "srl_agent/training/generation.py",
    "srl_agent/training/lm_head.py",
    "harness/stages/arguments.py",
    "harness/stages/callbacks.py",
    "harness/stages/run.py",
    "harness/train.py",
    "harness/profile.py",
    "harness/validation.py",
    "harness/trl_tables.py",
    "harness/step_data.py",
    "harness/doctor.py",
}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def sources() -> list[Path]:
    found = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "repositories" not in path.parts]


def test_packages_import_only_downwards() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sources()
        for other in imported_packages(path) & ALLOWED.keys()
        if other != (package := path.relative_to(ROOT).parts[0]) and other not in ALLOWED[package]
    }
    assert not wrong


def test_heavy_libraries_are_imported_at_their_seams_only() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {', '.join(heavy)}"
        for path in sources()
        if (heavy := imported_packages(path) & HEAVY) and str(path.relative_to(ROOT)) not in SEAMS
    }
    assert not wrong


@pytest.mark.parametrize(
    "command", ["train", "profile", "convert", "evaluate", "build_image", "report", "doctor"]
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

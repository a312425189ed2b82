"""Run Python commands in processes that start with the libraries imported.

Importing torch, transformers and TRL takes longer than what most tests run. A server imports them once for each pytest
process; every command is a fork of it, which imports this project itself, from its own folder and with its own
environment. Where a test is about the start of a process or about signals to it, it starts a process of its own.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).parent.parent
_LIBRARIES = (
    "accelerate", "datasets", "docker", "git", "httpx", "jinja2", "math_verify", "matplotlib.pyplot", "msgspec",
    "peft", "psutil", "pyarrow.parquet", "pydantic", "rich.progress", "sympy", "torch", "transformers",
    "trl.trainer.grpo_trainer", "trl.trainer.sft_trainer", "yaml",
)  # fmt: skip
# Libraries read variables with these beginnings when they are imported.
_READ_AT_IMPORT = ("HF_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH", "OMP_", "CUDA_", "MPL", "PYTHONHASHSEED")


def run_python(
    *words: str, cwd: Path = _ROOT, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run ``python word…`` (``-m module …`` or ``file.py …``); return its exit code and output.

    ``env``: variables to add to those of this process.
    """
    environment = {**os.environ, **(env or {})}
    if any(
        key.startswith(_READ_AT_IMPORT) and os.environ.get(key) != value for key, value in (env or {}).items()
    ):
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    with tempfile.TemporaryDirectory() as folder:
        outputs = [str(Path(folder, name)) for name in ("stdout", "stderr")]
        request = {
            "words": words,
            "cwd": str(cwd),
            "env": environment,
            "outputs": outputs,
            "timeout": timeout,
        }
        server = _server()
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = json.loads(server.stdout.readline())
        if code is None:
            raise subprocess.TimeoutExpired(words, timeout)
        texts = [Path(path).read_text(encoding="utf-8") for path in outputs]
    return subprocess.CompletedProcess([sys.executable, *words], code, *texts)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    atexit.register(server.kill)
    return server


def _serve() -> None:
    for name in _LIBRARIES:
        __import__(name)
    gc.freeze()  # the collector would write to, and so copy, the memory that a child shares
    inherited = [entry for entry in sys.path[1:] if entry not in _listed(os.environ.get("PYTHONPATH", ""))]
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _end(partial(_become, request, inherited))
        print(json.dumps(_exit_code(child, request["timeout"])), flush=True)


def _listed(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path]


def _exit_code(child: int, timeout: float) -> int | None:
    """Return the exit code of a process as ``subprocess`` gives it; end it and return None if it takes too long."""
    descriptor = os.pidfd_open(child)
    ready = select.select([descriptor], [], [], timeout)[0]
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if ready else None


def _end(program: Callable[[], object]) -> NoReturn:
    """Run a program and end this process as Python does, but without taking down what the child shares."""
    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # wait for threads, as at any exit
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _become(request: Mapping[str, Any], inherited: list[str]) -> None:
    """Turn this process into one that was started with the words of a request, and run its program."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    descriptors = [os.open(os.devnull, os.O_RDONLY)]
    descriptors += [os.open(path, os.O_WRONLY | os.O_CREAT) for path in request["outputs"]]
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    first, *rest = request["words"]
    is_module = first == "-m"
    module, *arguments = rest if is_module else request["words"]
    own = str(Path.cwd()) if is_module else str(Path(module).resolve().parent)
    sys.path[:] = [own, *_listed(os.environ.get("PYTHONPATH", "")), *inherited]
    sys.argv[:] = [module, *arguments]
    del sys.modules["__main__"]
    if is_module:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(module, run_name="__main__")


if __name__ == "__main__":
    _serve()

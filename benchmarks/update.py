"""Cost of an update: ours, which forwards every token once, against stock TRL, on the same rows of real steps.

    python benchmarks/update.py data/trae.jsonl [--steps 6] [--group 8] [--window full] [--prompt-tokens 2048]
    python benchmarks/update.py data/trae.jsonl --scaling        # ours alone, over 1, 2, 4, 8 and 16 steps
    python benchmarks/update.py data/trae.jsonl --engine fsdp2 --processes 2   # or zero3, ddp; on a CPU too

Takes trajectories with enough steps, renders consecutive steps, and gives each step G completions: the expert's action
after a thought, cut to --completion-tokens, a few tokens of each changed. Times loss and backward pass of TRL's
GRPOTrainer and of ours with the same weights, and measures the gradients' difference. Peak memory is that of a process
of its own for each. The limit is the FLOPs of the unique tokens (2 a weight and token forward, 4 backward, attention
beside it) at the rate of a plain matrix product, measured here too; --checkpointing adds a forward pass to it.
--device cuda runs it on a GPU. The last line is one JSON object; ratios are stock over ours. With --engine every
process has steps of another trajectory; seconds and memory are those of the process that needs most.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from engines import ENGINES
from trl import GRPOConfig, GRPOTrainer

from srl_agent.formats import get_format
from srl_agent.generation.chat import make_chat
from srl_agent.models.load import load_policy, load_tokenizer
from srl_agent.models.packaged import resolve_model
from srl_agent.prefix_sharing.prefix_tree import Row, build_trees, count_tokens
from srl_agent.rewards import WeightedRewards
from srl_agent.steps import StepSettings, render_example, select_steps
from srl_agent.training.dynamic_sampling import DynamicSampling
from srl_agent.training.srl import SRLTrainer
from trajectories.store import read_trajectories


def make_rows(options: argparse.Namespace, tokenizer: Any, skip: int = 0) -> list[Row]:
    """``steps`` consecutive steps of the first trajectory that fits after ``skip`` others, G completions each."""
    action_format = get_format("xml", "trae")
    settings = StepSettings(
        context_window=None if options.window == "full" else int(options.window),
        max_task_chars=options.task_chars,
        max_observation_chars=options.observation_chars,
    )
    torch.manual_seed(0)
    chat = make_chat(tokenizer)
    for trajectory in read_trajectories(options.data):
        rows: list[Row] = []
        targets, _ = select_steps([trajectory], settings=settings, action_format=action_format)
        for target in targets[options.first_step :][: options.steps]:
            example = render_example(trajectory, target.step, settings=settings, action_format=action_format)
            prompt = chat.prompt_ids(example.prompt)
            if len(prompt) > options.prompt_tokens:
                break
            action = tokenizer.encode(
                f"<think>\nNext.\n</think>\n\n{example.expert_action}", add_special_tokens=False
            )
            for _ in range(options.group):
                completion = torch.tensor(action[: options.completion_tokens])
                changed = torch.rand(len(completion)) < 0.1
                completion[changed] = torch.randint(min(1000, tokenizer.vocab_size), (int(changed.sum()),))
                rows.append(Row(prompt=prompt, completion=completion.tolist()))
        if len(rows) == options.steps * options.group:
            if not skip:
                return rows
            skip -= 1
    raise SystemExit(
        f"no trajectory of {options.data} has {options.steps} steps of {options.prompt_tokens} tokens"
    )


def batch(rows: list[Row], device: Any) -> dict[str, torch.Tensor]:
    """As TRL hands it to its loss."""
    left = max(len(row.prompt) for row in rows)
    right = max(len(row.completion) for row in rows)
    torch.manual_seed(1)
    made = {
        "prompt_ids": [[0] * (left - len(r.prompt)) + list(r.prompt) for r in rows],
        "prompt_mask": [[0] * (left - len(r.prompt)) + [1] * len(r.prompt) for r in rows],
        "completion_ids": [list(r.completion) + [0] * (right - len(r.completion)) for r in rows],
        "completion_mask": [[1] * len(r.completion) + [0] * (right - len(r.completion)) for r in rows],
    }
    tensors = {key: torch.tensor(value, device=device) for key, value in made.items()}
    return {
        **tensors,
        "advantages": torch.randn(len(rows), device=device),
        "num_items_in_batch": tensors["completion_mask"].sum(),
    }


def make_trainer(kind: str, options: argparse.Namespace, folder: Path, **settings: Any) -> Any:
    name = resolve_model(options.model)
    tokenizer = load_tokenizer(name)
    args = GRPOConfig(
        output_dir=str(folder), report_to="none", bf16=False, loss_type="grpo", max_steps=1,
        num_generations=options.group, per_device_train_batch_size=options.group,
        gradient_checkpointing=options.checkpointing, **{"use_cpu": options.device == "cpu", **settings},
    )  # fmt: skip
    shared: dict[str, Any] = {
        "model": load_policy(name, dtype=options.dtype, lora=None),
        "processing_class": tokenizer,
        "args": args,
        "train_dataset": Dataset.from_list([{"prompt": [{"role": "user", "content": "x"}]}]),
    }

    def nothing(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        return [0.0] * len(completions)

    if kind == "stock":
        trainer: Any = GRPOTrainer(reward_funcs=nothing, **shared)
    else:
        rewards = WeightedRewards(functions={"r": nothing}, weights={"r": 1.0})
        trainer = SRLTrainer(
            rewards=rewards,
            sampling=DynamicSampling(),
            format_error=lambda text: None,
            **shared,
        )
    trainer.model.train()
    if options.checkpointing:
        trainer.model.gradient_checkpointing_enable()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def update(trainer: Any, inputs: dict[str, torch.Tensor]) -> float:
    """Seconds of loss and backward pass."""
    trainer.model.zero_grad()
    if trainer.model.device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    trainer._compute_loss(trainer.model, inputs).backward()
    if trainer.model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def gradient(trainer: Any) -> torch.Tensor:
    """Return the gradient of the last update as one vector."""
    return torch.cat([p.grad.flatten().float() for p in trainer.model.parameters() if p.grad is not None])


def flops(model: Any, rows: list[Row], *, checkpointing: bool) -> float:
    """Count the operations of an update that forwards every token once, in matrix products and attention."""
    config = model.config
    head = config.vocab_size * config.hidden_size
    layers = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name)
    width = config.num_attention_heads * getattr(
        config, "head_dim", config.hidden_size // config.num_attention_heads
    )
    unique, pairs, scored = 0, 0.0, sum(len(row.completion) for row in rows)
    for tree in build_trees(rows):
        for node in tree.walk():
            unique += len(node.tokens)
            pairs += len(node.tokens) * (node.start + node.end) / 2
            for row in (rows[index] for index in node.rows):
                unique += len(row.suffix_tokens)
                pairs += len(row.suffix_tokens) * (node.end + len(row.suffix_tokens) / 2)
    forward = 2 * layers * unique + 2 * head * scored + 4 * width * config.num_hidden_layers * pairs
    return forward * (4 if checkpointing else 3)


def matmul_rate(model: Any) -> float:
    """FLOPs a second of the product that a model's MLP makes of 2,048 tokens, weights of all layers in turn."""
    config, device, dtype = model.config, model.device, model.dtype
    x = torch.randn(2048, config.hidden_size, dtype=dtype, device=device)
    weights = [layer.mlp.up_proj.weight.detach() for layer in model.base_model.layers]
    seconds = []
    for _ in range(5):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for weight in weights:
            torch.nn.functional.linear(x, weight)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * x.shape[0] * sum(weight.numel() for weight in weights) / statistics.median(seconds)


def peak_megabytes(kind: str, words: list[str]) -> float:
    """Peak memory of one update in a process of its own, beyond what it needs before."""
    done = subprocess.run(
        [sys.executable, __file__, *words, "--only", kind], capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def _peak(trainer: Any, inputs: dict[str, torch.Tensor]) -> float:
    before = reset_peak(trainer.model.device.type)
    update(trainer, inputs)
    return (peak_bytes(trainer.model.device.type) - before) / 2**20


def reset_peak(device: str) -> int:
    """Let the peak begin anew; return the bytes in use."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # getrusage's would be that of the process that started this one
    return peak_bytes(device)


def peak_bytes(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def by_engine(options: argparse.Namespace, words: list[str]) -> None:
    """Print what an update costs where an engine splits it over processes."""
    found = {}
    for kind in ("stock", "ours"):
        launch = ["torch.distributed.run", "--standalone", f"--nproc_per_node={options.processes}"]
        command = [sys.executable, "-m", *launch, str(Path(__file__).parent / "update_sharded.py"), *words]
        done = subprocess.run([*command, "--only", kind], stdout=subprocess.PIPE, text=True, check=True)
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    result: dict[str, Any] = {"engine": options.engine, "processes": options.processes}
    for name, join in (("tokens", sum), ("seconds", max), ("megabytes", max)):
        stock, ours = (join(process[name] for process in found[kind]) for kind in ("stock", "ours"))
        result |= {f"{name}_stock": round(stock, 2), f"{name}_ours": round(ours, 2)}
        result[f"{name}_ratio"] = round(stock / ours, 2)
    pairs = zip(found["stock"], found["ours"], strict=True)
    result["loss_difference"] = max(abs(stock["loss"] - ours["loss"]) for stock, ours in pairs)
    for key, value in result.items():
        print(f"{key:20s} {value}")
    print(json.dumps(result))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="trajectories, made by python -m harness.convert")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int, default=6, help="of one trajectory")
    parser.add_argument("--first-step", type=int, default=0, help="begin with this one")
    parser.add_argument("--group", type=int, default=8, help="completions a step")
    parser.add_argument("--window", default="full", help="(action, observation) pairs in a prompt, or full")
    parser.add_argument("--prompt-tokens", type=int, default=2048, help="no prompt is longer")
    parser.add_argument("--completion-tokens", type=int, default=128)
    parser.add_argument("--task-chars", type=int, help="longer tasks lose their middle")
    parser.add_argument("--observation-chars", type=int, default=1500)
    parser.add_argument("--rows-at-once", type=int, default=8, help="of the stock trainer")
    parser.add_argument(
        "--checkpointing",
        action="store_true",
        help="recompute activations in the backward pass, on both sides",
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--scaling", action="store_true", help="what an update costs by the steps of a trajectory"
    )
    parser.add_argument("--engine", choices=ENGINES, help="split the update over processes by it")
    parser.add_argument("--processes", type=int, default=2, help="with --engine")
    parser.add_argument("--only", choices=("stock", "ours"), help=argparse.SUPPRESS)
    return parser


def main() -> None:
    options = parser().parse_args()
    if options.engine:
        by_engine(options, sys.argv[1:])
        return
    tokenizer = load_tokenizer(resolve_model(options.model))
    if options.scaling:
        scaling(options, tokenizer)
        return
    rows = make_rows(options, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        if options.only:
            trainer = make_trainer(options.only, options, Path(folder))
            size = len(rows) if options.only == "ours" else options.rows_at_once
            print(_peak(trainer, batch(rows[-size:], trainer.model.device)))
            return
        # Memory before this process has any of its own.
        memory = {kind: peak_megabytes(kind, sys.argv[1:]) for kind in ("stock", "ours")}
        # Stock first: ours has TRL score completions only on a CPU, which is part of what is measured.
        stock = make_trainer("stock", options, Path(folder) / "stock")
        wanted, stock_seconds = _stock(stock, rows, options)
        ours = make_trainer("ours", options, Path(folder) / "ours")
        seconds = statistics.median(
            update(ours, batch(rows, ours.model.device)) for _ in range(options.repeat)
        )
        difference = float((gradient(ours) - wanted).norm() / wanted.norm())
        rate = matmul_rate(ours.model)
        limit = flops(ours.model, rows, checkpointing=options.checkpointing) / rate
    unique, whole = count_tokens(build_trees(rows), rows)
    result = {
        "rows": len(rows), "longest_prompt": max(len(row.prompt) for row in rows),
        "tokens_stock": whole, "tokens_ours": unique, "token_ratio": round(whole / unique, 2),
        "seconds_stock": round(stock_seconds, 2), "seconds_ours": round(seconds, 2),
        "wall_ratio": round(stock_seconds / seconds, 2),
        "tokens_per_second": round(unique / seconds), "matmul_gflops": round(rate / 1e9),
        "seconds_limit": round(limit, 2), "share_of_limit": round(limit / seconds, 3),
        "megabytes_stock": round(memory["stock"]), "megabytes_ours": round(memory["ours"]),
        "memory_ratio": round(memory["stock"] / max(memory["ours"], 1.0), 2),
        "gradient_difference": difference,
    }  # fmt: skip
    what = f"{options.steps} steps x {options.group} completions, context {options.window}"
    print(f"{what}, {options.model}, {options.dtype}, {options.device}")
    for key, value in result.items():
        print(f"{key:20s} {value}")
    print(json.dumps(result))


def scaling(options: argparse.Namespace, tokenizer: Any) -> None:
    """Seconds of ours by the number of steps of the same trajectory."""
    options.steps = 16
    rows = make_rows(options, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("ours", options, Path(folder))
        update(trainer, batch(rows[: options.group], trainer.model.device))  # what is slow once only
        table = []
        for steps in (1, 2, 4, 8, 16):
            part = rows[: steps * options.group]
            inputs = batch(part, trainer.model.device)
            seconds = statistics.median(update(trainer, inputs) for _ in range(options.repeat))
            unique, whole = count_tokens(build_trees(part), part)
            work = flops(trainer.model, part, checkpointing=options.checkpointing)
            table.append(
                {"steps": steps, "tokens_stock": whole, "tokens_ours": unique, "teraflops": round(work / 1e12, 2),
                 "seconds": round(seconds, 2)}
            )  # fmt: skip
            print(
                f"{steps:3d} steps  {whole:7d} tokens of all rows  {unique:6d} unique  {work / 1e12:6.2f} TFLOP  "
                f"{seconds:7.2f} s  {1000 * seconds / unique:.2f} ms a token",
                flush=True,
            )
    print(json.dumps(table))


def _stock(trainer: Any, rows: list[Row], options: argparse.Namespace) -> tuple[torch.Tensor, float]:
    """Gradient and median seconds of all rows, so many at once: whole groups, the loss a mean over them."""
    size = options.rows_at_once
    whole = batch(rows, trainer.model.device)
    chunks = []
    for start in range(0, len(rows), size):
        part = batch(rows[start : start + size], trainer.model.device)
        part["advantages"] = whole["advantages"][start : start + size]
        chunks.append(part)
    totals, mean = [], torch.zeros(())
    for turn in range(options.repeat):
        seconds = 0.0
        for part in chunks:
            seconds += update(trainer, part)
            if turn == 0:  # one gradient in memory, and their sum: rows of long prompts need the rest
                mean = mean + gradient(trainer) / len(chunks)
        totals.append(seconds)
    trainer.model.zero_grad()
    return mean, statistics.median(totals)


if __name__ == "__main__":
    main()

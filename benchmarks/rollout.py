"""Cost of G completions of a prompt: the prompt read once, against stock ``generate``.

    python benchmarks/rollout.py [--prompts 2] [--group 8] [--prompt-tokens 1000] [--completion-tokens 128]

Prompts are text of the embedded demo's trajectories. Both sides decode greedily to the same length with the same
weights, in turn; a row is compared up to its first difference. --device cuda runs it on a GPU. The last line is one
JSON object; the ratio is stock over ours.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from harness.demo import expert_path
from srl_agent.models.load import load_policy, load_tokenizer
from srl_agent.models.packaged import resolve_model


def generate(model: Any, prompts: torch.Tensor, tokens: int) -> tuple[float, torch.Tensor]:
    """Seconds, and the new tokens of each row."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    output = model.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=tokens,
        do_sample=False,
    )
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, output[:, prompts.shape[1] :]


def same_until(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean share of each row before its first difference."""
    return float((one == other).int().cumprod(dim=1).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--prompts", type=int, default=2, help="in a batch; no training recipe has fewer")
    parser.add_argument("--group", type=int, default=8, help="completions a prompt")
    parser.add_argument("--prompt-tokens", type=int, default=1000)
    parser.add_argument("--completion-tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    name = resolve_model(options.model)
    text = load_tokenizer(name).encode(expert_path().read_text(encoding="utf-8")[:400_000])
    wanted = options.prompts * options.prompt_tokens
    if len(text) < wanted:
        raise SystemExit(f"the demo has {len(text)} tokens of text, {wanted} are asked for")
    prompts = torch.tensor(text[:wanted], device=options.device).view(options.prompts, -1)
    rows = prompts.repeat_interleave(options.group, dim=0)
    stock = AutoModelForCausalLM.from_pretrained(name, dtype=options.dtype).to(options.device).eval()
    ours = load_policy(name, dtype=options.dtype, lora=None).to(options.device).eval()
    for model in (stock, ours):
        model.generation_config.eos_token_id = None  # all rows to the same length
    generate(stock, rows[:, :16], 2)  # what is slow once only
    runs = [
        (generate(stock, rows, options.completion_tokens), generate(ours, rows, options.completion_tokens))
        for _ in range(options.repeat)
    ]
    seconds = [statistics.median(run[side][0] for run in runs) for side in (0, 1)]
    result = {
        "rows": len(rows),
        "prompt_tokens": options.prompt_tokens,
        "completion_tokens": options.completion_tokens,
        "seconds_stock": round(seconds[0], 2),
        "seconds_ours": round(seconds[1], 2),
        "wall_ratio": round(seconds[0] / seconds[1], 2),
        "same_until": round(same_until(runs[0][0][1], runs[0][1][1]), 3),
    }
    print(f"{options.prompts} prompts x {options.group}, {options.model}, {options.dtype}, {options.device}")
    for key, value in result.items():
        print(f"{key:20s} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

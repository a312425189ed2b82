"""How alike the gradients of a trajectory's steps are: what a batch loses that holds several of one.

    python benchmarks/gradient_noise.py outputs/RUN [--stage sft] [--trajectories 12] [--steps 4] [--group 8]

From a finished run of ``harness.train``, with the weights that a stage ended with: samples G completions of consecutive
steps of its training trajectories, scores them with the run's rewards, and takes the GRPO gradient of each group that
carries a signal. With D the mean dot product of two gradients, of the same group (s), of two steps of a trajectory (w),
of two trajectories (a), the intraclass correlation is rho = (D_w - D_a) / (D_s - D_a), and a batch of k steps of
each of its trajectories has 1 + (k - 1) rho times the gradient variance of one in which no trajectory is twice
(Kish's design effect). The interval is a bootstrap over trajectories. The last line is one JSON object.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl.trainer.utils import add_fused_lm_head

from harness.config.load import load_recipe
from harness.data.scoring import make_rewards, score_examples
from harness.data.step_data import load_step_data
from harness.run_folder import RunFolder
from harness.training.trainer_state import before_training
from srl_agent.generation.generate import complete
from srl_agent.generation.types import Sampling
from srl_agent.models.load import load_chat, load_policy
from srl_agent.models.packaged import resolve_model
from srl_agent.prefix_sharing.logprobs import add_shared_prefix
from srl_agent.prefix_sharing.prefix_tree import Row
from srl_agent.training.dynamic_sampling import population_std
from srl_agent.training.lm_head import fit_lm_head_to_cpu


def gradient_of_group(model: Any, rows: list[Row], rewards: list[float]) -> torch.Tensor:
    """Gradient of the GRPO loss at the sampling policy: the mean over rows of advantage times mean log-probability."""
    scores = torch.tensor(rewards)
    advantages = (scores - scores.mean()) / (scores.std() + 1e-4)
    model.zero_grad()
    parts = [a * s.log_probs.mean() for a, s in zip(advantages, model(shared_rows=rows), strict=True)]
    (-torch.stack(parts).mean()).backward()
    return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])


def correlation(dots: np.ndarray, owners: np.ndarray, labels: np.ndarray | None = None) -> float:
    """rho, from the dot products of all pairs of gradients and the trajectory of each.

    ``labels``: which draw of its trajectory each belongs to; two draws of one are not two trajectories.
    """
    drawn = owners if labels is None else labels
    same = drawn[:, None] == drawn
    alone = np.eye(len(owners), dtype=bool)
    across = dots[owners[:, None] != owners].mean()
    return float((dots[same & ~alone].mean() - across) / (dots[alone].mean() - across))


def interval(dots: np.ndarray, owners: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 %, drawing trajectories."""
    generator, names = np.random.default_rng(0), np.unique(owners)
    values = []
    for _ in range(draws):
        chosen = generator.choice(names, len(names))
        places = [np.flatnonzero(owners == name) for name in chosen]
        rows, sizes = np.concatenate(places), [len(place) for place in places]
        labels = np.repeat(np.arange(len(chosen)), sizes)
        if len(set(chosen)) > 1:
            values.append(correlation(dots[np.ix_(rows, rows)], np.repeat(chosen, sizes), labels))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--stage", default="sft", choices=("sft", "srl", "rlvr"))
    parser.add_argument("--trajectories", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="consecutive ones of each")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--completion-tokens", type=int, default=128)
    options = parser.parse_args()
    folder = RunFolder(options.run)
    recipe = load_recipe(str(folder.config), [])
    data = load_step_data(recipe)
    rewards = make_rewards(recipe, data.action_format)
    ended = json.loads(folder.best(options.stage).read_text(encoding="utf-8"))["final_checkpoint"]
    best = str(folder.stage_dir(options.stage) / Path(ended).name)  # wherever the run was moved to
    name = resolve_model(recipe.model.name)
    lora = recipe.model.lora is not None
    fit_lm_head_to_cpu()
    model = load_policy(
        name if lora else best, dtype=recipe.model.dtype, lora=None, adapter=best if lora else None
    )
    base = model.get_base_model() if lora else model
    add_fused_lm_head(base)
    add_shared_prefix(base)
    model.train()
    chat = load_chat(name)
    torch.manual_seed(0)
    by_trajectory: dict[int, list[Any]] = {}
    for ref in data.train:
        by_trajectory.setdefault(ref.trajectory, []).append(ref)
    long = [refs[: options.steps] for refs in by_trajectory.values() if len(refs) >= options.steps]
    gradients, owners, silent = [], [], 0
    for refs in long[: options.trajectories]:
        for ref in refs:
            example = data.example(ref)
            prompt = chat.prompt_ids(example.prompt)
            sampling = Sampling(max_tokens=options.completion_tokens, temperature=1.0)
            done = complete(model, chat, [prompt] * options.group, sampling)
            scores = score_examples(
                rewards, [example] * len(done), done, tokenizer=chat.tokenizer, state=before_training()
            )
            totals = [score.total or 0.0 for score in scores]
            if population_std(totals) <= 1e-3:
                silent += 1
                continue
            rows = [Row(prompt=prompt, completion=list(c.token_ids)) for c in done]
            gradients.append(gradient_of_group(model, rows, totals))
            owners.append(ref.trajectory)
            print(f"{len(gradients)} groups", flush=True)
    matrix = torch.stack(gradients)
    dots, names = (matrix @ matrix.T).double().numpy(), np.array(owners)
    rho = correlation(dots, names)
    low, high = interval(dots, names)
    result = {
        "groups": len(gradients), "silent": silent, "trajectories": len(set(owners)),
        "rho": round(rho, 3), "low": round(low, 3), "high": round(high, 3),
        "variance_of_k": {k: round(1 + (k - 1) * rho, 2) for k in (2, 4, 8)},
    }  # fmt: skip
    for key, value in result.items():
        print(f"{key:14s} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Speed of the similarity reward against the standard library, on real actions, in one run.

    python benchmarks/reward.py [TRAJECTORIES.jsonl] [--pairs 400] [--max-chars 2000]

The file is one that ``python -m harness.convert`` wrote; without it, the demo's. Pairs are actions of neighbouring
steps (what a policy that repeats itself would be scored on) and mutated copies (what a good one would be). Prints a
table and, as the last line, one JSON object with the ratio of the medians.
"""

import argparse
import json
import random
import time
from pathlib import Path
from statistics import median

from harness.demo import expert_path
from srl_agent.formats import UnrepresentableActionError, get_format
from srl_agent.rewards import reference_similarity, similarities
from trajectories.store import read_trajectories


def real_actions(path: Path, max_chars: int) -> list[str]:
    """Rendered actions, in the order of the steps, cut at ``max_chars``."""
    action_format, actions = get_format("xml"), []
    for trajectory in read_trajectories(path):
        for step in trajectory.steps:
            try:
                actions.append(action_format.render_actions(step.actions)[:max_chars])
            except UnrepresentableActionError:
                continue
    return actions


def mutated(text: str, rng: random.Random) -> str:
    """``text`` with about one character in thirty changed."""
    return "".join(rng.choice("abc _(") if rng.random() < 0.03 else c for c in text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trajectories", nargs="?", type=Path, default=expert_path())
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--max-chars", type=int, default=2000)
    options = parser.parse_args()
    rng = random.Random(0)
    actions = real_actions(options.trajectories, options.max_chars)
    starts = [rng.randrange(len(actions) - 1) for _ in range(options.pairs // 2)]
    pairs = [(actions[i + 1], actions[i]) for i in starts] + [
        (mutated(actions[i], rng), actions[i]) for i in starts
    ]

    reference, values = [], []
    for pair in pairs:
        begun = time.perf_counter()
        values.append(reference_similarity(*pair))
        reference.append(time.perf_counter() - begun)
    similarities(pairs[:8])  # the library starts its threads
    batches = []
    for _ in range(5):
        begun = time.perf_counter()
        fast = similarities(pairs)
        batches.append(time.perf_counter() - begun)
    assert fast == values, "the values differ"

    ours = median(batches)
    lengths = sorted(len(a) + len(b) for a, b in pairs)
    print(
        f"{len(pairs)} pairs, median length of both texts {lengths[len(lengths) // 2]} characters; equal values"
    )
    print(f"standard library  {sum(reference):9.4f} s")
    print(f"srl_agent, batch  {ours:9.4f} s   (median of {len(batches)})")
    print(
        json.dumps(
            {
                "benchmark": "reward",
                "pairs": len(pairs),
                "stdlib_seconds": round(sum(reference), 4),
                "ours_seconds": round(ours, 5),
                "ratio": round(sum(reference) / ours, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

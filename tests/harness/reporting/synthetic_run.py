"""A made-up but complete run folder, with the shape that ``python -m harness.train`` writes."""

import json
import random
from pathlib import Path
from typing import Any

KINDS = ("search", "read", "edit", "bash", "finish")
EXPERT = {
    "search": "grep -rn 'def parse_duration' src/",
    "read": "sed -n '1,60p' src/duration.py",
    "edit": "str_replace src/duration.py\n- minutes = seconds / 60\n+ minutes = seconds // 60",
    "bash": "python -m pytest tests/test_duration.py -q",
    "finish": "submit",
}


def write_run(
    folder: Path,
    *,
    seed: int = 0,
    gain: float = 0.15,
    trajectories: int = 8,
    text: str = "",
    stages: tuple[str, ...] = ("sft", "srl"),
    status: str = "finished",
    tasks: int = 0,
) -> Path:
    """Write a run whose trained model is about ``gain`` above base; ``text`` is put into every free text.

    Base solves the first fifth of the verified ``tasks``, and the last evaluation the first half.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", _manifest(folder.name, seed, trajectories, status))
    (folder / "config.yaml").write_text(
        f"seed: {seed}\nmodel: tiny\nrewards:\n- name: similarity\nsrl:\n  learning_rate: 1.0e-5\n"
    )
    evaluations = [("base", 0, 0.0)]
    for stage_index, stage in enumerate(stages, 1):
        evaluations += [
            (stage, step, gain * (stage_index - 1 + step / 60) / len(stages)) for step in (20, 40, 60)
        ]
        write_json(
            folder / "checkpoints" / stage / "best.json",
            {"checkpoint": "c", "step": 60, "eval_step_reward": 0},
        )
    write_lines(folder / "metrics.jsonl", [line for stage in stages for line in _metrics(rng, stage)])
    held_out = [
        line
        for evaluation in evaluations
        for line in _held_out(random.Random(seed), evaluation, trajectories, text)
    ]
    write_lines(folder / "validation.jsonl", held_out)
    if tasks:
        write_lines(folder / "outcomes.jsonl", _outcomes(stages, tasks, text))
    write_lines(folder / "samples.jsonl", [_group(rng, step, text) for step in range(1, 61)])
    write_lines(folder / "baselines.jsonl", _baselines(trajectories, text))
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _manifest(name: str, seed: int, trajectories: int, status: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run_name": name,
        "seed": seed,
        "versions": {"torch": "2.13.0", "trl": "1.16.0"},
        "git_commit": "0" * 40,
        "started": "2026-01-05T09:30:00",
        "finished": "2026-01-05T09:37:41" if status == "finished" else None,
        "status": status,
        "data": {
            "path": "expert.jsonl",
            "digest": "d" * 16,
            "train_steps": 96,
            "validation_steps": trajectories * len(KINDS),
            "train_trajectories": 16,
            "validation_trajectories": trajectories,
        },
        "model": {"name": "tiny-135M", "parameters": 134_515_008},
        "wall_seconds": 461.2,
    }


def _metrics(rng: random.Random, stage: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(1, 61):
        line = {"stage": stage, "step": step, "time": float(step), "kind": "train"}
        if stage == "sft":
            line["loss"] = 2.4 * 0.97**step + rng.gauss(0, 0.05)
        else:
            line |= {
                "reward": 0.25 + 0.004 * step + rng.gauss(0, 0.06),
                "sampling/kept_fraction": min(1.0, 0.9 - 0.005 * step + rng.gauss(0, 0.05)),
                "sampling/format_failure_rate": max(0.0, 0.3 - 0.005 * step + rng.gauss(0, 0.02)),
                "completions/mean_length": 80 - 0.3 * step + rng.gauss(0, 4),
            }
        lines.append(line)
        if step % 20 == 0:
            lines.append(
                {"stage": stage, "step": step, "time": 0.0, "kind": "validation", "eval_step_reward": 0.4}
            )
    return lines


def _held_out(
    rng: random.Random, evaluation: tuple[str, int, float], trajectories: int, text: str
) -> list[dict[str, Any]]:
    stage, step, gain = evaluation
    noise = random.Random(f"{stage}{step}")
    lines: list[dict[str, Any]] = []
    for number in range(trajectories):
        level = rng.gauss(0.38, 0.08)
        for index, kind in enumerate(KINDS):
            broken = noise.random() < 0.12 - 0.3 * gain
            similarity = min(1.0, max(0.0, level + rng.gauss(0, 0.1) + gain + noise.gauss(0, 0.05)))
            reward = -1.0 if broken else similarity
            lines.append(
                {
                    "stage": stage,
                    "step": step,
                    "trajectory_id": f"durations-{number}",
                    "step_index": index,
                    "kind": kind,
                    "expert_action": EXPERT[kind] + text,
                    "completion": _completion(kind, similarity, text),
                    "clipped": broken,
                    "rewards": {"similarity": reward, "structured": -1.0 if broken else reward / 2},
                    "reward": reward,
                    "format_error": f"no closed thought{text}" if broken else None,
                    "exact_match": similarity > 0.6,
                }
            )
    return lines


def _outcomes(stages: tuple[str, ...], tasks: int, text: str) -> list[dict[str, Any]]:
    """Return answers: each stage solves all that the stage before solved, and the last task is unanswered."""
    evaluations = [("base", 0, 0.0)]
    for index, stage in enumerate(stages):
        evaluations += [(stage, step, (index + step / 60) / len(stages)) for step in (20, 40, 60)]
    lines: list[dict[str, Any]] = []
    for stage, step, done in evaluations:
        solved = round(tasks * (0.2 + 0.3 * done))
        for number in range(tasks):
            right, silent = number < solved, number == tasks - 1
            lines.append(
                {
                    "stage": stage,
                    "step": step,
                    "trajectory_id": f"math-{number}",
                    "step_index": 0,
                    "kind": "answer",
                    "expert_action": str(number) + text,
                    "clipped": silent,
                    "completion": text if silent else f"\\boxed{{{number if right else -1}}}{text}",
                    "rewards": {},
                    "reward": float(right),
                    "format_error": "no answer" if silent else None,
                    "exact_match": right,
                    "reason": "no_answer" if silent else "correct" if right else "wrong",
                    "answer": "" if silent else str(number if right else -1),
                    "detail": "",
                }
            )
    return lines


def _group(rng: random.Random, step: int, text: str) -> dict[str, Any]:
    kind = rng.choice(KINDS)
    centre, spread = rng.uniform(0.2, 0.6), rng.choice((0.0, 0.02, 0.1, 0.2))
    rewards = [max(0.0, min(1.0, rng.gauss(centre, spread))) if spread else centre for _ in range(4)]
    mean = sum(rewards) / 4
    std = (sum((reward - mean) ** 2 for reward in rewards) / 4) ** 0.5
    return {
        "stage": "srl",
        "step": step,
        "round": 0,
        "trajectory_id": f"durations-train-{rng.randrange(16)}",
        "step_index": rng.randrange(5),
        "kind": kind,
        "expert_action": EXPERT[kind] + text,
        "completions": [
            {
                "text": _completion(kind, reward, text),
                "rewards": {"similarity": reward},
                "reward": reward,
                "format_error": None,
                "clipped": step % 20 == 0,
            }
            for reward in rewards
        ],
        "reward_mean": mean,
        "reward_std": std,
        "kept": std > 0.01,
        "reason": None if std > 0.01 else "zero_spread",
    }


def _completion(kind: str, similarity: float, text: str) -> str:
    expert = EXPERT[kind]
    guess = expert[: max(3, round(len(expert) * similarity))] + " --help" * (similarity < 0.5)
    return f"<think>\nThe failing test points at the duration parser; look there first.{text}\n</think>\n{guess}{text}"


def _baselines(trajectories: int, text: str) -> list[dict[str, Any]]:
    """Return rows with a given mean for each policy; `first_half` is the highest and reads the expert."""
    similarity = {"repeat_last_action": 0.31, "empty_action": 0.12, "first_half": 0.44, "best_constant": 0.17}
    structured = {"repeat_last_action": 0.10, "empty_action": 0.0, "first_half": 0.40, "best_constant": 0.15}
    return [
        {
            "policy": policy,
            "trajectory_id": f"durations-{number}",
            "step_index": index,
            "kind": kind,
            "action": f"pytest{text}" if policy == "best_constant" else f"{EXPERT[kind]}{number}",
            "rewards": {"similarity": mean + 0.01 * (number % 2) - 0.005, "structured": structured[policy]},
            "reward": mean + 0.01 * (number % 2) - 0.005,
        }
        for policy, mean in similarity.items()
        for number in range(trajectories)
        for index, kind in enumerate(KINDS)
    ]

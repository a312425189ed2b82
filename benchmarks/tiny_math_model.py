"""Make a small model that knows the forms of the math domain and errs in arithmetic: a start for a study on a CPU.

    python benchmarks/tiny_math_model.py outputs/tiny-math [--minutes 10] [--seed 1] [--more 3000] [--direct 0.7]

A Qwen2 of a million parameters with its own tokenizer (digits apart), trained from scratch on generated problems
of the embedded families, none of them an embedded problem: first their plain text, then prompts and answers of SRL and
of RLVR alike. A study on it says how the stages compare where there is time for many updates; it says nothing of large
models. ``--more N`` writes N other solved problems into the folder, as ``problems.jsonl``: data for a study, none of
which the model has seen.
With ``--direct P`` a share P of the whole solutions that it learns from are the final answer alone: it then mostly
answers at once, where it could have got further in steps.
"""

import argparse
import json
import random
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from harness.demo.math import problems_path
from harness.demo.math.generate import rows
from srl_agent.formats import get_format
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.steps import StepSettings, render_example
from trajectories import Trajectory
from trajectories.ledger import FileLedger
from trajectories.readers.math import read_solutions
from trajectories.sources.documents import Document
from trajectories.store import atomic_write, dump_line

VOCABULARY = 1024
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BATCH = 48
PLAIN = 0.7  # share of the time on plain text, where every token is learned; the rest are prompts and answers
_OTHER_SEEDS = 1000  # from here on, of the problems that the model does not see


def problems(draws: int, seed: int, known: Container[str] = ()) -> list[Trajectory]:
    """Generate the problems of ``draws`` draws, without the embedded and the known ones."""
    embedded = {
        json.loads(line)["question"] for line in problems_path().read_text(encoding="utf-8").splitlines()
    }
    made = {
        row["question"]: row
        for draw in range(draws)
        for row in rows(count=2000, seed=seed + draw)
        if row["question"] not in embedded and row["question"] not in known
    }
    ledger = FileLedger("", "math")
    return [t for row in made.values() for t in read_solutions(Document(value=row, origin=""), ledger)]


def write_problems(path: Path, count: int, seen: list[Trajectory]) -> None:
    """Solved problems that the model has not seen, families in turn."""
    fresh = problems(2 + count // 1000, _OTHER_SEEDS, known={trajectory.task for trajectory in seen})
    if len(fresh) < count:
        raise SystemExit(f"--more: only {len(fresh)} other problems were generated")
    with atomic_write(path) as out:
        out.writelines(dump_line(trajectory) for trajectory in fresh[:count])
    print(f"{count} problems -> {path}")


def samples(
    trajectories: list[Trajectory], seed: int, direct: float = 0.0
) -> Iterator[tuple[list[dict[str, str]], str]]:
    """Endless (prompt, answer) pairs: whole solutions, and single steps after a thought.

    ``direct``: share of the whole solutions that are cut down to their last step, the answer.
    """
    draw = random.Random(seed)
    action_format, settings = get_format("math-step"), StepSettings(context_window=None)
    while True:
        trajectory = draw.choice(trajectories)
        if draw.random() < 0.3:
            alone = direct > 0 and draw.random() < direct
            yield solution_prompt(trajectory.task), solution_text(trajectory.steps[-1 if alone else 0 :])
            continue
        index = draw.randrange(len(trajectory.steps))
        example = render_example(trajectory, index, settings=settings, action_format=action_format)
        yield example.prompt, f"<think>\nI take the next step.\n</think>\n\n{example.expert_action}"


def plain_text(
    tokenizer: Any, trajectories: list[Trajectory], seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of questions and solutions one behind the other, all tokens of which are learned."""
    draw = random.Random(seed)
    width, tokens = 192, list[int]()
    while True:
        while len(tokens) < BATCH * width:
            trajectory = draw.choice(trajectories)
            text = f"{trajectory.task}\n{solution_text(trajectory.steps)}"
            tokens += [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        rows = torch.tensor(tokens[: BATCH * width]).view(BATCH, width)
        tokens = tokens[BATCH * width :]
        yield {"input_ids": rows, "labels": rows}


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    special = ["<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=480,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(config)


def batches(
    tokenizer: Any, stream: Iterator[tuple[list[dict[str, str]], str]]
) -> Iterator[dict[str, torch.Tensor]]:
    """Right-padded; the loss is over the answers."""
    while True:
        encoded = []
        for _ in range(BATCH):
            prompt, answer = next(stream)
            ids = list(
                tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)[
                    "input_ids"
                ]
            )
            target = [*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id]
            encoded.append((ids, target))
        width = max(len(ids) + len(target) for ids, target in encoded)
        pads = [width - len(ids) - len(target) for ids, target in encoded]
        yield {
            "input_ids": torch.tensor(
                [[*i, *t, *[tokenizer.pad_token_id] * p] for (i, t), p in zip(encoded, pads, strict=True)]
            ),
            "attention_mask": torch.tensor(
                [[1] * (width - p) + [0] * p for p in pads],
            ),
            "labels": torch.tensor(
                [[*[-100] * len(i), *t, *[-100] * p] for (i, t), p in zip(encoded, pads, strict=True)]
            ),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--updates", type=int, default=100_000, help="end after so many, if that is sooner")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--more", type=int, default=0, help="number of other solved problems to write beside the model"
    )
    parser.add_argument(
        "--direct", type=float, default=0.0, help="share of whole solutions that are the answer alone"
    )
    options = parser.parse_args()
    if not 0 <= options.direct <= 1:
        parser.error("--direct: a share from 0 to 1")
    if options.more < 0:
        parser.error("--more: 0 or a number of problems")
    torch.manual_seed(options.seed)
    trajectories = problems(8, options.seed)
    stream = samples(trajectories, options.seed, options.direct)
    texts = [
        "\n".join([*(m["content"] for m in prompt), answer])
        for prompt, answer in (next(stream) for _ in range(4000))
    ]
    tokenizer = make_tokenizer(texts)
    model = make_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(trajectories)} problems")
    started, update, share = time.monotonic(), 0, 0.0
    text, chat = plain_text(tokenizer, trajectories, options.seed), batches(tokenizer, stream)
    while share < 1:
        batch = next(text if share < PLAIN else chat)
        update += 1
        share = max((time.monotonic() - started) / (60 * options.minutes), update / options.updates)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(update / 100, 1.0) * max(1.0 - share, 0.05)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if update % 50 == 0:
            print(f"{update}  loss {loss.item():.3f}  {time.monotonic() - started:.0f} s", flush=True)
    model.save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)
    print(f"{update} updates -> {options.folder}")
    if options.more:
        write_problems(options.folder / "problems.jsonl", options.more, trajectories)


if __name__ == "__main__":
    main()

"""One kind of update by one engine, in each process of torchrun; started by ``update.py --engine``.

The rows of a process are steps of a trajectory of its own, so the trees differ. An update is loss, backward pass and a
step of Adam (at rate 0, so that all updates are alike).
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from engines import use_engine
from torch.distributed import all_gather_object
from update import batch, make_rows, make_trainer, parser, peak_bytes, reset_peak

from srl_agent.models.load import load_tokenizer
from srl_agent.models.packaged import resolve_model
from srl_agent.prefix_sharing.prefix_tree import build_trees, count_tokens


def main() -> None:
    options = parser().parse_args()
    settings = use_engine(options.engine, on_cpu=options.device == "cpu")
    with tempfile.TemporaryDirectory() as folder:
        everything = options.steps * options.group
        size = everything if options.only == "ours" else options.rows_at_once
        settings |= {"learning_rate": 0.0, "gradient_accumulation_steps": everything // size}
        trainer = make_trainer(options.only, options, Path(folder), **settings)
        rank = trainer.accelerator.process_index
        rows = make_rows(options, load_tokenizer(resolve_model(options.model)), skip=rank)
        whole = batch(rows, trainer.accelerator.device)
        chunks = []
        for start in range(0, everything, size):
            part = batch(rows[start : start + size], trainer.accelerator.device)
            part["advantages"] = whole["advantages"][start : start + size]
            chunks.append(part)
        model, _ = trainer._prepare_for_training(1, trainer.get_train_dataloader(), None)
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = len(chunks)
        before = reset_peak(options.device)
        found = [update(trainer, model, chunks) for _ in range(options.repeat)]
    unique, stock = count_tokens(build_trees(rows), rows)
    mine = {
        "seconds": statistics.median(seconds for seconds, _ in found),
        "loss": found[0][1],
        "megabytes": (peak_bytes(options.device) - before) / 2**20,
        "tokens": unique if options.only == "ours" else stock,
    }
    of_all: list[Any] = [None] * trainer.accelerator.num_processes
    all_gather_object(of_all, mine)
    if trainer.accelerator.is_main_process:
        print(json.dumps(of_all))
    trainer.accelerator.end_training()


def update(trainer: Any, model: Any, chunks: list[dict[str, torch.Tensor]]) -> tuple[float, float]:
    """Return seconds and loss of an update of all micro-batches."""
    trainer.accelerator.wait_for_everyone()
    started, loss = time.perf_counter(), 0.0
    for index, chunk in enumerate(chunks):
        trainer.accelerator.gradient_state._set_sync_gradients(index == len(chunks) - 1)
        part = trainer._compute_loss(model, chunk)
        trainer.accelerator.backward(part)
        loss += float(part.detach())
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    trainer.accelerator.wait_for_everyone()
    return time.perf_counter() - started, loss


if __name__ == "__main__":
    main()

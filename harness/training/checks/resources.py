"""Does this machine have what a run needs, and do weights of its precision move?"""

import os
from collections.abc import Iterator

import torch
from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedModel, TrainingArguments
from trl import GRPOConfig

from harness.config.stages import Stage
from harness.training.checks.base import Finding, Lengths, Subject, error, note, warning

GIB = 2**30
_TYPICAL_WEIGHT = 0.02  # the standard deviation that most models are initialised with
_ROUNDED_AWAY = 2.0**-9  # of a bfloat16 number: half of its last digit, at the lower end of a binade


def check_vllm(subject: Subject) -> Iterator[Finding]:
    """Refuse vLLM where no GPU hands it the weights; a dry run may be on another machine."""
    for stage in subject.recipe.stages:
        if getattr(subject.recipe, stage).trl.get("use_vllm") and not torch.cuda.is_available():
            level = warning if subject.processes is None else error
            yield level(
                f"{stage}.trl.use_vllm: weights are handed to vLLM by CUDA, which this machine lacks; train with "
                f"{stage}.trl.use_vllm=false, or on a machine with a GPU"
            )


def check_learning_rate(subject: Subject) -> Iterator[Finding]:
    """Warn where bfloat16 weights round an update away: AdamW changes a weight by about the learning rate."""
    table = subject.recipe.model
    if (
        table.dtype != "bfloat16"
        or table.lora is not None
        or os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    ):
        return
    smallest = _TYPICAL_WEIGHT * _ROUNDED_AWAY
    for stage in subject.recipe.stages:
        rate = subject.arguments[stage].learning_rate if stage in subject.arguments else None
        if rate is not None and rate < smallest:
            yield warning(
                f"{stage}.trl.learning_rate is {rate:g} and model.dtype bfloat16: AdamW changes a weight by about "
                f"the learning rate, and a bfloat16 weight of {_TYPICAL_WEIGHT:g} rounds changes below "
                f"{smallest:.1g} away, so most weights do not move; set model.dtype=float32 (with trl.bf16 it still "
                "computes in bfloat16), train an adapter (model.lora), or start under DeepSpeed, which keeps a "
                "float32 copy"
            )


def check_memory(subject: Subject) -> Iterator[Finding]:
    """Estimate the memory of one process for each stage, and warn if this machine's accelerator has less."""
    model = subject.model.outline if subject.model else None
    if model is None:
        return
    available = _available()
    for stage, arguments in subject.arguments.items():
        if stage not in subject.recipe.stages:
            continue
        parts = _parts(stage, subject, model, arguments)
        total = sum(parts.values())
        listed = " + ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
        yield note(f"{stage}: about {total / GIB:.2f} GiB a process: {listed}")
        if available and total > available:
            yield warning(
                f"{stage}: the estimate of {total / GIB:.1f} GiB is over this device's {available / GIB:.1f} GiB: "
                "shard the model (docs/scale.md), train an adapter (model.lora), set "
                f"{stage}.trl.gradient_checkpointing=true, or lower "
                f"{stage}.trl.per_device_train_batch_size"
            )
    yield note(
        "memory: weights, gradients and the optimizer (AdamW, two moments) are exact, without sharding: ZeRO-3 and "
        "FSDP divide them by their processes. Activations (34 bytes x hidden size x layers a token, 2 with "
        "checkpointing, and 8 x vocabulary for the logits) and the KV cache of the longest rows are rough"
    )


def _available() -> int | None:
    """Return the memory of the accelerator in bytes, None without one."""
    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)


def _parts(
    stage: Stage, subject: Subject, model: PreTrainedModel, arguments: TrainingArguments
) -> dict[str, float]:
    """Return bytes by part (activations after Korthikanti et al. 2022, arXiv 2205.05198, without attention scores)."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = sum(weight.numel() * weight.element_size() for weight in trained)
    parts: dict[str, float] = {
        "weights": sum(weight.numel() * weight.element_size() for weight in model.parameters()),
        "gradients": gradients,
        "optimizer": 2 * gradients,
    }
    sizes = model.config.get_text_config()
    tokens = _micro_batch_tokens(arguments, subject.lengths.get(stage))
    a_token = 2 if arguments.gradient_checkpointing else 34
    parts["activations"] = tokens * (
        a_token * sizes.hidden_size * sizes.num_hidden_layers + 8 * sizes.vocab_size
    )
    if isinstance(arguments, GRPOConfig) and not arguments.use_vllm:
        rows = arguments.per_device_train_batch_size * (arguments.steps_per_generation or 1)
        lengths = subject.lengths.get(stage)
        prompts = rows // arguments.num_generations * max(lengths.prompts if lengths else (0,))
        written = rows * (arguments.max_completion_length or 256)
        parts["KV cache"] = (prompts + written) * _kv_bytes(sizes, subject.recipe.model.dtype)
    if isinstance(arguments, GRPOConfig) and arguments.beta and not isinstance(model, PeftModel):
        parts["reference model"] = parts["weights"]
    return parts


def _micro_batch_tokens(arguments: TrainingArguments, lengths: Lengths | None) -> int:
    """Return the tokens of a micro-batch of the longest rows, where the rows of a group share their prompt."""
    rows = arguments.per_device_train_batch_size
    prompt, completion = (
        (max(some, default=0) for some in (lengths.prompts, lengths.completions)) if lengths else (0, 0)
    )
    if not isinstance(arguments, GRPOConfig):
        return rows * (prompt + completion)
    prompts = -(-rows // (arguments.num_generations or rows))
    return prompts * prompt + rows * (arguments.max_completion_length or completion)


def _kv_bytes(sizes: PreTrainedConfig, dtype: str) -> int:
    """Return the bytes of a token's keys and values in all layers."""
    heads = getattr(sizes, "num_key_value_heads", None) or sizes.num_attention_heads
    head = getattr(sizes, "head_dim", None) or sizes.hidden_size // sizes.num_attention_heads
    return 2 * int(sizes.num_hidden_layers) * int(heads) * int(head) * (2 if dtype == "bfloat16" else 4)

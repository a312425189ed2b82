#!/bin/sh
# transformers 5.17.0, TRL 1.16.0, PEFT 0.21.2: adapters on the last layers alone still cost a whole backward pass where
# activations are recomputed, and TRL recomputes them unless told otherwise.
#
# Guess: with adapters on the last 2 of 8 layers, gradients are computed in these 2 layers only, whether activations are
# kept or recomputed.
# Behaviour: gradient_checkpointing=True, the default of SFTConfig and GRPOConfig, has the embeddings' output ask for a
# gradient, also for use_reentrant=False, which does not need it. All 8 layers are then recomputed and passed through
# backwards. With gradient_checkpointing=False it is 2.
# Where it matters: layers_to_transform, or a pattern of target_modules, is chosen to save the backward pass of the
# layers below. model.disable_input_require_grads() does not help: the trainer and the model each register the hook, the
# second call forgets the handle of the first, and one hook stays.
# Seen on 2026-11-30 with torch 2.13.0; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 peft==0.21.2 trl==1.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from trl import GRPOConfig, SFTConfig, SFTTrainer

words = {f"w{i}": i for i in range(60)} | {"[PAD]": 60, "[UNK]": 61, "[EOS]": 62}
plain = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
plain.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=plain, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]"
)
usual = {"output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "save_strategy": "no"}


def passed(disable=False, **settings):
    """Return the layers whose output gets a gradient in an update of SFT."""
    config = Qwen2Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=8, num_attention_heads=4,
        num_key_value_heads=2,
    )
    trainer = SFTTrainer(
        model=Qwen2ForCausalLM(config),
        args=SFTConfig(**usual, max_steps=1, per_device_train_batch_size=1, disable_tqdm=True, **settings),
        train_dataset=Dataset.from_list([{"text": " ".join(f"w{i}" for i in range(40))}] * 4),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "up_proj"], layers_to_transform=[6, 7]),
    )

    class Disable(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            if disable:
                trainer.model.disable_input_require_grads()

    trainer.add_callback(Disable())
    seen = set()
    for index, layer in enumerate(trainer.model.base_model.model.model.layers):
        layer.register_full_backward_hook(lambda *_, index=index: seen.add(index))
    trainer.train()
    return sorted(seen)


defaults = SFTConfig(**usual).gradient_checkpointing, GRPOConfig(**usual).gradient_checkpointing
by_default, not_reentrant = passed(), passed(gradient_checkpointing_kwargs={"use_reentrant": False})
kept, disabled = passed(gradient_checkpointing=False), passed(disable=True)
print("recomputed by default:", defaults)
print("layers passed: by default", by_default, "not reentrant", not_reentrant, "kept", kept, "disabled", disabled)
assert defaults == (True, True)
assert by_default == not_reentrant == disabled == list(range(8))
assert kept == [6, 7]
PY

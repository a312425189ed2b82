#!/bin/sh
# transformers 5.17.0, peft 0.21.2, trl 1.16.0: a run of GRPO that trains an adapter with a KL term is not resumed. The
# adapter of the checkpoint is not loaded, and nothing is said.
#
# Guess: trainer.train(resume_from_checkpoint=...) loads the adapter that was trained, whatever else the checkpoint has.
# Behaviour: with beta above 0, TRL adds an adapter "ref", a frozen copy of the initial one. peft saves the trained
# adapter in the checkpoint's folder itself and "ref" in a subfolder. Where there is a subfolder with an adapter,
# transformers loads subfolders only. So the resumed run goes on with the initial adapter, under the optimizer of the
# trained one, and ends with exit code 0.
# Where it matters: long runs of LoRA with a KL term, which are interrupted.
# Seen on 2026-12-01; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 trl==1.16.0 peft==0.21.2 accelerate==1.15.0 datasets==5.2.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

base = f"{sys.argv[1]}/base"
words = {word: number for number, word in enumerate(["<pad>", "<eos>", *"abcdefgh"])}
core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>").save_pretrained(base)
torch.manual_seed(0)
size = dict(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1)
config = Qwen2Config(**size, num_attention_heads=2, num_key_value_heads=1, eos_token_id=1, pad_token_id=0)
Qwen2ForCausalLM(config).save_pretrained(base)
tokenizer = PreTrainedTokenizerFast.from_pretrained(base)


class Adapter(TrainerCallback):
    """Keep the adapter as it is before the first update."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        named = dict(model.named_parameters())
        self.before = {name: weight.detach().clone() for name, weight in named.items() if ".default." in name}


def score(completions, **columns):
    return [text.count("a") + len(text) / 9 for text in completions]


def train(beta, out, resume=None):
    torch.manual_seed(1)
    model = get_peft_model(Qwen2ForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
    args = GRPOConfig(output_dir=out, beta=beta, max_steps=2, save_steps=1, learning_rate=0.1, report_to="none",
                      per_device_train_batch_size=4, num_generations=4, max_completion_length=4, use_cpu=True,
                      bf16=False, disable_tqdm=True)
    kept = Adapter()
    trainer = GRPOTrainer(model=model, args=args, processing_class=tokenizer, callbacks=[kept], reward_funcs=score,
                          train_dataset=Dataset.from_list([{"prompt": "a b c"}] * 8))
    trainer.train(resume_from_checkpoint=resume)
    return kept.before


for beta in (0.0, 0.1):
    out = f"{sys.argv[1]}/{beta}"
    train(beta, out)
    saved = load_file(f"{out}/checkpoint-1/adapter_model.safetensors")
    resumed = train(beta, out, f"{out}/checkpoint-1")
    pairs = [(resumed[name.replace(".weight", ".default.weight")], weight) for name, weight in saved.items()]
    apart = max(float((one - other).abs().max()) for one, other in pairs)
    print(f"beta {beta}: the resumed adapter is {apart:.4f} from that of the checkpoint")
    assert (apart == 0) == (beta == 0), apart
PY

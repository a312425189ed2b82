#!/bin/sh
# transformers 5.17.0, PEFT 0.21.2: a pattern of target_modules that names one layer adapts all layers of a mixture of
# experts.
#
# Guess: LoraConfig(target_modules=r".*\.layers\.1\.self_attn\.(q|v)_proj") adapts two modules, those of layer 1, in every
# model: a string is a regular expression for the whole name of a module.
# Behaviour: so it is in a dense model. For the architectures of experts that transformers 5 stores otherwise than
# transformers 4 did, PEFT first reduces the pattern to the last parts of the names that it matches (q_proj, v_proj) and
# goes on with these: q_proj and v_proj of every layer have adapters. No warning. The saved adapter's configuration holds
# the names, not the pattern.
# Where it matters: a pattern is the usual way to adapt a part of the layers, or attention of one tower only; the run
# trains several times as many weights as asked for.
# Seen on 2026-11-30 with torch 2.13.0, Qwen3MoeForCausalLM; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 peft==0.21.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3MoeConfig

SIZES = dict(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
DENSE = Qwen2Config(**SIZES, num_key_value_heads=2)
EXPERTS = Qwen3MoeConfig(
    **SIZES, num_key_value_heads=2, head_dim=8, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2
)


def adapted(config):
    """Return the modules with adapters, and the targets that the configuration then holds."""
    settings = LoraConfig(r=2, target_modules=r".*\.layers\.1\.self_attn\.(q|v)_proj")
    model = get_peft_model(AutoModelForCausalLM.from_config(config), settings)
    names = [name for name, weight in model.named_parameters() if "lora_A" in name]
    return sorted(".".join(name.split(".")[4:7:2]) for name in names), model.peft_config["default"].target_modules


dense, kept = adapted(DENSE)
experts, replaced = adapted(EXPERTS)
print("dense:", dense, kept)
print("experts:", experts, replaced)
assert dense == ["1.q_proj", "1.v_proj"]
assert isinstance(kept, str)
assert experts == [f"{layer}.{name}_proj" for layer in range(3) for name in "qv"]
assert set(replaced) == {"q_proj", "v_proj"}
PY

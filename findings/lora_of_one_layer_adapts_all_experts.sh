#!/bin/sh
# transformers 5.17.0, PEFT 0.21.2: adapters meant for one layer of a mixture of experts are put in all layers.
#
# Guess: layers_to_transform=[1], and a pattern of target_modules that names layer 1, put adapters in layer 1 alone, as
# they do in a dense model.
# Behaviour: transformers 5 keeps the experts of a layer in one parameter, and PEFT rewrites target_modules for it.
# - With layers_to_transform the names of the experts' projections become target_parameters, for which no layer numbers are
#   read: q_proj has an adapter in layer 1, the experts in every layer. target_parameters given by hand are treated alike.
# - A pattern is reduced to the last parts of the names that it matches, also where it names attention alone: q_proj and
#   v_proj of every layer. The saved configuration holds the names, not the pattern.
# Nothing is said of either.
# Where it matters: adapters on some layers are chosen to save the backward pass and the memory of those below; several
# times as many weights are trained as asked for.
# Seen on 2026-11-30 with torch 2.13.0, Qwen3MoeForCausalLM; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 peft==0.21.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import re

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3MoeConfig

SIZES = dict(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
DENSE = Qwen2Config(**SIZES, num_key_value_heads=2)
EXPERTS = Qwen3MoeConfig(
    **SIZES, num_key_value_heads=2, head_dim=8, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2
)
NAMES = ["q_proj", "gate_proj", "up_proj", "down_proj"]
PATTERN = r".*\.layers\.1\.self_attn\.(q|v)_proj"


def layers(config, part, **settings):
    """Return the layers in which a part of the model has an adapter."""
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=2, **settings))
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and part in name]
    return sorted({int(re.search(r"\.layers\.(\d+)\.", name)[1]) for name in names})


dense = layers(DENSE, ".mlp.", target_modules=NAMES, layers_to_transform=[1])
attention = layers(EXPERTS, ".q_proj.", target_modules=NAMES, layers_to_transform=[1])
experts = layers(EXPERTS, ".experts.", target_modules=NAMES, layers_to_transform=[1])
by_hand = dict(target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj"], layers_to_transform=[1])
parameters = layers(EXPERTS, ".experts.", **by_hand)
print("by number: dense", dense, "attention", attention, "experts", experts, "experts by hand", parameters)
assert dense == attention == [1]
assert experts == parameters == [0, 1, 2]
dense, attention = (layers(config, ".self_attn.", target_modules=PATTERN) for config in (DENSE, EXPERTS))
print("by pattern: dense", dense, "attention beside experts", attention)
assert dense == [1]
assert attention == [0, 1, 2]
PY

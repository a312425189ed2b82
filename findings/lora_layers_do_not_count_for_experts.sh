#!/bin/sh
# transformers 5.17.0, PEFT 0.21.2: layers_to_transform does not hold for the experts of a mixture of experts.
#
# Guess: LoraConfig(target_modules=["q_proj", "gate_proj", "up_proj", "down_proj"], layers_to_transform=[1]) puts adapters
# in layer 1 alone, as it does in a dense model.
# Behaviour: transformers 5 keeps all experts of a layer in one parameter, and PEFT turns the names of their projections
# into target_parameters, for which it reads no layer numbers. q_proj has an adapter in layer 1 alone, the experts in
# every layer. Nothing is said of it. target_parameters given by hand are treated alike.
# Where it matters: adapters on the last layers alone are chosen to save the backward pass and memory of the layers below;
# with the experts in all layers both are lost, and what was trained is not what the recipe says.
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


def layers(config, part, **settings):
    """Return the layers in which a part of the model has an adapter."""
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=2, layers_to_transform=[1], **settings))
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    return sorted({int(re.search(r"\.layers\.(\d+)\.", name)[1]) for name in names if part in name})


names = ["q_proj", "gate_proj", "up_proj", "down_proj"]
dense = layers(DENSE, ".mlp.", target_modules=names)
attention = layers(EXPERTS, ".q_proj.", target_modules=names)
experts = layers(EXPERTS, ".mlp.experts.", target_modules=names)
by_hand = layers(
    EXPERTS, ".mlp.experts.", target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj"]
)
print("layers with adapters: dense", dense, "attention", attention, "experts", experts, "experts by hand", by_hand)
assert dense == attention == [1]
assert experts == by_hand == [0, 1, 2]
PY

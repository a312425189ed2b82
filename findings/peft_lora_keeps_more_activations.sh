#!/bin/sh
# PEFT 0.21.2: LoRA over a bfloat16 model keeps more activations for the backward pass than training all its weights.
#
# Guess: LoRA keeps as much or less, because the frozen weights need no inputs kept for their gradients.
# Behaviour: the adapters are float32 by default (autocast_adapter_dtype), so each adapted layer keeps a float32 copy of
# its input beside the bfloat16 one. On 4 layers with all linear layers adapted: 136 MB against 94 MB for all weights,
# 1.4 times. With lora_dropout, 202 MB, 2.1 times: every layer keeps its own dropped-out copy and a mask. With bfloat16
# adapters (autocast_adapter_dtype=False) 83 MB.
# Where it matters: whoever plans memory for long trajectories by "LoRA needs less" is wrong about the part that grows
# with the length. Seen on 2026-11-29 with torch 2.13.0 and transformers 5.17.0; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 peft==0.21.2
"$folder/venv/bin/python" - <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM


def kept(adapter, autocast=True, dropout=0.0):
    """Megabytes that one forward pass keeps for the backward pass, without the parameters."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=512, intermediate_size=1536, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=2, attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    if adapter:
        lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=dropout, target_modules="all-linear")
        model = get_peft_model(model, lora, autocast_adapter_dtype=autocast)
    model.train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 64, (4, 256))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(input_ids=ids, labels=ids).loss
    del loss
    return sum(found.values()) / 2**20


whole, lora = kept(False), kept(True)
dropout, bfloat16 = kept(True, dropout=0.05), kept(True, autocast=False)
print(f"all weights {whole:.0f} MB, LoRA {lora:.0f} MB, LoRA with dropout {dropout:.0f} MB, bfloat16 LoRA {bfloat16:.0f} MB")
assert lora > 1.3 * whole, (lora, whole)
assert dropout > 1.9 * whole, (dropout, whole)
assert bfloat16 < whole, (bfloat16, whole)
PY

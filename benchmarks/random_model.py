"""Make a Qwen2.5 of random weights in its published shape: what an update costs does not ask for their values.

    python benchmarks/random_model.py outputs/qwen2.5-0.5b --shape 0.5b [--tokenizer smollm2-135m-instruct]

Its tokenizer is another model's, whose ids are fewer than its words.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from srl_agent.models.load import load_tokenizer
from srl_agent.models.packaged import resolve_model

# From the config.json of Qwen/Qwen2.5-Coder-{0.5B,1.5B,3B}-Instruct; the smallest is for a CPU.
SHAPES = {
    "46m": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 4},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder that is made")
    parser.add_argument("--shape", default="0.5b", choices=SHAPES)
    parser.add_argument("--tokenizer", default="smollm2-135m-instruct", help="of this model")
    options = parser.parse_args()
    tokenizer = load_tokenizer(resolve_model(options.tokenizer))
    config = Qwen2Config(
        **SHAPES[options.shape],
        vocab_size=151936,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    print(f"{options.out}: {model.num_parameters() / 1e9:.2f} billion random weights")


if __name__ == "__main__":
    main()

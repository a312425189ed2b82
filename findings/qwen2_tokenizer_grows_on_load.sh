#!/bin/sh
# transformers 5.17.0: a tokenizer without "<|endoftext|>", saved beside a Qwen2 configuration, is loaded with one token more.
#
# Guess: AutoTokenizer.from_pretrained gives back what save_pretrained wrote, so that a model whose table has a row for
# each of its tokens (vocab_size = len(tokenizer)) still has one after a round trip.
# Behaviour: it does not depend on the tokenizer alone. Without a config.json the round trip is exact. With one of
# model_type qwen2 the loaded tokenizer has "<|endoftext|>" as a new token at its end, although end and padding tokens
# were set and saved. len(tokenizer) is one above the model's vocab_size; tokenizer.vocab_size is not.
# Where it matters: small Qwen2 models with a vocabulary of their own (tests, teaching, new languages). Token ids drawn
# below len(tokenizer) are out of the model's range now and then, and the text "<|endoftext|>" always is.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.17.0 tokenizers
cat > "$folder/load.py" <<'PY'
import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config

core = Tokenizer(models.BPE())
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
core.train_from_iterator(
    ["the cat sat on the mat"] * 10,
    trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ),
)
saved = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>")
folder = Path(sys.argv[1])
alone, beside = folder / "alone", folder / "beside"
for each in (alone, beside):
    saved.save_pretrained(each)
Qwen2Config(vocab_size=len(saved)).save_pretrained(beside)
lengths = {}
for each in (alone, beside):
    loaded = AutoTokenizer.from_pretrained(each)
    lengths[each.name] = len(loaded) - len(saved)
    new = sorted(set(loaded.get_vocab()) - set(saved.get_vocab()))
    print(f"{each.name}: {len(saved)} tokens saved, {len(loaded)} loaded, new {new}, vocab_size {loaded.vocab_size}")
sys.exit(lengths != {"alone": 0, "beside": 1})
PY
"$folder/venv/bin/python" "$folder/load.py" "$folder" 2>/dev/null
# Output seen:
# alone: 270 tokens saved, 270 loaded, new [], vocab_size 270
# beside: 270 tokens saved, 271 loaded, new ['<|endoftext|>'], vocab_size 270

#!/bin/sh
# torch 2.13.0 (oneDNN): on a CPU, bfloat16 products of texts of many lengths take hundreds of megabytes for good.
#
# Guess: memory that is not held by a tensor is given back, or used again; a model that has seen the lengths 200 to 455
# takes what it took for one of them.
# Behaviour: every number of rows is a product of its own to oneDNN, compiled and kept, in two caches one above the
# other: oneDNN's own (ONEDNN_PRIMITIVE_CACHE_CAPACITY) and that of the layer that calls it (LRU_CACHE_CAPACITY), 1,024
# entries each. Four linear layers and 256 lengths fill both: 625 MB, 0.6 MB a product, which neither gc nor malloc_trim
# gives back. With one of the two variables at 128 it is 320 to 390 MB, with both 78 MB. In float32, which goes another
# way, 6 MB.
# Where it matters: training or serving a small model in bfloat16 on a CPU, where each row has a length of its own, looks
# like a leak of tensors or like a fragmented heap, and is neither. The weights of SmolLM2-135M are 270 MB.
# Seen on 2026-11-30, one thread, AVX-512 with bfloat16; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy
cat > "$folder/lengths.py" <<'PY'
import ctypes
import gc
import sys

import torch

torch.set_num_threads(1)
dtype = getattr(torch, sys.argv[1])
shapes = (576, 576), (576, 192), (576, 1536), (1536, 576)
layers = [torch.nn.Linear(a, b, bias=False).to(dtype) for a, b in shapes]


def megabytes():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096 / 2**20


@torch.no_grad()
def forward(rows):
    for layer in layers:
        layer(torch.randn(rows, layer.in_features, dtype=dtype))


for _ in range(8):
    forward(300)
before = megabytes()
for _ in range(256):
    forward(300)
same = megabytes()
for rows in range(200, 456):
    forward(rows)
print(round(same - before), round(megabytes() - same))
PY
python="$folder/venv/bin/python"
usual=$("$python" "$folder/lengths.py" bfloat16)
one=$(ONEDNN_PRIMITIVE_CACHE_CAPACITY=128 "$python" "$folder/lengths.py" bfloat16)
both=$(ONEDNN_PRIMITIVE_CACHE_CAPACITY=128 LRU_CACHE_CAPACITY=128 "$python" "$folder/lengths.py" bfloat16)
float32=$("$python" "$folder/lengths.py" float32)
echo "megabytes more after one length, after 256: usual $usual, one variable $one, both $both, float32 $float32"
set -- $usual $one $both $float32
test "$1" -lt 20 && test "$2" -gt 400      # one length is free, many are not
test "$4" -gt 200 && test "$4" -lt "$2"    # one variable is half the way
test "$6" -lt 150                          # both
test "$8" -lt 50                           # float32

"""Names of training stages."""

from typing import Literal

Stage = Literal["sft", "srl", "rlvr", "sft_control"]

BASE = "base"  # no stage of a recipe: the model before the first one
RL = ("srl", "rlvr")
CONTROL = "sft_control"

"""The names of stages that several parts tell apart: the model before training, RL, and the control of RL."""

BASE = "base"  # no stage of a recipe: the model before the first one
RL = ("srl", "rlvr")
CONTROL = "sft_control"

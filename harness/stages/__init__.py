"""Stages of a run: SFT, SRL and RLVR, each from the weights that the last one ended with; the control of RL."""

from harness.stages.arguments import stage_arguments
from harness.stages.base import PolicyState, StageContext
from harness.stages.run import run_stage

__all__ = ["PolicyState", "StageContext", "run_stage", "stage_arguments"]

"""The tables of a recipe, the YAML file that describes a run. Unknown keys fail and name the nearest one."""

import logging
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.config.older_names import with_present_names
from harness.config.stages import CONTROL, RL, Stage
from srl_agent.steps import Thoughts

logger = logging.getLogger(__name__)

Cause = Literal["instance", "commit", "patch", "text"]  # why a task counts as trained on
Metric = Literal["step_reward", "accuracy"]


class Table(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectTable(Table):
    """Select training steps or tasks by the initial policy's rewards on them (`python -m harness.profile`)."""

    profile: str  # a profile.jsonl
    # Keep those whose rewards have a population variance above min_variance and a mean below max_mean.
    min_variance: float = Field(default=0.0, ge=0)
    max_mean: float | None = None


class DataTable(Table):
    """Expert trajectories and their split."""

    # A file of `python -m harness.convert`, or a built-in one: "demo" (trajectories), "math-demo" (solutions).
    path: str = "demo"
    split_by: Literal["repository", "instance"] = "repository"
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)  # share of the trajectories held out
    validation_count: int | None = Field(default=None, ge=1)  # number of trajectories instead of a share
    held_out: tuple[str, ...] = ()  # repositories (or instances) to hold out; empty: chosen by a hash
    split_seed: int | None = None  # seed of that hash; null: the run's seed
    validation_steps: int | None = Field(default=None, ge=1)  # at most this many, spread evenly
    train_steps: int | None = Field(default=None, ge=1)  # at most this many, spread evenly
    select: SelectTable | None = None  # which training steps
    resolved_only: bool = False  # exclude trajectories that are not known to resolve their task


class StepsTable(Table):
    """How trajectories become prompts and targets (srl_agent.steps)."""

    # (action, observation) pairs in the prompt
    context_window: Annotated[int, Field(ge=0)] | Literal["full"] = 2
    include_last_step: bool = False  # the paper: the last step is never a target
    show_title: bool = False  # math-step: the next step's title is in the prompt, the target is its content
    max_task_chars: int | None = Field(default=None, ge=2)  # longer tasks keep head and tail [open]
    max_observation_chars: int | None = Field(default=None, ge=2)  # longer ones keep head and tail [open]
    # Steps with a longer expert action or a longer prompt are no targets [open].
    max_action_chars: int | None = Field(default=None, ge=1)
    max_prompt_chars: int | None = Field(default=None, ge=1)
    # What a target holds in <think>. expert: the recorded reasoning, or else the text before the call, or else the
    # filler; filler: always the filler; none: no <think>, neither in targets nor asked of the model.
    thoughts: Thoughts = "expert"
    filler: str = Field(default="I take the next step.", min_length=1)


class ActionsTable(Table):
    """How actions are written."""

    format: str = "xml"  # xml, hermes, bash-block, math-step, or package.module:Class
    # auto: those that the data calls; swe-agent, trae, bash, package.module:attribute, or argument names by tool
    tools: str | dict[str, tuple[str, ...]] = "swe-agent"


class LoraTable(Table):
    """peft's LoraConfig, and which layers get adapters; absent: all weights are trained."""

    r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    # Adapters on this many last layers only: the layers below need no backward pass. null: on all layers.
    last_layers: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_last_layers(self) -> Self:
        if self.last_layers and isinstance(self.target_modules, str) and self.target_modules != "all-linear":
            raise ValueError(
                "last_layers goes with names of modules or all-linear, not with a pattern of them"
            )
        return self


class GenerationTable(Table):
    """Filters and penalties of sampling; a model's own generation_config is not obeyed."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)  # 0: all tokens
    min_p: float = Field(default=0.0, ge=0, le=1)  # 0: all tokens
    repetition_penalty: float = Field(default=1.0, gt=0)


class ModelTable(Table):
    """The model to train."""

    name: str = "smollm2-135m-instruct"  # a folder, a hub id, or a packaged model
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the weights; trl.bf16 adds mixed precision
    lora: LoraTable | None = None
    options: dict[str, Any] = Field(default_factory=dict)  # for from_pretrained, e.g. attn_implementation
    # Of every stage, of validation, profiles and trained_policy; a stage's table trl may say otherwise for its samples.
    generation: GenerationTable = GenerationTable()
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)  # e.g. {enable_thinking: false}
    template_date: date = date(2026, 1, 1)  # of templates that print today's date


class RewardTable(Table):
    """One reward function of the weighted sum."""

    # similarity, structured, or package.module:attribute: a function with TRL's signature, or what makes one
    name: str
    weight: float = Field(default=1.0, allow_inf_nan=False)
    settings: dict[str, Any] = Field(default_factory=dict)  # e.g. {autojunk: true}
    label: str | None = None  # how logs and reports name it; null: by its name

    @property
    def logged_as(self) -> str:
        """Return the name in logs and reports."""
        return self.label or self.name


class SamplingTable(Table):
    """Dynamic sampling."""

    # Keep a group iff the population std of its rewards is above this [open]; below 0: keep all groups.
    epsilon: float = 1e-3
    max_rounds: int = Field(default=10, ge=1)  # rounds of generation per batch; 1: no refill [open]
    # srl only: consecutive steps of one trajectory per batch. Their prompts share more; the batch is less diverse.
    steps_per_trajectory: int = Field(default=1, ge=1)


class ValidationTable(Table):
    """The validation metrics, the same for every stage."""

    steps: bool = True  # measure the step reward
    temperature: float = Field(default=0.0, ge=0.0)  # of step completions; 0: greedy
    samples: int = Field(default=1, ge=1)  # completions per step; a step's reward is their mean
    max_new_tokens: int = Field(default=256, ge=1)
    outcome_max_new_tokens: int = Field(default=1024, ge=1)  # of a verified answer
    batch_size: int = Field(default=8, ge=1)
    base: bool = True  # measure the model before training, too

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.samples} samples at temperature 0 are all alike; set a temperature, such as 0.8"
            )
        return self


class SwitchTable(Table):
    """When a stage ends and the next one begins."""

    # epochs: after TRL's num_train_epochs or max_steps; plateau: also when the stage's metric stops improving.
    rule: Literal["epochs", "plateau"] = "epochs"
    patience: int = Field(default=3, ge=1)  # plateau: evaluations without improvement
    min_delta: float = Field(default=0.0, ge=0)  # the smallest increase that counts as improvement


class StageTable(Table):
    """Settings of every stage."""

    switch: SwitchTable = SwitchTable()
    # Metric that selects the best checkpoint; null: step_reward, in rlvr accuracy.
    select_by: Metric | None = None
    # best: end with the best checkpoint, or with the initial weights if none is better; last: with the last one.
    keep: Literal["best", "last"] = "best"
    share_prefixes: bool = True  # forward shared prompt prefixes once; same loss and gradient
    trl: dict[str, Any] = Field(default_factory=dict)  # SFTConfig, or GRPOConfig


class SftTable(StageTable):
    """Supervised fine-tuning on the same steps."""

    # solutions: whole solutions as answers to RLVR's prompt (math only)
    targets: tuple[Literal["steps", "solutions"], ...] = Field(default=("steps",), min_length=1)
    # Consecutive steps of one trajectory per batch. Their prompts share more; the batch is less diverse.
    steps_per_trajectory: int = Field(default=1, ge=1)


class GrpoTable(StageTable):
    """GRPO: on steps (srl), or with verified outcomes (rlvr)."""

    sampling: SamplingTable = SamplingTable()


class TasksTable(Table):
    """Which tasks."""

    source: str = "demo"  # demo, verified, lite, full, a hub name, or a .jsonl, .json or .parquet file
    split: str = "test"
    path: str | None = None  # math: a local copy of the benchmark that `source` names
    columns_from: str | None = None  # for rows in SWE-bench's older schema: a source in the newer one
    ids: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    regex: str | None = None  # of the instance id
    slice: str | None = None  # Python's start:stop:step, after the other filters


class LimitsTable(Table):
    """Resource limits per sandbox."""

    memory_gb: float = Field(default=4.0, gt=0)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=512, ge=16)
    disk_gb: float = Field(default=4.0, gt=0)  # written inside the sandbox
    command_seconds: float = Field(default=120.0, gt=0)  # one command of an attempt
    attempt_seconds: float = Field(default=3600.0, gt=0)  # one attempt
    test_seconds: float = Field(default=1800.0, gt=0)  # the tests of one instance


class OutcomesTable(Table):
    """Verified tasks: the training tasks of rlvr, and the validation tasks for accuracy."""

    domain: Literal["math", "swe"] = "math"
    # math: "data" (the problems of data.path, with its split), or a file; swe: see `tasks`
    source: str = "data"
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)  # held out where the split is not data's
    validation_tasks: int | None = Field(default=None, ge=1)  # at most this many, spread evenly
    train_tasks: int | None = Field(default=None, ge=1)  # at most this many, spread evenly
    select: SelectTable | None = None  # which training tasks
    seconds: float = Field(default=5.0, gt=0)  # math: verification time limit per answer
    workers: int = Field(default=2, ge=1)  # answers verified in parallel
    retries: int = Field(default=2, ge=0)  # swe: of a verification whose sandbox failed
    tasks: TasksTable = TasksTable()  # swe
    limits: LimitsTable = LimitsTable()  # swe
    max_file_chars: int = Field(default=80_000, ge=1)  # swe: characters of files in a prompt


class ContaminationTable(Table):
    """When a task counts as trained on, and what is allowed: the same in training and in evaluation."""

    words: int = Field(default=8, ge=1)  # length of the n-grams that are compared
    share: float = Field(default=0.5, gt=0, le=1)  # of a task's n-grams, found in one training text
    # Causes that are no reason to refuse: instance, commit, patch, text. Their matches are still reported.
    allow: tuple[Cause, ...] = ()


class AgainstTable(ContaminationTable):
    """Evaluation sets that the training data is checked against."""

    # demo, math-demo, verified, lite, full, amc23, aime24, aime25, math500, gsm8k, minerva, a hub name, or a file
    against: tuple[str, ...] = ()


class StudyTable(Table):
    """Several runs of one recipe to compare: each arm with each seed."""

    arms: dict[str, dict[str, Any]] = Field(min_length=1)  # name -> {dotted key: value}, over the recipe
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    parallel: int = Field(default=1, ge=1)  # runs at once
    # Placed before `-m harness.train`, e.g. [accelerate, launch]; empty: this Python.
    command: tuple[str, ...] = ()


class Recipe(Table):
    """A training run."""

    name: str = "run"  # of the run's folder; {time} is replaced by date and time
    seed: int = 0
    output: str = "outputs"  # parent of the run's folder
    # sft_control: continue SFT from the weights that RL started from, for the time that the RL stages took. It is
    # what RL is compared with; no stage follows it.
    stages: tuple[Stage, ...] = Field(default=("srl",), min_length=1)
    data: DataTable = DataTable()
    steps: StepsTable = StepsTable()
    actions: ActionsTable = ActionsTable()
    model: ModelTable = ModelTable()
    rewards: tuple[RewardTable, ...] = Field(default=(RewardTable(name="similarity"),), min_length=1)
    # Of a completion that some rewards judge and others do not (None). rescale: the sum of those that judge, scaled to
    # the weight of all; mask: it counts as not judged.
    rewards_missing: Literal["rescale", "mask"] = "rescale"
    validation: ValidationTable = ValidationTable()
    sft: SftTable = SftTable()
    srl: GrpoTable = GrpoTable()
    rlvr: GrpoTable = GrpoTable()
    sft_control: SftTable = SftTable()
    outcomes: OutcomesTable | None = None
    contamination: AgainstTable = AgainstTable()
    study: StudyTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_older_keys(cls, table: object) -> object:
        """Drop `tokens_per_call` of the stages: a micro-batch is one call of the model now."""
        if not isinstance(table, dict):
            return table
        kept = dict(table)
        for stage in ("sft", *RL, CONTROL):
            if isinstance(settings := table.get(stage), dict) and "tokens_per_call" in settings:
                kept[stage] = {key: value for key, value in settings.items() if key != "tokens_per_call"}
                if settings["tokens_per_call"] is not None:
                    logger.warning(
                        "%s.tokens_per_call has no effect any more: remove it from the recipe", stage
                    )
        return kept

    @model_validator(mode="before")
    @classmethod
    def _read_older_names(cls, table: object) -> object:
        return with_present_names(table) if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        if "rlvr" in self.stages and self.outcomes is None:
            raise ValueError("stages has rlvr: the table `outcomes` says which tasks it learns from")
        if not any(reward.weight for reward in self.rewards):
            raise ValueError("rewards: all weights are 0, so that nothing is trained on")
        if len(set(self.stages)) < len(self.stages):
            raise ValueError("stages: duplicate stage")
        if CONTROL in self.stages:
            before = self.stages[: self.stages.index(CONTROL)]
            if "sft" not in before or set(RL).isdisjoint(before):
                raise ValueError(
                    "stages: sft_control comes after sft and after srl or rlvr, whose time it takes"
                )
            if self.stages[-1] != CONTROL:
                raise ValueError("stages: sft_control comes last, no stage starts from it")
            if "max_steps" in self.sft_control.trl:
                raise ValueError("sft_control.trl.max_steps: its length is the time that RL took")
        for stage in ("sft", CONTROL):
            if "solutions" in getattr(self, stage).targets and self.actions.format != "math-step":
                raise ValueError(f"{stage}.targets: whole solutions are for actions.format math-step")
        if self.rlvr.sampling.steps_per_trajectory > 1:
            raise ValueError("rlvr.sampling.steps_per_trajectory: tasks are not steps of a trajectory")
        if not self.validation.steps and self.outcomes is None:
            raise ValueError(
                "validation.steps is false and there is no table `outcomes`: nothing is measured"
            )
        return self

    @property
    def split_seed(self) -> int:
        """Return the seed of the split."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def metric_of(self, stage: Stage) -> Metric:
        """Return the metric that selects a stage's best checkpoint."""
        table: StageTable = getattr(self, stage)
        if table.select_by is not None:
            return table.select_by
        if self.outcomes is None:
            return "step_reward"
        return "accuracy" if stage == "rlvr" or not self.validation.steps else "step_reward"

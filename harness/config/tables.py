"""Recipes: what a run is, in one YAML file. Unknown keys fail and name the nearest one."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.config.stages import CONTROL, RL, Stage

Cause = Literal["instance", "commit", "patch", "text"]  # why a task counts as trained on
Metric = Literal["step_reward", "accuracy"]


class Table(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectTable(Table):
    """Training steps, or tasks, by what a start model scores on them (`python -m harness.profile`)."""

    profile: str  # a profile.jsonl
    min_variance: float = Field(
        default=0.0, ge=0
    )  # keep those whose rewards have a population variance above this
    max_mean: float | None = None  # and a mean below this


class DataTable(Table):
    """Expert trajectories and what is held out of them."""

    # A file of `python -m harness.convert`, or what comes with us: "demo" (trajectories), "math-demo" (solutions).
    path: str = "demo"
    split_by: Literal["repository", "instance"] = "repository"
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)  # share of the trajectories to hold out
    validation_count: int | None = Field(default=None, ge=1)  # in its stead: so many trajectories
    held_out: tuple[str, ...] = ()  # repositories (or instances) to hold out; empty: chosen by a hash
    split_seed: int | None = None  # of that hash; null: the run's seed
    validation_steps: int | None = Field(default=None, ge=1)  # at most so many held-out steps, evenly spread
    train_steps: int | None = Field(default=None, ge=1)  # at most so many training steps, evenly spread
    select: SelectTable | None = None  # of the training steps
    resolved_only: bool = False  # leave out trajectories that are not known to solve their task


class StepsTable(Table):
    """How trajectories become prompts and targets (srl_agent.steps)."""

    context_window: Annotated[int, Field(ge=0)] | Literal["full"] = (
        2  # (action, observation) pairs in the prompt
    )
    include_last_step: bool = False  # the paper: the last step is never a target
    show_title: bool = False  # math-step: the title of the next step is in the prompt, the target is the rest
    max_task_chars: int | None = Field(default=None, ge=2)  # longer ones keep head and tail [open]
    max_observation_chars: int | None = Field(default=None, ge=2)  # longer ones keep head and tail [open]
    max_action_chars: int | None = Field(
        default=None, ge=1
    )  # steps with longer expert actions are no targets [open]
    max_prompt_chars: int | None = Field(
        default=None, ge=1
    )  # steps with longer prompts are no targets [open]


class ActionsTable(Table):
    """How actions are written."""

    format: str = "xml"  # xml, hermes, bash-block, math-step, or package.module:Class
    tools: str | dict[str, tuple[str, ...]] = "swe-agent"  # a named set, or argument names by tool


class LoraTable(Table):
    """peft's LoraConfig, and where its adapters are; absent: all weights are trained."""

    r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    # Adapters on so many layers at the end: those below have no backward pass. null: on all.
    last_layers: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_last_layers(self) -> "LoraTable":
        if self.last_layers and isinstance(self.target_modules, str) and self.target_modules != "all-linear":
            raise ValueError(
                "last_layers goes with names of modules or all-linear, not with a pattern of them"
            )
        return self


class ModelTable(Table):
    """The model to train."""

    name: str = "smollm2-135m-instruct"  # a folder, a hub id, or a packaged model
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the weights; trl.bf16 is mixed precision over it
    lora: LoraTable | None = None
    options: dict[str, Any] = Field(default_factory=dict)  # for from_pretrained, e.g. attn_implementation


class RewardTable(Table):
    """One reward function of the weighted sum."""

    name: str  # similarity, structured, or package.module:function with TRL's signature
    weight: float = 1.0
    settings: dict[str, Any] = Field(default_factory=dict)  # e.g. {autojunk: true}


class SamplingTable(Table):
    """Dynamic sampling."""

    epsilon: float = 1e-3  # keep a group iff the population std of its rewards is above [open]; < 0: keep all
    max_rounds: int = Field(default=10, ge=1)  # rounds of generation for a batch; 1: no refill [open]
    # Consecutive steps of one trajectory in a batch: their prompts share more, the batch varies less (srl only).
    steps_per_trajectory: int = Field(default=1, ge=1)


class ValidationTable(Table):
    """The held-out metrics, the same for every stage."""

    steps: bool = True  # the step reward
    temperature: float = Field(default=0.0, ge=0.0)  # of a step's completions; 0: greedy
    samples: int = Field(default=1, ge=1)  # completions of a step, whose mean reward is the step's
    max_new_tokens: int = Field(default=256, ge=1)
    outcome_max_new_tokens: int = Field(default=1024, ge=1)  # of an answer that is verified
    batch_size: int = Field(default=8, ge=1)
    base: bool = True  # also measure the model before training

    @model_validator(mode="after")
    def _samples_differ(self) -> "ValidationTable":
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.samples} samples at temperature 0 are all alike; set a temperature, such as 0.8"
            )
        return self


class SwitchTable(Table):
    """When a stage gives way to the next one."""

    # epochs: when TRL's num_train_epochs or max_steps are done; plateau: also when the stage's metric stops rising.
    rule: Literal["epochs", "plateau"] = "epochs"
    patience: int = Field(default=3, ge=1)  # plateau: so many evaluations without a new best one
    min_delta: float = Field(default=0.0, ge=0)  # a new best one is better by more than this


class StageTable(Table):
    """What all stages have."""

    switch: SwitchTable = SwitchTable()
    # The metric that its best checkpoint has; null: step_reward, in rlvr accuracy.
    select_by: Metric | None = None
    # best: the stage ends with its best checkpoint, or with its start if none is better; last: with its last one.
    keep: Literal["best", "last"] = "best"
    share_prefixes: bool = True  # forward what prompts have in common once; the same loss and gradient
    # Tokens in a call where prompts are shared; with trl.gradient_checkpointing it bounds the memory of activations.
    # null: 1,024 on a CPU, 4,096 on a GPU.
    tokens_per_call: int | None = Field(default=None, ge=1)
    trl: dict[str, Any] = Field(default_factory=dict)  # SFTConfig, or GRPOConfig


class SftTable(StageTable):
    """Supervised fine-tuning on the same steps."""

    # solutions: whole ones, in answer to the prompt of RLVR (math only)
    targets: tuple[Literal["steps", "solutions"], ...] = Field(default=("steps",), min_length=1)
    thought: Literal["expert", "filler"] = "expert"  # what stands in <think>
    filler: str = "I take the next step."  # for steps whose thought is empty, and for thought: filler
    # Consecutive steps of one trajectory in a batch: their prompts share more, the batch varies less.
    steps_per_trajectory: int = Field(default=1, ge=1)


class GrpoTable(StageTable):
    """GRPO: on steps (srl), or with verified outcomes (rlvr)."""

    sampling: SamplingTable = SamplingTable()


class TasksTable(Table):
    """Which tasks."""

    source: str = "demo"  # demo, verified, lite, full, a hub name, or a .jsonl, .json or .parquet file
    split: str = "test"
    path: str | None = None  # math: a local copy of the benchmark that `source` names
    columns_from: str | None = None  # for rows of SWE-bench's older shape: a source in the newer one
    ids: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    regex: str | None = None  # of the instance id
    slice: str | None = None  # Python's start:stop:step, after the other filters


class LimitsTable(Table):
    """Of each box."""

    memory_gb: float = Field(default=4.0, gt=0)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=512, ge=16)
    disk_gb: float = Field(default=4.0, gt=0)  # written in a box
    command_seconds: float = Field(default=120.0, gt=0)  # of one command of an attempt
    attempt_seconds: float = Field(default=3600.0, gt=0)  # of one attempt
    test_seconds: float = Field(default=1800.0, gt=0)  # of an instance's tests


class OutcomesTable(Table):
    """Tasks whose answers are verified: what rlvr trains on, and what held-out accuracy is measured on."""

    domain: Literal["math", "swe"] = "math"
    # math: "data" (the problems of data.path, on their side of its split), or a file; swe: see `tasks`
    source: str = "data"
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)  # to hold out where the split is not data's
    validation_tasks: int | None = Field(default=None, ge=1)  # at most so many held-out tasks, evenly spread
    train_tasks: int | None = Field(default=None, ge=1)  # at most so many training tasks, evenly spread
    select: SelectTable | None = None  # of the training tasks
    seconds: float = Field(default=5.0, gt=0)  # math: for one answer
    workers: int = Field(default=2, ge=1)  # answers verified at once
    retries: int = Field(default=2, ge=0)  # swe: of a verdict whose box broke
    tasks: TasksTable = TasksTable()  # swe
    limits: LimitsTable = LimitsTable()  # swe
    max_file_chars: int = Field(default=80_000, ge=1)  # swe: of the files that a prompt shows


class ContaminationTable(Table):
    """What counts as trained on, and what of it is allowed: the same in training and in evaluation."""

    words: int = Field(default=8, ge=1)  # of a run
    share: float = Field(default=0.5, gt=0, le=1)  # of a task's runs that one training text holds
    # Causes that are no reason to refuse: instance, commit, patch, text. What they found is reported all the same.
    allow: tuple[Cause, ...] = ()


class AgainstTable(ContaminationTable):
    """What the trained policy will be evaluated on, to be held against what it is trained on."""

    # demo, math-demo, verified, lite, full, amc23, aime24, aime25, math500, gsm8k, minerva, a hub name, or a file
    against: tuple[str, ...] = ()


class StudyTable(Table):
    """Several runs of one recipe, to be compared: each arm with each seed."""

    arms: dict[str, dict[str, Any]] = Field(min_length=1)  # name -> {dotted key: value}, over the recipe
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    parallel: int = Field(default=1, ge=1)  # runs at once
    command: tuple[
        str, ...
    ] = ()  # in front of `-m harness.train`, e.g. [accelerate, launch]; empty: this Python


class Recipe(Table):
    """A run."""

    name: str = "run"  # of the run's folder; {time} stands for date and time
    seed: int = 0
    output: str = "outputs"  # the run's folder is made in it
    # sft_control: SFT goes on for the time that the RL stages before it took, from the weights that they started from.
    # It is what they are compared with, and leads to no later stage.
    stages: tuple[Stage, ...] = Field(default=("srl",), min_length=1)
    data: DataTable = DataTable()
    steps: StepsTable = StepsTable()
    actions: ActionsTable = ActionsTable()
    model: ModelTable = ModelTable()
    rewards: tuple[RewardTable, ...] = Field(default=(RewardTable(name="similarity"),), min_length=1)
    validation: ValidationTable = ValidationTable()
    sft: SftTable = SftTable()
    srl: GrpoTable = GrpoTable()
    rlvr: GrpoTable = GrpoTable()
    sft_control: SftTable = SftTable()
    outcomes: OutcomesTable | None = None
    contamination: AgainstTable = AgainstTable()
    study: StudyTable | None = None

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> "Recipe":
        if "rlvr" in self.stages and self.outcomes is None:
            raise ValueError("stages has rlvr: the table `outcomes` says which tasks it learns from")
        if len(set(self.stages)) < len(self.stages):
            raise ValueError("stages: a stage is there twice")
        if CONTROL in self.stages:
            before = self.stages[: self.stages.index(CONTROL)]
            if "sft" not in before or set(RL).isdisjoint(before):
                raise ValueError(
                    "stages: sft_control comes after sft and after srl or rlvr, whose time it takes"
                )
            if self.stages[-1] != CONTROL:
                raise ValueError("stages: sft_control comes last, no stage goes on from it")
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
        """Of what is held out."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def metric_of(self, stage: Stage) -> Metric:
        """The metric by which a stage's best checkpoint is chosen."""
        table: StageTable = getattr(self, stage)
        if table.select_by is not None:
            return table.select_by
        if self.outcomes is None:
            return "step_reward"
        return "accuracy" if stage == "rlvr" or not self.validation.steps else "step_reward"

"""The package mini-swe-agent as a scaffold: its agent, prompts and parsing; our policy and environment.

Needs the extra ``mini-swe-agent``. It runs in text mode: a policy answers with text, not with native tool calls.
"""

import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")  # without it the import prints a banner

from minisweagent.agents.default import AgentConfig, DefaultAgent
from minisweagent.config import get_config_from_spec
from minisweagent.exceptions import FormatError, Submitted
from minisweagent.models.utils.actions_text import format_observation_messages, parse_regex_actions

from srl_agent.formats import without_thinking
from srl_agent.formats.bash_block import SUBMISSION_MARK
from srl_agent.generation.types import Sampling
from srl_agent.plugins import PluginError
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, ScaffoldTask, Status, limit_of
from trajectories.conversation.events import fold
from trajectories.readers.scaffolds.mini_swe_agent import events
from trajectories.types import JSON

_ACTION = r"```mswea_bash_command\s*\n(.*?)\n```"  # the default of its text-mode models

_Message = dict[str, JSON]  # role, content, extra

_STATUSES: Mapping[str, Status] = {
    "Submitted": "submitted",
    "LimitsExceeded": "step_limit",
    "RepeatedFormatError": "step_limit",
    "TimeExceeded": "time_limit",
}


class MiniSweAgent:
    """``DefaultAgent`` of mini-swe-agent 2 with one of its own configurations."""

    def __init__(
        self,
        *,
        sampling: Sampling | None = None,
        config: str = "swebench_backticks",
        agent: Mapping[str, JSON] | None = None,
    ) -> None:
        """``config``: a text-mode configuration of the package, by its name or path.

        ``agent`` overrides settings of its ``agent`` table, e.g.
        ``{"step_limit": 50, "wall_time_limit_seconds": 600}``. The cost limit has no effect: policies report no cost.
        """
        self.sampling = sampling or Sampling()
        table = get_config_from_spec(config)
        if unknown := (agent or {}).keys() - AgentConfig.model_fields.keys():
            raise PluginError(
                f"mini-swe-agent's agent has no setting {', '.join(sorted(unknown))}: "
                f"it takes {', '.join(AgentConfig.model_fields)}"
            )
        self.agent = {**table["agent"], **(agent or {})}
        self.model = table["model"]
        self.environment = table.get("environment") or {}

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        """Attempt a task. A submitted patch is what the agent printed, not the state of the repository."""
        record = Recorder.of(policy, scaffold="mini-swe-agent")
        model = _Model(record, self.sampling, self.model)
        agent = DefaultAgent(model, _Environment(environment, self.environment), **self.agent)
        error = None
        try:
            info = agent.run(task.problem_statement)
            status = _STATUSES[info["exit_status"]]
        except (ContextOverflowError, TimeoutError) as limit:
            info = {"exit_status": type(limit).__name__}
            status, error = limit_of(limit), str(limit)
        finally:
            attempt = fold(events(agent.messages))  # with the refused answers, which only complaints hold
            record.steps += attempt.steps
            if attempt.drops:  # an empty answer is no step
                record.metadata["empty_answers"] = len(attempt.drops)
        exit_status = info["exit_status"]
        if exit_status == "RepeatedFormatError":
            error = f"{agent.config.max_consecutive_format_errors} answers in a row had no action"
        mini_version = agent.serialize()["info"]["mini_version"]
        record.metadata |= {"exit_status": exit_status, "mini_version": mini_version}
        return record.rollout(task, environment, status, error, patch=info.get("submission") or None)


class _Model:
    """Our policy as mini-swe-agent's ``Model``."""

    def __init__(self, policy: Policy, sampling: Sampling, config: Mapping[str, JSON]) -> None:
        self.config = SimpleNamespace(model_name=policy.name)
        self._policy = policy
        self._sampling = sampling
        self._config = config

    def query(self, messages: Sequence[_Message], **kwargs: object) -> _Message:
        prompt = [{"role": message["role"], "content": message["content"]} for message in messages]
        (completion,) = self._policy.generate(prompt, sampling=self._sampling)
        # Without the thinking, as if a server had split it off: commands in it do not count.
        content = without_thinking(completion.text).strip()
        try:
            actions = parse_regex_actions(
                content,
                action_regex=self._config.get("action_regex", _ACTION),
                format_error_template=self._config["format_error_template"],
                template_kwargs={"finish_reason": completion.finish_reason},
            )
        except FormatError as error:
            error.messages[0]["extra"].update(cost=0.0, response=completion.text)
            raise
        extra = {"actions": actions, "cost": 0.0, "response": completion.text, "timestamp": time.time()}
        return {"role": "assistant", "content": content, "extra": extra}

    def format_message(self, **kwargs: JSON) -> _Message:
        return kwargs

    def format_observation_messages(
        self, message: _Message, outputs: list[dict[str, JSON]], template_vars: dict[str, JSON] | None = None
    ) -> list[_Message]:
        made: list[_Message] = format_observation_messages(
            outputs, observation_template=self._config["observation_template"], template_vars=template_vars
        )
        return made

    def get_template_vars(self, **kwargs: JSON) -> dict[str, JSON]:
        return {"model_name": self.config.model_name}

    def serialize(self) -> dict[str, JSON]:
        return {"info": {"config": {"model": {"model_name": self.config.model_name}}}}


class _Environment:
    """Our environment as mini-swe-agent's ``Environment``."""

    def __init__(self, environment: Environment, config: Mapping[str, JSON]) -> None:
        self.config = SimpleNamespace(**config)
        self._environment = environment
        self._timeout = config.get("timeout")
        variables = config.get("env") or {}
        self._exports = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items())

    def execute(self, action: Mapping[str, JSON], cwd: str = "") -> dict[str, JSON]:
        outcome = self._environment.run(self._exports + action["command"], timeout=self._timeout)
        if outcome.exit_code is None:
            why = "An error occurred while executing the command: it was stopped at a limit"
            return {"output": outcome.output, "returncode": -1, "exception_info": why}
        first, _, rest = outcome.output.lstrip().partition("\n")
        if outcome.exit_code == 0 and first.strip() == SUBMISSION_MARK:
            extra = {"exit_status": "Submitted", "submission": rest}
            raise Submitted({"role": "exit", "content": rest, "extra": extra})
        return {"output": outcome.output, "returncode": outcome.exit_code, "exception_info": ""}

    def get_template_vars(self, **kwargs: JSON) -> dict[str, JSON]:
        return {**vars(self.config), **platform.uname()._asdict(), **kwargs}

    def serialize(self) -> dict[str, JSON]:
        return {"info": {"config": {"environment": vars(self.config)}}}

#!/bin/sh
# mini-swe-agent 2.4.6: a reply that is refused for its format is in no message of the trajectory.
#
# Guess: the messages of a run are what the model and the scaffold said in turn, as they were until 1.17.
# Behaviour: the model's class parses the reply before the agent appends it. If that fails, only the complaint is
# appended, with the reply inside of its `extra.model_response`. The model's next prompt has two user messages in a row,
# and it never sees what it is told off for.
# Where it matters: whoever turns such files into conversations loses those turns and gives their complaints to the turn
# before; whoever compares prompts of 1.x and 2.x compares two histories.
# Seen on 2026-11-30; exits non-zero if it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mini-swe-agent==2.4.6
cat > "$folder/run.py" <<'PY'
from types import SimpleNamespace

from minisweagent import __version__
from minisweagent.agents.default import DefaultAgent
from minisweagent.exceptions import Submitted
from minisweagent.models.utils.actions_text import format_observation_messages, parse_regex_actions

PATTERN = r"```mswea_bash_command\s*\n(.*?)\n```"
ANSWERS = iter(["I forgot the command.", "```mswea_bash_command\nexit\n```"])
prompts = []


class Model:
    config = SimpleNamespace(model_name="scripted")

    def query(self, messages, **kwargs):
        prompts.append([message["role"] for message in messages])
        content = next(ANSWERS)
        actions = parse_regex_actions(content, action_regex=PATTERN, format_error_template="{{error}}")
        return {"role": "assistant", "content": content, "extra": {"actions": actions}}

    def format_message(self, **kwargs):
        return kwargs

    def format_observation_messages(self, message, outputs, template_vars=None):
        return format_observation_messages(outputs, observation_template="{{output.output}}")

    def get_template_vars(self, **kwargs):
        return {}

    def serialize(self):
        return {}


class Environment:
    config = SimpleNamespace()

    def execute(self, action, cwd=""):
        raise Submitted({"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": ""}})

    def get_template_vars(self, **kwargs):
        return {}

    def serialize(self):
        return {}


agent = DefaultAgent(Model(), Environment(), system_template="s", instance_template="{{task}}")
agent.run("Fix it.")
roles = [message["role"] for message in agent.messages]
held = [message["extra"]["model_response"] for message in agent.messages if "model_response" in message.get("extra", {})]
print(__version__, roles, prompts[-1], held)
assert roles == ["system", "user", "user", "assistant", "exit"], roles
assert prompts[-1] == ["system", "user", "user"], prompts
assert held == ["I forgot the command."], held
PY
MSWEA_SILENT_STARTUP=1 MSWEA_CONFIGURED=true "$folder/venv/bin/python" "$folder/run.py"

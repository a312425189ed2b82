"""A plug-in scaffold: the model answers with one shell script, which is run."""

import re

from srl_agent.formats import without_thinking
from srl_agent.policies import Policy, Sampling
from srl_agent.scaffolds import Environment, Recorder, Rollout, ScaffoldTask
from trajectories import Action, Step

PROMPT = """\
Resolve this issue of {repo}:

{issue}

Its files:
{files}

Answer with one shell script in a ```bash block. It runs in the root of the repository."""


class OneScript:
    """Settings are the constructor's keywords; ``sampling`` is filled in from a table of that name."""

    def __init__(self, *, seconds: float = 60.0, sampling: Sampling | None = None) -> None:
        self.seconds = seconds
        self.sampling = sampling or Sampling()

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        files = environment.run("git ls-files").output
        text = PROMPT.format(repo=task.repo, issue=task.problem_statement, files=files)
        record = Recorder.of(policy, scaffold="one-script")
        (completion,) = record.generate([{"role": "user", "content": text}], sampling=self.sampling)
        answer = without_thinking(completion.text)
        block = re.search(r"```bash\n(.*?)\n```", answer, re.DOTALL)
        actions = (Action(name="bash", arguments={"command": block[1]}),) if block else ()
        shown = environment.run(block[1], timeout=self.seconds).output if block else "There is no script."
        thought = answer.partition("```")[0].strip()
        record.steps.append(Step(thought=thought, actions=actions, observation=shown))
        return record.rollout(task, environment, "submitted")

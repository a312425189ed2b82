"""R2E-Gym runs: ``trajectory_steps`` of thought, action in XML, and observation."""

from collections.abc import Iterator

from trajectories.conversation.events import Event, Reply, Result, record
from trajectories.conversation.fields import row_facts, text_at
from trajectories.conversation.reasoning import join_reasoning, split_thinking
from trajectories.conversation.turns import Note, notes_of
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import text_of, xml_reply
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_NO_CALL = "<function=>"  # what the scaffold writes for a reply without a call
_SLOT = "{problem_statement}"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a run. Its data set's row is in ``ds``, its model in ``agent_args``."""
    run = document.value
    row, settings = _object(run.get("ds")), _object(run.get("agent_args"))
    facts = row_facts({**run, "metadata": row})
    task = text_of(run.get("problem_statement")).strip() or (facts.task or "")
    template = text_at(settings, "instance_prompt") or ""
    image = text_at(run, "docker_image") or ""
    metadata = dict(facts.metadata)
    if "repo" not in metadata and (repo := text_at(row, "repo_name") or _repository(image)):
        metadata["repo"] = repo
    metadata |= {key: text for key in ("exit_reason", "docker_image") if (text := text_at(run, key))}
    yield from record(
        r2e_events(run["trajectory_steps"], notes_of(document, ledger)),
        document,
        ledger,
        source="r2e-gym",
        instance_id=facts.instance_id or _instance(image) or None,
        trajectory_id=facts.trajectory_id,
        prompt=template.replace(_SLOT, task) if _SLOT in template else task,
        task=task,
        model=facts.model or text_at(settings, "llm_name"),
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=metadata,
    )


def r2e_events(steps: list[JSON], note: Note) -> Iterator[Event]:
    """Yield a reply and its result for each step."""
    for step in steps:
        if not isinstance(step, dict):
            note("step_not_understood")
            continue
        reasoning, thought = split_thinking(text_of(step.get("thought")))
        action = text_of(step.get("action")).strip()
        if not action or action.startswith(_NO_CALL):
            yield Reply(thought=thought, reasoning=reasoning)
        else:
            reply = xml_reply(action)
            yield Reply(
                thought=thought,
                calls=reply.calls,
                reasoning=join_reasoning(reasoning, reply.reasoning),
                problem=reply.problem,
            )
        yield Result(text=text_of(step.get("observation")))


def _instance(image: str) -> str:
    """Return the task's id: in the tag of an image of SWE-bench, else the image itself.

    >>> _instance("acme/verified:sweb.eval.x86_64.django__django-11099"), _instance("acme/orange3_final:2d9617bd")
    ('django__django-11099', 'acme/orange3_final:2d9617bd')
    """
    _, mark, name = image.rpartition("sweb.eval.")
    return name.partition(".")[2].replace("_1776_", "__") if mark else image


def _repository(image: str) -> str | None:
    """Return the repository that R2E-Gym named an image after, None for an image of SWE-bench."""
    name = image.rpartition("/")[2].partition(":")[0]
    return None if "sweb.eval." in image else name.removesuffix("_final") or None


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}

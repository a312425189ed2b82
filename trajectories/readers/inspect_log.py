"""Inspect logs: a whole ``.json`` log, the samples of an ``.eval`` archive, or one sample."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, Result, UserMessage, fold, record
from trajectories.conversation.fields import as_verdict, row_facts, text_at
from trajectories.conversation.reasoning import ENCRYPTED
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import BAD_ARGUMENTS, make_reply, text_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

NOT_OF_THE_MODEL = "not_of_the_model"  # an assistant message of the sample's input

_ATTACHMENT = "attachment://"
_GRADES = {"C": True, "I": False}  # correct, incorrect; P is partial and N no answer
_HIDDEN = frozenset({"reasoning", "tool_use", "data"})  # blocks that are no visible text


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory a sample and epoch."""
    log: JSONObject = document.value
    header = log.get("eval")
    header = header if isinstance(header, dict) else {}
    samples = log.get("samples", [] if header else [log])
    samples = samples if isinstance(samples, list) else []
    if odd := sum(not isinstance(sample, dict) for sample in samples):
        ledger.note("sample_not_understood", document.position, odd)
    for sample in samples:
        if isinstance(sample, dict):
            yield from _read(sample, header, document, ledger)


def _read(
    sample: JSONObject, header: JSONObject, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    name = _instance_id(sample, header, document)
    position = f"{document.position} sample {sample.get('id')} epoch {sample.get('epoch')}"
    conversation = _Conversation(sample)
    folded = fold(conversation.events())
    facts = row_facts({"metadata": sample.get("metadata")})
    scores = _scores(sample)
    verdicts = {as_verdict(_GRADES.get(v, v) if isinstance(v, str) else v) for v in scores.values()}
    if len(verdicts - {None}) > 1:
        conversation.notes["scores_disagree"] += 1
    for what, times in conversation.notes.items():
        ledger.note(what, position, times)
    metadata: dict[str, JSON] = {"task": text_at(header, "task"), "scores": scores, **facts.metadata}
    yield from record(
        folded,
        document,
        ledger,
        source="inspect",
        instance_id=name,
        trajectory_id=f"{name}_epoch_{sample.get('epoch', 1)}",
        position=position,
        task=facts.task,
        model=text_at(header, "model") or conversation.model,
        resolved=verdicts.pop() if len(verdicts) == 1 else None,
        patch=_patch(sample),
        metadata={key: value for key, value in metadata.items() if value},
    )


def _instance_id(sample: JSONObject, header: JSONObject, document: Document) -> str:
    """Return the sample's id; a number, which Inspect gives, counts within its task only."""
    given, task = sample.get("id"), text_at(header, "task")
    if given is None or given == "":
        return document.name
    return f"{task}/{given}" if task and isinstance(given, int) else str(given)


def _scores(sample: JSONObject) -> dict[str, JSON]:
    """Return the value of each score, of a score with several values each."""
    scores = sample.get("scores")
    if not isinstance(scores, dict):
        scores = {"score": sample.get("score")}
    found: dict[str, JSON] = {}
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            found |= {f"{name}/{key}": inner for key, inner in value.items()}
        else:
            found[name] = value
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def _patch(sample: JSONObject) -> str | None:
    """Return the patch that a scorer of SWE-bench keeps."""
    scores = sample.get("scores")
    for score in scores.values() if isinstance(scores, dict) else []:
        metadata = score.get("metadata") if isinstance(score, dict) else None
        if isinstance(metadata, dict) and (patch := text_at(metadata, "model_patch")):
            return patch
    return None


class _Conversation:
    """The messages of a sample as events, with what could not be read."""

    def __init__(self, sample: JSONObject) -> None:
        attachments = sample.get("attachments")
        self.attachments: JSONObject = attachments if isinstance(attachments, dict) else {}
        messages = sample.get("messages")
        messages = messages if isinstance(messages, list) else []
        self.messages = [message for message in messages if isinstance(message, dict)]
        self.notes: Counter[str] = Counter()
        if odd := len(messages) - len(self.messages):
            self.notes["message_not_understood"] += odd
        output = sample.get("output")
        models = [
            text_at(message, "model") for message in self.messages if message.get("role") == "assistant"
        ]
        models += [text_at(output, "model")] if isinstance(output, dict) else []
        self.model = next((model for model in models if model), None)
        if not self.messages and isinstance(sample.get("input"), str):
            self.messages = [{"role": "user", "content": sample["input"]}]

    def events(self) -> Iterator[Event]:
        """Yield events. System messages are not kept."""
        for message in self.messages:
            role = message.get("role")
            if role == "assistant":
                yield from self._turn(message)
            elif role == "tool":
                call_id = message.get("tool_call_id")
                ids = (call_id,) if isinstance(call_id, str) and call_id else ()
                yield Result(text=self._result(message), call_ids=ids)
            elif role == "user":
                yield UserMessage(text=self._text(message.get("content")))
            elif role != "system":
                self.notes["message_not_understood"] += 1

    def _turn(self, message: JSONObject) -> Iterator[Event]:
        """Yield the reply, and the results of the calls that the provider's own tools made in it."""
        content = self._whole(message.get("content"))
        blocks = content if isinstance(content, list) else [content]
        hosted = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"]
        text = self._text([block for block in blocks if block and not _is_hidden(block)])
        calls: list[tuple[JSON, JSON, JSON]] = [
            (block.get("name") or block.get("tool_type"), block.get("arguments"), block.get("id"))
            for block in hosted
        ]
        made = message.get("tool_calls")
        made = [call for call in made if isinstance(call, dict)] if isinstance(made, list) else []
        calls += [(call.get("function"), self._whole(call.get("arguments")), call.get("id")) for call in made]
        reply = make_reply(text, calls, self._reasoning(blocks))
        if message.get("source") == "input":
            reply = replace(reply, calls=(), problem=NOT_OF_THE_MODEL)
        elif any(call.get("parse_error") for call in made):
            reply = replace(reply, calls=(), problem=BAD_ARGUMENTS)
        yield reply
        for block in hosted:
            text = self._text(block.get("error") or block.get("result"))
            yield Result(text=text, call_ids=(str(block.get("id")),) if block.get("id") else ())

    def _reasoning(self, blocks: Sequence[JSON]) -> str:
        """Return the reasoning; of a redacted one its summary."""
        texts: list[str] = []
        for block in blocks:
            if not isinstance(block, dict) or block.get("type") != "reasoning":
                continue
            text = None if block.get("redacted") else text_at(block, "reasoning")
            text = text or text_at(block, "summary")
            self.notes[ENCRYPTED] += not text and bool(block.get("redacted") or block.get("signature"))
            texts.append(text or "")
        self.notes = +self.notes
        return "\n".join(filter(None, texts))

    def _result(self, message: JSONObject) -> str:
        """Return a tool's result as the model saw it: the error if there is one."""
        error = message.get("error")
        if isinstance(error, dict) and (text := text_at(error, "message")):
            return text
        return self._text(message.get("content"))

    def _text(self, content: JSON) -> str:
        try:
            return text_of(self._whole(content))
        except TypeError:
            self.notes["content_not_understood"] += 1
            return ""

    def _whole(self, value: JSON) -> JSON:
        """Return a value with its attachments put back. Inspect moves long texts and images there."""
        if isinstance(value, str) and value.startswith(_ATTACHMENT):
            found = self.attachments.get(value.removeprefix(_ATTACHMENT))
            if not isinstance(found, str):
                self.notes["attachment_missing"] += 1
            return found if isinstance(found, str) else value
        if isinstance(value, dict):
            return {key: self._whole(inner) for key, inner in value.items()}
        return [self._whole(inner) for inner in value] if isinstance(value, list) else value


def _is_hidden(block: JSON) -> bool:
    return isinstance(block, dict) and text_at(block, "type") in _HIDDEN

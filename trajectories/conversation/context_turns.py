"""Turns that later steps build on and that are no example to learn from: copied, refused, or a program's."""

from collections.abc import Collection
from dataclasses import replace

from trajectories.conversation.events import Folded

REFUSED = "refused_call"  # its arguments were no JSON: the scaffold ran nothing and answered with an error
NO_JSON = "_openhands_malformed_tool_call"  # OpenHands' name for the one argument of such a call


def as_context(folded: Folded, turns: Collection[int]) -> Folded:
    """Return the conversation with the steps of these turns (numbers from 1) marked as no training target.

    >>> from trajectories.conversation.events import Reply, UserMessage, fold
    >>> folded = as_context(fold([Reply(thought="One."), Reply(thought="Two.")]), {1})
    >>> [step.target for step in folded.steps]
    [False, True]
    """
    if not turns:
        return folded
    dropped = {turn for _, turn in folded.drops}
    kept = (turn for turn in range(1, folded.turns + 1) if turn not in dropped)
    steps = (
        replace(step, target=step.target and turn not in turns)
        for turn, step in zip(kept, folded.steps, strict=True)
    )
    return replace(folded, steps=tuple(steps))

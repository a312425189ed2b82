from trajectories.conversation.events import Call, Event, Reply, Result, UserMessage, fold, issue_text
from trajectories.types import Action


def call(name: str, call_id: str | None = None) -> Call:
    return Call(action=Action(name=name, arguments={}), call_id=call_id)


def test_parallel_calls_stay_one_step_and_results_come_in_the_order_of_the_calls() -> None:
    folded = fold(
        [
            UserMessage(text="task"),
            Reply(thought="both", calls=(call("a", "1"), call("b", "2"))),
            Result(text="of b", call_ids=("2",)),
            Result(text="of a", call_ids=("1",)),
        ]
    )
    assert [action.name for action in folded.steps[0].actions] == ["a", "b"]
    assert folded.steps[0].observation == "of a\nof b"


def test_an_id_used_again_belongs_to_the_later_call() -> None:
    folded = fold(
        [
            Reply(thought="", calls=(call("a", "call_0"),)),
            Result(text="1", call_ids=("call_0",)),
            Reply(thought="", calls=(call("b", "call_0"),)),
            Result(text="2", call_ids=("call_0",)),
        ]
    )
    assert [step.observation for step in folded.steps] == ["1", "2"]


def test_missing_ids_answer_the_turn_before() -> None:
    folded = fold([Reply(thought="", calls=(call("a"),)), Result(text="x", call_ids=("unknown",))])
    assert folded.steps[0].observation == "x"


def test_the_result_of_a_dropped_turn_is_dropped_but_user_messages_stay() -> None:
    folded = fold(
        [
            UserMessage(text="task"),
            Reply(thought="", calls=(call("a", "1"),)),
            Result(text="seen", call_ids=("1",)),
            Reply(thought="bad", problem="unparsable_call"),
            Result(text="Format error", call_ids=()),
            Reply(thought="Shall I?"),
            UserMessage(text="Yes."),
            Reply(thought="", calls=(call("b", "2"),)),
        ]
    )
    assert folded.drops == (("unparsable_call", 2),)
    assert [step.observation for step in folded.steps] == ["seen", "Yes.", ""]
    assert [(step.thought, step.actions) for step in folded.steps[1:2]] == [("Shall I?", ())]
    assert folded.notes == {"no_action": 1}
    assert folded.turns == 4


def test_user_messages_before_the_first_action_belong_to_the_prompt() -> None:
    said: list[Event] = [
        UserMessage(text="Hello"),
        Reply(thought="Hi. What?"),
        UserMessage(text="Fix it"),
        Reply(thought="Done."),
    ]
    folded = fold(said)
    assert folded.prompt == "Hello\n\nFix it"
    assert [(step.thought, step.observation) for step in folded.steps] == [("Hi. What?", ""), ("Done.", "")]
    assert folded.notes == {"no_action": 1, "final_message": 1}


def test_an_empty_turn_is_dropped() -> None:
    folded = fold([Reply(thought="", calls=(call("a"),)), Reply(thought=" "), UserMessage(text="Go on.")])
    assert folded.drops == (("empty_turn", 2),)
    assert [step.observation for step in folded.steps] == ["Go on."]


def test_a_result_without_a_call_is_noted() -> None:
    folded = fold([Reply(thought="", calls=(call("a", "1"),)), Result(text="x", call_ids=("2",))])
    assert folded.steps[0].observation == ""
    assert folded.notes == {"result_without_call": 1}


def test_turn_without_result_is_noted_unless_it_is_the_last() -> None:
    folded = fold([Reply(thought="", calls=(call("a"),)), Reply(thought="", calls=(call("b"),))])
    assert folded.notes == {"turn_without_result": 1}


def test_issue_text_of_known_prompts() -> None:
    pr = "<uploaded_files>\n/t\n</uploaded_files>\n<pr_description>\nIt <b>crashes</b>.\n</pr_description>\n"
    assert issue_text(pr + "so that the <pr_description> is met") == "It <b>crashes</b>."
    old = "Here's the issue text:\nISSUE:\nIt hangs.\n\nINSTRUCTIONS:\nNow go."
    assert issue_text(old) == "It hangs."
    resolver = "Please fix the following issue for the repository in /workspace.\nAll is set up.\n\n"
    resolver += "# Problem Statement\nIt leaks.\n\nSlowly.\n\nIMPORTANT: You should ONLY interact with it.\n"
    assert issue_text(resolver) == "It leaks.\n\nSlowly."
    assert issue_text(" Just do it.\n") == "Just do it."

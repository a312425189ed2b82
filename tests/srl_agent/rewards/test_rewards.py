"""The similarity equals difflib's exactly; degenerate completions cost nothing; the other rewards."""

import random
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.demo import expert_path
from srl_agent.formats import get_format
from srl_agent.rewards import (
    BASELINES,
    RewardBatch,
    SimilarityReward,
    StructuredReward,
    WeightedRewards,
    actions_to_json,
    baseline_step,
    constant_candidates,
    reference_similarity,
    similarities,
    similarity,
    structured_similarity,
)
from srl_agent.rewards.similarity import _matches_of_one_letter
from trajectories import Action, Trajectory
from trajectories.store import read_trajectories

XML = get_format("xml")


def demo_actions() -> list[str]:
    return [
        XML.render_actions(step.actions)
        for trajectory in read_trajectories(expert_path())
        for step in trajectory.steps
    ]


def run_text(rng: random.Random) -> str:
    """Return text with long runs, whose ratio shortening must not change."""
    alphabet = rng.choice(["ab", "abc", "a\n {}", "a"])
    lengths = [1, 1, 2, rng.choice([3, 18, 40])]
    return "".join(rng.choice(alphabet) * rng.choice(lengths) for _ in range(rng.randint(0, 16)))


def test_equal_to_the_standard_library_on_fuzzed_pairs() -> None:
    rng = random.Random(0)
    pairs = [(run_text(rng), run_text(rng)) for _ in range(9_000)]
    assert similarities(pairs) == [reference_similarity(a, b) for a, b in pairs]


def test_equal_to_the_standard_library_on_real_actions() -> None:
    rng, actions = random.Random(1), demo_actions()
    pairs = [(rng.choice(actions), rng.choice(actions)) for _ in range(1_500)]
    assert similarities(pairs) == [reference_similarity(a, b) for a, b in pairs]


@settings(max_examples=300)
@given(a=st.text(max_size=60), b=st.text(max_size=60), autojunk=st.booleans())
def test_equal_on_any_unicode(a: str, b: str, autojunk: bool) -> None:
    assert similarity(a, b, autojunk=autojunk) == reference_similarity(a, b, autojunk=autojunk)


def test_lone_surrogates_fall_back() -> None:
    assert similarity("a\ud800b", "a\ud800c") == reference_similarity("a\ud800b", "a\ud800c")


def test_one_letter_closed_form() -> None:
    rng = random.Random(2)
    for _ in range(500):
        letters, other = "a" * rng.randint(1, 30), run_text(rng)
        for a, b in ((letters, other), (other, letters)):
            total = len(a) + len(b)
            assert 2.0 * _matches_of_one_letter(letters, other) / total == reference_similarity(a, b)


@pytest.mark.parametrize("letter", ["a", " ", "\n", "=", "ab"])
def test_degenerate_completions_take_no_memory(letter: str) -> None:
    expert = max(demo_actions(), key=len)
    tracemalloc.start()
    score = similarity(letter * 200_000, expert)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 <= score < 0.01
    assert peak < 30_000_000


def completion(action: str) -> str:
    return f"<think>Look.</think>\n{action}"


def test_similarity_reward() -> None:
    expert = demo_actions()[0]
    reward = SimilarityReward(action_format=XML)
    scores = reward(
        None, [completion(expert), expert, completion(expert)], expert_action=[expert, expert, None]
    )
    assert scores == [1.0, -1.0, None]


def test_rewards_take_trl_messages() -> None:
    expert = demo_actions()[0]
    messages = [[{"role": "assistant", "content": completion(expert)}]]
    assert SimilarityReward(action_format=XML)(None, messages, expert_action=[expert]) == [1.0]


def edit(old: str, new: str, path: str = "/testbed/a.py") -> Action:
    return Action(
        name="str_replace_editor",
        arguments={"command": "str_replace", "path": path, "old_str": old, "new_str": new},
    )


def bash(command: str) -> Action:
    return Action(name="bash", arguments={"command": command})


FIX = edit("if ready:\n    return 1\nreturn 0", "if not ready:\n    return 1\nreturn 0")


def test_structured_reward_closes_the_holes_of_the_plain_one() -> None:
    no_op = edit("if ready:\n    return 1\nreturn 0", "if ready:\n    return 1\nreturn 0")
    expert_text = XML.render_actions([FIX])
    assert similarity(XML.render_actions([no_op]), expert_text) > 0.95
    assert structured_similarity([no_op], [FIX]) == 0.0
    look = bash("find /testbed -name '*.py'")
    assert similarity(XML.render_actions([bash("")]), XML.render_actions([look])) > 0.6
    assert structured_similarity([bash("")], [look]) == 0.0


@pytest.mark.parametrize(
    ("candidate", "low", "high"),
    [
        ([FIX], 1.0, 1.0),
        ([edit("if ready:", "if not ready:")], 0.99, 1.0),  # the same diff, cut narrower
        ([edit("if ready:", "if not ready:", path="/testbed/b.py")], 0.4, 0.6),
        ([bash("sed -i s/a/b/ a.py")], 0.0, 0.0),
        ([FIX, bash("ls")], 0.5, 0.5),
        ([], 0.0, 0.0),
    ],
)
def test_structured_scores(candidate: list[Action], low: float, high: float) -> None:
    assert low <= structured_similarity(candidate, [FIX]) <= high


def test_prose_arguments_are_not_scored() -> None:
    told = Action(
        name="bash", arguments={"command": "ls", "description": "List files", "security_risk": "LOW"}
    )
    assert structured_similarity([bash("ls")], [told]) == 1.0


def test_line_ranges_score_by_overlap() -> None:
    def view(first: int, last: int) -> Action:
        arguments = {"command": "view", "path": "/testbed/a.py", "view_range": [first, last]}
        return Action(name="str_replace_editor", arguments=arguments)

    assert structured_similarity([view(1, 10)], [view(6, 15)]) == pytest.approx(1 / 3)


def test_the_weighted_sum_skips_missing_rewards() -> None:
    expert = demo_actions()[0]
    rewards = WeightedRewards(
        functions={
            "similarity": SimilarityReward(action_format=XML),
            "structured": StructuredReward(action_format=XML),
        },
        weights={"similarity": 1.0, "structured": 0.5},
    )
    parsed = XML.parse(completion(expert)).actions
    columns = {"expert_action": [expert, None], "expert_actions": [actions_to_json(parsed), None]}
    first, second = rewards.score(batch([completion(expert)] * 2, columns))
    assert first.total == 1.5
    assert second.total is None


def test_what_is_measured_beside_the_trained_reward_is_no_part_of_the_sum() -> None:
    expert = demo_actions()[0]
    parsed = XML.parse(completion(expert)).actions
    columns = {"expert_action": [expert], "expert_actions": [actions_to_json(parsed)]}
    trained = WeightedRewards(
        functions={"structured": StructuredReward(action_format=XML)}, weights={"structured": 1}
    )
    measured = trained.with_measures(XML)
    assert measured.label == trained.label == "structured"
    empty = completion(XML.render_actions(baseline_step("empty_action", first_trajectory(), 0).actions))
    (score,) = measured.score(batch([empty], columns))
    assert score.total == score.parts["structured"] == 0.0
    assert score.parts["similarity"] is not None
    assert score.parts["similarity"] > 0.6
    (unjudged,) = measured.score(batch([empty], {**columns, "expert_actions": [None]}))
    assert unjudged.total is None
    weighted = WeightedRewards(functions={}, weights={"similarity": 0.5, "structured": 2.0, "logged": 0.0})
    assert weighted.label == "0.5 similarity + 2 structured"


def test_a_reward_with_settings_of_the_recipe_is_measured_by_them() -> None:
    mine = SimilarityReward(action_format=XML, autojunk=True)
    measured = WeightedRewards(functions={"similarity": mine}, weights={"similarity": 1.0}).with_measures(XML)
    assert measured.functions["similarity"] is mine
    assert list(measured.functions) == ["similarity", "structured"]


def test_candidates_for_a_constant_are_the_most_frequent_actions() -> None:
    assert constant_candidates(["b", "a", "b", "c", "a", "b"], 2) == ["b", "a"]
    assert constant_candidates([], 3) == []


def batch(texts: list[str], columns: Mapping[str, list[Any]]) -> RewardBatch:
    return RewardBatch(
        prompts=[[{"role": "user", "content": "Go."}]] * len(texts),
        texts=texts,
        token_ids=[[1]] * len(texts),
        columns=columns,
        trainer_state=None,
        log_metric=lambda name, value: None,
    )


def first_trajectory() -> Trajectory:
    return next(iter(read_trajectories(expert_path())))


def test_baselines_have_the_right_format_and_score_below_the_expert() -> None:
    trajectory = next(iter(read_trajectories(expert_path())))
    index = 2
    expert = XML.render_actions(trajectory.steps[index].actions)
    reward = SimilarityReward(action_format=XML)
    for policy in BASELINES:
        text = XML.render(baseline_step(policy, trajectory, index))
        (score,) = reward(None, [text], expert_action=[expert])
        assert score is not None
        assert 0.0 <= score < 1.0


@pytest.mark.realdata
def test_equal_to_the_standard_library_on_real_pairs(real_data: Path, tmp_path: Path) -> None:
    from harness.convert import main

    out = tmp_path / "real.jsonl"
    assert main([str(real_data / "trajectories/isobench_trae_sonnet45"), "--out", str(out)]) == 0
    trae = get_format("xml", "trae")
    actions = [
        trae.render_actions(step.actions)[:1500]
        for trajectory in list(read_trajectories(out))[:60]
        for step in trajectory.steps
        if step.actions
    ]
    rng = random.Random(3)
    pairs = [(actions[i], actions[i + rng.randint(0, 3)]) for i in range(0, len(actions) - 4, 2)][:1_000]
    assert similarities(pairs) == [reference_similarity(a, b) for a, b in pairs]

"""Ids of rollouts and of their tasks: rollouts of one task share its instance and its repository."""

import pytest

from tests.trajectories.reading import one
from trajectories.task_ids import repository_named, repository_of, task_id, task_key

COMMIT = "04998908ba6721d64eba79ae3b65a351dcfbc5b5"


@pytest.mark.parametrize(
    ("rollout", "task", "repository"),
    [
        ("getmoto__moto-5752_0", "getmoto__moto-5752", "getmoto/moto"),  # SWE-Gym
        ("getmoto__moto-5752_13", "getmoto__moto-5752", "getmoto/moto"),
        ("AnalogJ__lexicon-366_17", "AnalogJ__lexicon-366", "AnalogJ/lexicon"),  # nebius
        ("acme__w-1__AbCdEfg", "acme__w-1", "acme/w"),  # Harbor
        ("django__django-16527", "django__django-16527", "django/django"),
        ("scikit-learn__scikit-learn-9_x", "scikit-learn__scikit-learn-9_x", "scikit-learn/scikit-learn-9_x"),
        ("acme__w.1a2b3c4d.func_pm__ab12cd34", "acme__w.1a2b3c4d.func_pm__ab12cd34", "acme/w"),  # SWE-smith
        ("acme__w.1a2b3c4d.pr_7", "acme__w.1a2b3c4d.pr_7", "acme/w"),
        ("acme__channel", "acme__channel", "acme/channel"),  # seven letters, and no rollout
        (f"instance_NodeBB__NodeBB-{COMMIT}-vnan", f"instance_NodeBB__NodeBB-{COMMIT}-vnan", "NodeBB/NodeBB"),
        (f"instance_flipt-io__flipt-{COMMIT}", f"instance_flipt-io__flipt-{COMMIT}", "flipt-io/flipt"),
        (f"instance_flipt-io__flipt-{COMMIT}-v{COMMIT}_3", f"instance_flipt-io__flipt-{COMMIT}-v{COMMIT}",
         "flipt-io/flipt"),
        ("swesmith/acme__w.1a2b3c4d", "swesmith/acme__w.1a2b3c4d", "acme/w"),  # a mirror
        ("acme__w.1a2b3c4d.func_pm__ab12cd34_0", "acme__w.1a2b3c4d.func_pm__ab12cd34", "acme/w"),
        ("acme__w.1a2b3c4d.pr_7__AbCdEfg", "acme__w.1a2b3c4d.pr_7", "acme/w"),
        ("swe-bench/acme__w-1", "acme__w-1", "acme/w"),  # Harbor, with the organisation that published the task
        (f"swe-bench/instance_acme__w-{COMMIT}__AbCdEfg", f"instance_acme__w-{COMMIT}", "acme/w"),
        ("sweb.eval.x86_64.acme_1776_w-1", "acme__w-1", "acme/w"),  # an image of SWE-bench
        ("acme__w-1#2", "acme__w-1", "acme/w"),  # the second conversation of a log
        ("acme__w-1_run_2", "acme__w-1", "acme/w"),
        ("acme__w-1-attempt-2", "acme__w-1", "acme/w"),
        ("acme__w-1.rollout_3", "acme__w-1", "acme/w"),
        ("acme__w-1-2", "acme__w-1-2", "acme/w-1"),  # a repository may be named so
        (f"acme__w-{COMMIT}", f"acme__w-{COMMIT}", "acme/w"),
        ("acme/w", "acme/w", "acme/w"),
        ("run-7", "run-7", "run-7"),
        ("", "", ""),
    ],
)  # fmt: skip
def test_a_rollout_belongs_to_its_task(rollout: str, task: str, repository: str) -> None:
    assert task_id(rollout) == task
    assert repository_of(rollout) == repository_of(task) == repository


def test_rollouts_of_a_task_share_the_instance_and_keep_their_own_ids() -> None:
    call = {"type": "function", "id": "c1", "function": {"name": "bash", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    found = [one({"instance_id": f"acme__w-12_{n}", "messages": messages}) for n in (0, 1)]
    assert [t.trajectory_id for t in found] == ["acme__w-12_0", "acme__w-12_1"]
    assert {t.instance_id for t in found} == {"acme__w-12"}
    assert {t.repository for t in found} == {"acme/w"}


def test_ids_of_one_task_have_one_key() -> None:
    pro = [f"instance_NodeBB__NodeBB-{COMMIT}{end}" for end in ("", "-vnan", f"-v{COMMIT}", "-vnan_3")]
    assert {task_key(one_id) for one_id in (*pro, pro[1].lower(), pro[0].removeprefix("instance_"))} == {
        f"nodebb__nodebb-{COMMIT}"
    }
    assert task_key("Acme__w-1_0") == task_key("acme__W-1__AbCdEfg") == "acme__w-1"


@pytest.mark.parametrize(
    ("name", "instance", "repository"),
    [
        ("acme/w", "x", "acme/w"),
        ("w", "acme__w-7", "acme/w"),
        ("widgets", "acme__w-7", "widgets"),
        ("https://github.com/acme/w", "x", "acme/w"),
        ("git@github.com:acme/w.git", "x", "acme/w"),
        ("swesmith/acme__w.1a2b3c4d", "x", "acme/w"),
    ],
)
def test_a_repository_is_named_in_several_ways(name: str, instance: str, repository: str) -> None:
    assert repository_named(name, instance) == repository


@pytest.mark.parametrize(
    "text", ["a__" * 14000, "a__b-1" + "_1" * 20000, "a__b-1" + "#a_1" * 10000, "a_1776_" * 6000]
)
def test_an_id_of_the_worst_kind_is_no_task(text: str) -> None:
    assert task_id(text) == text

"""Ids of rollouts and of their tasks: rollouts of one task share its instance and its repository."""

import pytest

from tests.trajectories.reading import one
from trajectories.task_ids import repository_of, task_id

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

"""From the id of a rollout to the id of its task: producers add suffixes, and rollouts of one task belong together."""

import re

# A task of SWE-bench's form, and a rollout of it: SWE-Gym's -1234_0, nebius' -366_17, Harbor's -1234__AbCdEfg.
_ROLLOUT = re.compile(r"(?P<task>[^/\s]+?__[^/\s]+?-\d+)(?:_\d{1,4}|__[A-Za-z0-9]{7})", re.ASCII)
# SWE-bench Pro: instance_OWNER__NAME-COMMIT, often with -vVERSION.
_PRO = re.compile(r"instance_(?P<owner>[^/]+?)__(?P<name>.+?)-[0-9a-f]{40}(?:-v\w*)?", re.ASCII)
_SWE = re.compile(r"(?P<owner>[^/]+?)__(?P<name>.+?)(?:-\d+|\.[0-9a-f]{8}(?:\..*)?)?")


def task_id(rollout_id: str) -> str:
    """Return the id of the task that a rollout is of, any other id as it is.

    >>> task_id("getmoto__moto-5752_0"), task_id("django__django-16527"), task_id("acme__w.1a2b3c4d.pr_7")
    ('getmoto__moto-5752', 'django__django-16527', 'acme__w.1a2b3c4d.pr_7')
    """
    match = _ROLLOUT.fullmatch(rollout_id)
    return match["task"] if match else rollout_id


def repository_of(instance_id: str) -> str:
    """Return the repository of an id of SWE-bench, SWE-bench Pro, SWE-smith, or a rollout; any other id as it is.

    >>> repository_of("django__django-16527"), repository_of("acme__widgets.1a2b3c4d.func_pm__ab12")
    ('django/django', 'acme/widgets')
    >>> repository_of("getmoto__moto-5752_0"), repository_of(f"instance_NodeBB__NodeBB-{'0' * 40}-vnan")
    ('getmoto/moto', 'NodeBB/NodeBB')
    """
    match = _PRO.fullmatch(instance_id) or _SWE.fullmatch(task_id(instance_id))
    return f"{match['owner']}/{match['name']}" if match else instance_id

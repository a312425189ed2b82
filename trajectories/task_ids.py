"""From the id of a rollout to the id of its task: producers add suffixes, and rollouts of one task belong together."""

import re

# A task of SWE-bench's form, and a rollout of it: SWE-Gym's -1234_0, nebius' -366_17, Harbor's -1234__AbCdEfg.
_ROLLOUT = re.compile(r"(?P<task>[^/\s]+?__[^/\s]+?-\d+)(?:_\d{1,4}|__[A-Za-z0-9]{7})", re.ASCII)
# SWE-bench Pro: instance_OWNER__NAME-COMMIT, often with -vCOMMIT or -vnan.
_PRO = re.compile(
    r"(?P<task>instance_(?P<owner>[^/]+?)__(?P<name>[^/]+?)-[0-9a-f]{40}(?:-v[0-9a-z]*)?)(?:_\d{1,4}|__[A-Za-z0-9]{7})?",
    re.ASCII,
)
# SWE-smith works on mirrors: swesmith/OWNER__NAME.COMMIT.
_MIRROR = re.compile(r"[^/\s]+/(?P<id>[^/\s]+?__[^/\s]+\.[0-9a-f]{8})", re.ASCII)
_SWE = re.compile(r"(?P<owner>[^/]+?)__(?P<name>.+?)(?:-\d+|\.[0-9a-f]{8}(?:\..*)?)?")


def task_id(rollout_id: str) -> str:
    """Return the id of the task that a rollout is of, any other id as it is.

    >>> task_id("getmoto__moto-5752_0"), task_id("django__django-16527"), task_id("acme__w.1a2b3c4d.pr_7")
    ('getmoto__moto-5752', 'django__django-16527', 'acme__w.1a2b3c4d.pr_7')
    """
    match = _ROLLOUT.fullmatch(rollout_id) or _PRO.fullmatch(rollout_id)
    return match["task"] if match else rollout_id


def repository_of(instance_id: str) -> str:
    """Return the repository of an id of SWE-bench, SWE-bench Pro, SWE-smith, a rollout, or a mirror of SWE-smith's.

    Any other id, and the name of a repository, is returned as it is.

    >>> repository_of("django__django-16527"), repository_of("acme__widgets.1a2b3c4d.func_pm__ab12")
    ('django/django', 'acme/widgets')
    >>> repository_of("getmoto__moto-5752_0"), repository_of(f"instance_NodeBB__NodeBB-{'0' * 40}-vnan")
    ('getmoto/moto', 'NodeBB/NodeBB')
    """
    if mirror := _MIRROR.fullmatch(instance_id):
        instance_id = mirror["id"]
    match = _PRO.fullmatch(instance_id) or _SWE.fullmatch(task_id(instance_id))
    return f"{match['owner']}/{match['name']}" if match else instance_id

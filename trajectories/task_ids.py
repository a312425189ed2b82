"""From the id of a rollout to the id of its task: producers add suffixes, and rollouts of one task belong together."""

import re

# What producers add to the id of a task: SWE-Gym's _0, nebius' _17, Harbor's __AbCdEfg, -run_1, .attempt-2; #2 is ours.
_ADDED = (
    r"(?:_\d{1,4}|__[A-Za-z0-9]{7}|[#~@][\w-]{1,40}"
    r"|[._-]{1,2}(?:run|attempt|sample|rollout|try|trial|traj|seed|iter|epoch|pass)[._-]?\d{1,4})"
)
_SWE_TASK = r"[^/\s]{1,100}?__[^/\s]{1,100}?-\d+"
# SWE-smith: OWNER__NAME.COMMIT, then how the bug was made.
_SMITH_TASK = r"[^/\s]{1,100}?__[^/\s]{1,100}?\.[0-9a-f]{8}\.(?:pr_\d+|\w{1,60}?__[a-z0-9]{8})"
# SWE-bench Pro: instance_OWNER__NAME-COMMIT, often with -vCOMMIT or -vnan; some programs leave out the first part.
_PRO_TASK = (
    r"(?:instance_)?(?P<owner>[^/\s]{1,100}?)__(?P<name>[^/\s]{1,100}?)"
    r"-(?P<commit>[0-9a-f]{40})(?:-v[0-9a-z]{0,60})?"
)
# Harbor names a task with the organisation that published it: swe-bench/OWNER__NAME-123.
_TASK = re.compile(rf"(?:[^/\s]{{1,100}}/)?(?P<task>{_SWE_TASK}|{_SMITH_TASK}){_ADDED}{{0,3}}", re.ASCII)
_PRO = re.compile(rf"(?:[^/\s]{{1,100}}/)?(?P<task>{_PRO_TASK}){_ADDED}{{0,3}}", re.ASCII)
# The names of SWE-bench's images: a double underscore is _1776_ there.
_IMAGE = re.compile(r"(?:sweb\.eval\.\w{1,20}\.)?(\w[\w.-]{0,100}?)_1776_(\w[\w.-]{0,100}-\d+)", re.ASCII)
# SWE-smith works on mirrors: swesmith/OWNER__NAME.COMMIT.
_MIRROR = re.compile(r"[^/\s]{1,100}/(?P<id>[^/\s]{1,100}?__[^/\s]{1,200}\.[0-9a-f]{8})", re.ASCII)
_ADDRESS = re.compile(r"(?:https?://|git@)?github\.com[/:]([^/\s]{1,100}/[^/\s]{1,100}?)(?:\.git)?/?")
_SWE = re.compile(r"(?P<owner>[^/]{1,100}?)__(?P<name>.{1,200}?)(?:-\d+|\.[0-9a-f]{8}(?:\..*)?)?")


def task_id(rollout_id: str) -> str:
    """Return the id of the task that a rollout is of, any other id as it is.

    >>> task_id("getmoto__moto-5752_0"), task_id("django__django-16527"), task_id("acme__w.1a2b3c4d.pr_7")
    ('getmoto__moto-5752', 'django__django-16527', 'acme__w.1a2b3c4d.pr_7')
    """
    if image := _IMAGE.fullmatch(rollout_id):
        return f"{image[1]}__{image[2]}"
    match = _PRO.fullmatch(rollout_id) or _TASK.fullmatch(rollout_id)
    return match["task"] if match else rollout_id


def task_key(instance_id: str) -> str:
    """Return the same text for all ids of one task: of its rollouts, and as other programs write it.

    >>> task_key("getmoto__moto-5752_0"), task_key("swe-bench/Django__django-1")
    ('getmoto__moto-5752', 'django__django-1')
    """
    name = task_id(instance_id)
    if match := _PRO.fullmatch(name):
        name = f"{match['owner']}__{match['name']}-{match['commit']}"
    return name.casefold()


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


def repository_named(name: str, instance_id: str) -> str:
    """Return the repository that a source names for a task: as ``owner/name``, by its address, or without its owner.

    >>> repository_named("https://github.com/acme/w.git", "x"), repository_named("w", "acme__w-7_0")
    ('acme/w', 'acme/w')
    """
    address = _ADDRESS.fullmatch(name)
    found = repository_of(address[1] if address else name)
    of_the_id = repository_of(instance_id)
    return of_the_id if "/" not in found and of_the_id.endswith(f"/{found}") else found

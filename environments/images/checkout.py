"""Make an instance image from a local git checkout, for instances without a published image."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import git

from environments.images.instance import image_from_files
from environments.sandbox.archive import pack_folder
from environments.sandbox.engine import connect, engine_errors

_WORKDIR = "/testbed"


class BuildError(ValueError):
    """The image cannot be built; the message says why."""


def image_from_checkout(
    checkout: Path,
    commit: str,
    *,
    image: str,
    base: str,
    setup: Sequence[str] = (),
    log: Callable[[str], None] = lambda text: None,
) -> str:
    """Make ``image`` from ``base`` with the repository at ``commit`` in ``/testbed``; return the full commit id.

    ``setup`` commands, such as installing the project, run there one by one, as root and with a network: they are
    trusted. Raises BuildError, EnvironmentFailure.
    """
    with tempfile.TemporaryDirectory(prefix="srl-agent-checkout-") as folder:
        testbed = Path(folder) / "testbed"
        try:
            repository = git.Repo.clone_from(checkout.absolute().as_uri(), testbed, no_checkout=True)
            repository.git.checkout("--quiet", "--detach", commit)
            found = str(repository.head.commit.hexsha)
            repository.delete_remote(repository.remote())
        except (git.GitError, ValueError) as error:
            reason = " ".join(str(getattr(error, "stderr", error)).split())[-300:]
            raise BuildError(f"{checkout} at {commit}: {reason}") from error
        image_from_files(image, base=base, archive=pack_folder(testbed, testbed.name), workdir=_WORKDIR)
    if setup:
        _set_up(image, setup, log)
    return found


def _set_up(image: str, commands: Sequence[str], log: Callable[[str], None]) -> None:
    name, _, tag = image.partition(":")
    with engine_errors(f"setting up {image}"):
        container = connect().containers.create(image, command=["sleep", "infinity"], working_dir=_WORKDIR)
        try:
            container.start()
            for command in commands:
                log(f"running: {command}")
                code, output = container.exec_run(["bash", "-c", command], workdir=_WORKDIR)
                if code != 0:
                    printed = output.decode(errors="replace").strip()[-1000:]
                    raise BuildError(f"{command!r} ended with exit code {code}:\n{printed}")
            container.commit(repository=name, tag=tag or None, conf={"WorkingDir": _WORKDIR, "Cmd": ["bash"]})
        finally:
            container.remove(force=True, v=True)

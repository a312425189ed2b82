"""Look up, pull and make images on this machine."""

from collections.abc import Callable

import docker

from environments.sandbox.engine import connect, engine_errors


def has_image(image: str) -> bool:
    """Return whether an image is on this machine. Raises EnvironmentFailure if the engine does not answer."""
    with engine_errors(f"looking for image {image}"):
        try:
            connect().images.get(image)
        except docker.errors.ImageNotFound:
            return False
    return True


def pull_image(image: str, on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Pull an image; ``on_progress`` gets the bytes done and the bytes known so far. Raises EnvironmentFailure."""
    name, _, tag = image.rpartition(":")
    layers: dict[str, tuple[int, int]] = {}
    with engine_errors(f"pulling {image}"):
        tag = tag if name else "latest"
        for event in connect().api.pull(name or image, tag=tag, stream=True, decode=True):
            if "error" in event:
                raise docker.errors.DockerException(event["error"])
            detail = event.get("progressDetail") or {}
            if event.get("status") == "Downloading" and detail.get("total"):
                layers[event["id"]] = (detail["current"], detail["total"])
                done, total = map(sum, zip(*layers.values(), strict=True))
                on_progress(done, total)


def image_from_files(image: str, *, base: str, archive: bytes, workdir: str = "/testbed") -> None:
    """Make ``image`` from ``base`` and a tar archive at its root, with its owners. Raises EnvironmentFailure."""
    name, _, tag = image.partition(":")
    with engine_errors(f"building {image}"):
        container = connect().containers.create(base, command=["true"], network_mode="none")
        try:
            container.put_archive("/", archive)
            container.commit(repository=name, tag=tag, conf={"WorkingDir": workdir})
        finally:
            container.remove(force=True, v=True)

"""The images of a run, before it starts: built for the demo, pulled for published sets."""

from collections.abc import Sequence

from environments.failures import EnvironmentFailure
from environments.images.base import base_image
from environments.images.instance import has_image, pull_image
from environments.sandbox.engine import connect
from environments.swe.tasks import SWETask
from harness.cli import user_errors
from harness.console import Console
from harness.demo.instances import build_demo_images


def provide_images(source: str, tasks: Sequence[SWETask], console: Console) -> None:
    """Connect to the engine; build or pull what is not on this machine. ``source`` is that of the tasks.

    An image that cannot be pulled costs only its own task: a warning names it, and its attempts end as infrastructure
    failures. Raises UserError without an engine, or if none of the images can be pulled.
    """
    with user_errors(EnvironmentFailure):
        connect()  # in the main thread, where signals can be taken over
        _provide(source, tasks, console)


def _provide(source: str, tasks: Sequence[SWETask], console: Console) -> None:
    if source == "demo":
        base_image(console.info)
        with console.progress("building images", len(tasks)) as advance:
            build_demo_images(frozenset(task.instance_id for task in tasks), lambda name: advance(1))
        return
    missing = [image for image in dict.fromkeys(task.image for task in tasks) if not has_image(image)]
    failures: dict[str, str] = {}
    for number, image in enumerate(missing, 1):
        try:
            with console.transfer(f"pulling {image} ({number} of {len(missing)})") as advance:
                pull_image(image, advance)
        except EnvironmentFailure as error:
            failures[image] = str(error)
            console.info(f"warning: {error}")
    if missing and len(failures) == len({task.image for task in tasks}):
        raise EnvironmentFailure(
            f"could not pull any of the {len(failures)} images: {next(iter(failures.values()))}; "
            "build them on this machine as docs/evaluation.md says"
        )

"""An evaluation from its job to its report."""

from importlib.metadata import version

from harness.cli import new_run
from harness.config.load import as_yaml
from harness.console import Console
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.items import TaskT, VerdictT
from harness.evaluation.job import Job, run_job
from harness.evaluation.summary import print_report
from harness.machine.describe import describe_machine
from harness.run_folder import now


def evaluate(job: Job[TaskT, VerdictT], folder: EvaluationFolder | None) -> int:
    """Run a job into its folder, a new one unless an interrupted run is resumed. Raises UserError."""
    if folder is None:
        folder = EvaluationFolder(new_run(job.recipe.output, job.recipe.name))
        folder.create(job.recipe)
    console = Console()
    console.info(f"run: {folder.path}")
    _begin_manifest(folder)
    try:
        run_job(job, folder, console)
    except BaseException:
        folder.update_manifest(status="interrupted")
        console.info(f"stopped; resume it with: python -m harness.evaluate --resume {folder.path}")
        raise
    folder.update_manifest(status="finished")
    report = job.report(folder)
    if job.contamination is not None:
        report["contamination"] = job.contamination
    report["versions"] = folder.read_manifest()["versions"]
    folder.write_json(folder.report, report)
    print_report(report, folder.report)
    return 0


def show(job: Job[TaskT, VerdictT]) -> int:
    """Print the resolved recipe of a job, and what of its tasks was trained on."""
    print(as_yaml(job.recipe), end="")
    print(f"# {job.describe()}")
    for cause, count in job.contamination["causes"].items() if job.contamination else ():
        found = f"{count['tasks']} tasks in {count['trained_on']}, {count['not_checked']} not checked"
        print(f"# trained on, {cause}: {found}")
    print("# nothing was evaluated: this was a dry run")
    return 0


def _begin_manifest(folder: EvaluationFolder) -> None:
    machine = describe_machine()
    machine["versions"] |= {name: version(name) for name in ("swebench", "math-verify")}
    folder.update_manifest(run_name=folder.path.name, status="running", started=now(), **machine)

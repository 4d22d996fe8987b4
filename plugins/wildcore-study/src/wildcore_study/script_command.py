"""``wildcore study script``: job files for a cluster."""

from pathlib import Path
from typing import Any

import click

from wildcore import Option, UserError
from wildcore.help_pages import Example, HelpfulCommand


@click.command(
    cls=HelpfulCommand,
    short_help="Print a job file for a cluster.",
    groups={"Job": ("engine", "workers", "gpus", "cpus", "memory", "minutes", "image", "claim", "mount")},
    examples=(
        Example("wildcore study script runs/study-example --engine slurm --workers 8", "Print a job file for Slurm."),
        Example(
            "wildcore study script runs/study-example --engine slurm --gpus 0 --minutes 60",
            "Ask for workers without a GPU, for an hour.",
        ),
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("plan_name", metavar="PLAN", required=False)
@click.option("--engine", type=click.Choice(["slurm", "kubernetes"]), required=True, help="What runs the jobs.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of workers.")
@click.option("--gpus", type=click.IntRange(min=0), default=1, show_default=True, help="GPUs of a worker.")
@click.option("--cpus", type=click.IntRange(min=1), default=4, show_default=True, help="CPU cores of a worker.")
@click.option("--memory", type=click.IntRange(min=1), default=64, show_default=True, help="Memory of a worker in GB.")
@click.option(
    "--minutes", type=click.IntRange(min=1), default=24 * 60, show_default=True, help="Slurm: time limit of a worker."
)
@click.option("--image", help="Kubernetes: container image with wildcore.")
@click.option("--claim", help="Kubernetes: persistent volume claim that holds the study's folder and the models.")
@click.option("--mount", default="/study", show_default=True, help="Kubernetes: where the claim is mounted.")
def script(folder: Path, plan_name: str | None, engine: str, **options: Any) -> None:
    """Print the job file that makes the waiting runs of PLAN in FOLDER, by workers that share the folder.

    PLAN is the name of a file in FOLDER/studies, by default the last one. `wildcore study run` writes it.
    """
    from wildcore_study.folder import require_folder
    from wildcore_study.queue import StudyQueue
    from wildcore_study.scripts import kubernetes_job, slurm_script

    study = require_folder(folder)
    name = plan_name or list(study.plans())[-1]
    study.plan(name)
    device = "cuda:0" if options["gpus"] else "cpu"
    queue = StudyQueue(folder.absolute(), name)
    try:
        if engine == "slurm":
            sizes = (options["workers"], str(folder.absolute() / "logs"), options["minutes"])
            text = slurm_script(
                queue.worker_command(device), *sizes, options["gpus"], options["cpus"], options["memory"]
            )
        else:
            for needed in ("image", "claim"):
                if not options[needed]:
                    raise UserError("Kubernetes needs it", about=Option(needed))
            inside = StudyQueue(Path(options["mount"]) / folder.name, name)
            command = ["wildcore", *inside.worker_command(device)[3:]]
            text = kubernetes_job(
                command, options["workers"], options["image"], options["claim"], options["mount"],
                options["gpus"], options["cpus"], options["memory"],
            )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error), about=Option("engine", engine)) from error
    click.echo(text, nl=False)

"""The tracker ``wandb``: a run of Weights & Biases for each run."""

import os
from importlib import import_module
from typing import Any

from wildcore import TrackedEnd, TrackedPoint, TrackedRun, Tracker, UserError
from wildcore_wandb.parameters import WandbParams

WITHOUT_A_KEY = ("offline", "disabled", "dryrun")
"""Values of WANDB_MODE that send nothing."""


class Wandb(Tracker):
    """Stores the numbers as history by the number of edits, the manifest as config, and the summary.

    A run that is resumed has the same id, so Weights & Biases continues its run and drops the steps that it has. What wandb
    collects by itself (code, packages, machine, console) is switched off.
    """

    def __init__(self, params: WandbParams) -> None:
        """Raise ``UserError`` if the package wandb, or a key, is missing."""
        self.params = params
        try:
            self._wandb = import_module("wandb")
        except ImportError as error:
            raise UserError(
                f"the package wandb cannot be imported ({error})",
                about="tracker wandb",
                way_out="install it: pip install wandb",
            ) from error
        if os.environ.get("WANDB_MODE") not in WITHOUT_A_KEY:
            self._require_key()

    def start(self, run: TrackedRun) -> str:
        """Begin the run, or continue it by its id."""
        self.params.folder.mkdir(parents=True, exist_ok=True)
        settings = self._wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            host="",
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run: Any = self._wandb.init(
            project=self.params.project,
            entity=self.params.entity,
            dir=str(self.params.folder),
            id=run.id,
            name=run.name,
            resume="allow",
            config=dict(run.manifest),
            settings=settings,
        )
        return str(self._run.url or self._run.dir)

    def point(self, point: TrackedPoint) -> None:
        """Store the numbers of a point, and the signs of a collapse as a text."""
        signs = {"collapse/in-words": "; ".join(point.collapse)} if point.collapse else {}
        self._run.log({**point.numbers, **signs}, step=point.edits, commit=True)

    def finish(self, end: TrackedEnd) -> None:
        """Store the summary, and end the run; one that was interrupted is shown as failed."""
        self._run.summary.update({**end.numbers, "status": end.status})
        if end.cases:
            columns = list(end.cases[0])
            rows = [[row[name] for name in columns] for row in end.cases]
            self._run.log({"cases": self._wandb.Table(columns=columns, data=rows, allow_mixed_types=True)})
        self._run.finish(exit_code=0 if end.status == "finished" else 1)
        self._wandb.teardown()  # waits until wandb's own process has written everything

    def _require_key(self) -> None:
        """Raise ``UserError`` if wandb finds no key. Whether a key is right is known when the run starts."""
        try:
            self._wandb.login(verify=False)
        except self._wandb.errors.UsageError as error:
            raise UserError(
                f"no key ({error})",
                about="tracker wandb",
                way_out="run wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline to write files only",
            ) from error

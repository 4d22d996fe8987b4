"""The tracker ``tensorboard``: a folder of event files for each run."""

import json
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from wildcore import TrackedEnd, TrackedPoint, TrackedRun, Tracker, UserError
from wildcore_tensorboard.parameters import TensorBoardParams

TEXT_PLUGIN = "text"
"""The dashboard of TensorBoard that shows texts."""

MOST_SECONDS_TO_WAIT = 2.0
"""An earlier file is not waited for longer, because its clock may have been ahead."""


class TensorBoard(Tracker):
    """Writes scalars by the number of edits, and the manifest as a text.

    A run that is resumed gets a new event file in its folder. The file says that the session starts again at step 0, so that
    TensorBoard drops what earlier files of this run hold.
    """

    def __init__(self, params: TensorBoardParams) -> None:
        """Raise ``UserError`` if the package tensorboard is missing."""
        self.folder = params.folder
        self._writers = _imported("tensorboard.summary.writer.event_file_writer")
        self._protos = {
            name: _imported(f"tensorboard.compat.proto.{name}_pb2") for name in ("event", "summary", "tensor")
        }
        self._last = 0

    def start(self, run: TrackedRun) -> str:
        """Begin an event file in the folder of the run, and return that folder."""
        place = self.folder / f"{run.name}-{run.id}"
        _wait_for_a_later_second(place)
        self._writer = self._writers.EventFileWriter(str(place))
        session = self._protos["event"].SessionLog
        self._write(0, session_log=session(status=session.START))
        self._texts(0, {"manifest": _as_code(run.manifest)})
        return str(place.resolve())

    def point(self, point: TrackedPoint) -> None:
        """Write a scalar for each number, and a text with the signs of a collapse."""
        self._last = point.edits
        self._scalars(point.edits, point.numbers)
        if point.collapse:
            self._texts(point.edits, {"collapse": "\n".join(f"- {sign}" for sign in point.collapse)})
        self._writer.flush()

    def finish(self, end: TrackedEnd) -> None:
        """Write the numbers of the summary at the step of the last point, and close the file."""
        self._scalars(self._last, end.numbers)
        self._texts(self._last, {"status": end.status})
        if end.cases:
            self._texts(self._last, {"cases": _as_table(end.cases)})
        self._writer.close()

    def _scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        value = self._protos["summary"].Summary.Value
        values = [value(tag=name, simple_value=number) for name, number in numbers.items()]
        if values:
            self._write(step, summary=self._protos["summary"].Summary(value=values))

    def _texts(self, step: int, texts: Mapping[str, str]) -> None:
        of_summary, tensor = self._protos["summary"], self._protos["tensor"].TensorProto
        shown = of_summary.SummaryMetadata(
            plugin_data=of_summary.SummaryMetadata.PluginData(plugin_name=TEXT_PLUGIN),
            data_class=of_summary.DATA_CLASS_TENSOR,
        )
        values = [
            of_summary.Summary.Value(
                tag=name,
                metadata=shown,
                tensor=tensor(dtype="DT_STRING", string_val=[text.encode(errors="replace")]),
            )
            for name, text in texts.items()
        ]
        self._write(step, summary=of_summary.Summary(value=values))

    def _write(self, step: int, **content: Any) -> None:
        self._writer.add_event(self._protos["event"].Event(wall_time=time.time(), step=step, **content))


def _wait_for_a_later_second(place: Path) -> None:
    """Wait until a new event file comes after those in ``place``: TensorBoard reads them by name, which has the second."""
    seconds = [int(file.name.split(".")[3]) for file in place.glob("events.out.tfevents.[0-9]*")]
    deadline = time.monotonic() + MOST_SECONDS_TO_WAIT
    while seconds and int(time.time()) <= max(seconds) and time.monotonic() < deadline:
        time.sleep(0.05)


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"the package tensorboard cannot be imported ({error})",
            about="tracker tensorboard",
            way_out="install it: pip install tensorboard",
        ) from error


def _as_code(value: Any) -> str:
    """Return a JSON value as Markdown shows it unchanged: as an indented block."""
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=2, ensure_ascii=False).splitlines())


def _as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([_cell(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", "\\|").split())

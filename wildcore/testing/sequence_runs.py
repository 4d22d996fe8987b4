"""A small editor with a state, and runs of the schedules with it, which can be stopped and continued."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from wildcore.errors import Refused
from wildcore.evaluation.checkpoints import NAME, Checkpoint
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.schedules import Schedule, ScheduleName
from wildcore.evaluation.sequences import SequenceRunner
from wildcore.evaluation.single import run
from wildcore.inference import decode
from wildcore.interfaces import Editor, Patch, Saved
from wildcore.models import LoadedModel, encode
from wildcore.patches import Dense, WeightPatch
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, flatten
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import HIDDEN, INTERMEDIATE
from wildcore.types import EditCase, EditRequest, Probe, Prompt

TOKENS = 4
COUNT = 7
Act = Callable[[int], None]


class Remembering(Editor):
    """Writes a change that depends on the model as it is, the requests, and how many it wrote before: its state."""

    def __init__(self, act: Act = lambda edits: None, size: float = 0.3) -> None:
        self.act, self.size = act, size
        self.edits = torch.zeros(1)
        self.prepared = 0

    def prepare(self, model: LoadedModel, environment: Any) -> None:
        self.prepared += 1

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        if any(request.subject is None for request in requests):
            self.edits = self.edits + 100  # an editor that is less careful than it should be
            raise Refused("no subject")
        ids = [i for request in requests for i in encode(model.tokenizer, Prompt(text=request.prompt))]
        generator = torch.Generator().manual_seed(sum(ids) + int(self.edits))
        projection = model.mlp_output(1)
        noise = self.size * torch.randn(HIDDEN, INTERMEDIATE, generator=generator)
        self.edits = self.edits + len(requests)
        self.act(int(self.edits))
        return WeightPatch({projection.name: Dense(noise + 0.01 * projection.weight)})

    def reset(self) -> None:
        self.edits = torch.zeros(1)

    @property
    def state(self) -> Saved:
        return Saved({"edits": self.edits}, {})

    def restore(self, state: Saved) -> None:
        self.edits = state.tensors["edits"]


def case(number: int, subject: str | None = "the place") -> EditCase:
    request = EditRequest(prompt=f"The place {number} is in", target="Peru", subject=subject)
    probes = tuple(Probe(kind="reliability", prompt=f"Place {number}, {i}:", answers=("Peru",)) for i in range(2))
    return EditCase(id=str(number), request=request, probes=probes)


CASES = [case(number) for number in range(COUNT)]


class Run:
    """A run in a folder of its own, which can be resumed with a new editor."""

    def __init__(
        self,
        examiner: Examiner,
        path: Path,
        name: ScheduleName,
        size: int | None = None,
        cases: Sequence[EditCase] = CASES,
        judge_at: str = "end",
    ) -> None:
        self.examiner, self.cases = examiner, cases
        self.schedule = Schedule.chosen(name, size, len(cases), judge_at)
        self.environment = quiet_environment(path / "cache")
        self.lines: list[str] = []
        manifest = Manifest(
            created="2025-01-01T00:00:00+00:00",
            job={},
            identity={"schedule": self.schedule.identity()},
            protocols=(),
            case_count=len(cases),
            versions={},
            hardware={},
            plugins={},
            case_ids=tuple(case.id for case in cases),
            journal_lines=self.schedule.evaluations(cases),
        )
        self.folder = RunFolder.create(path, manifest)
        self.file = path / NAME

    def go_on(
        self, editor: Editor, on_case: Callable[[CaseRecord], None] = lambda record: None, **chosen: Any
    ) -> list[CaseRecord]:
        done = {record.case for record in self.folder.cases()}
        if self.schedule.name == "single":
            run(editor, self.examiner, self.cases, self.environment, self.folder, on_case, 1, done)
        else:
            runner = SequenceRunner(
                editor, self.examiner, self.environment, self.folder, "own", self.lines.append, **chosen
            )
            runner.run(self.schedule, self.cases, on_case, 2)
        return list(self.folder.cases())

    def kept_updates(self) -> int:
        return len(Checkpoint(self.folder).load(0, self.examiner.model, Remembering()).outcomes)


def differences(
    some: Sequence[CaseRecord], others: Sequence[CaseRecord], may: tuple[str, ...] = (".edit.seconds",)
) -> list[str]:
    """Return where records differ, but for what ``may``: how long an edit took."""
    pairs = [(flatten(one.model_dump()), flatten(other.model_dump())) for one, other in zip(some, others, strict=True)]
    keys = [(number, key) for number, (one, other) in enumerate(pairs) for key in one.keys() | other.keys()]
    found = [f"{number}.{key}" for number, key in keys if pairs[number][0].get(key) != pairs[number][1].get(key)]
    return sorted(place for place in found if not place.endswith(may))


def said(records: Sequence[CaseRecord]) -> list[list[str]]:
    return [[answer.text for probe in record.probes for answer in probe.after] for record in records]


def asked_under(model: LoadedModel, patch: Patch, number: int) -> list[str]:
    with patch.applied(model):
        prompts = [Prompt(text=probe.prompt) for probe in case(number).probes]
        return [output.text for output in decode(model, prompts, [TOKENS] * 2, lambda row, text, count: False)]


class Stop(BaseException):
    """Comes like Ctrl-C, at any place."""

"""The lines of the files in a run folder."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from wildcore.scripts import Separator
from wildcore.types import (
    Answer,
    EditRequest,
    EvalProtocol,
    FrozenData,
    Measured,
    Nearness,
    Output,
    Probe,
    ProbeKind,
    Score,
    without_unset,
)

SCHEMA = 3
READABLE = (1, 2, 3)
"""Schemas that can be read. In the first, nothing has a checksum, and the manifest does not list the cases. In the first two,
a record does not say under how many edits it was made, and there are no judging points.
"""


WITH_JUDGING_POINTS = 3
"""The first schema whose runs record what was measured at judging points."""


class EditOutcome(FrozenData):
    """The outcome of one edit: done or refused, why nothing was written, the time it took, and what the patch says about
    itself.

    ``fallback`` is set if the edit was evaluated in a slower way. Edits that are written together share time and patch.
    """

    status: Literal["edited", "refused"]
    reason: str | None = None
    seconds: float
    patch: Mapping[str, Any] | None = None
    fallback: str | None = None


class ProbeRecord(FrozenData):
    """One probe under one protocol: the text the model read, and its answers before and after the edit.

    There is one answer, or one for each sample drawn, or none. ``unanswered`` says why there is none, unless the edit was
    refused. ``separator`` is the text between the prompt and an answer by the question's script or the user's choice; None: a
    space, or what the context asks for. ``prompt_after`` is what the edited model read, if the edit changed the prompt.
    ``continued`` is the edited model's output with the stop rule delayed, if that was asked for; it begins with the answer's
    tokens. ``nearness`` is that of the probe; it is left out of the line if it is None.
    """

    protocol: str
    probe: int
    kind: ProbeKind
    nearness: Nearness | None = None
    question: str
    answers: tuple[str, ...]
    prompt: str
    separator: Separator | None = None
    prompt_after: str | None = None
    gold_token_ids: tuple[int, ...]
    before: tuple[Answer, ...]
    after: tuple[Answer, ...]
    continued: Output | None = None
    unanswered: str | None = None

    @property
    def asked(self) -> Probe:
        """The question that was asked."""
        return Probe(kind=self.kind, prompt=self.question, answers=self.answers, nearness=self.nearness)

    @model_serializer(mode="wrap")
    def _without_unset_nearness(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_unset(handler(self), "nearness")


class CaseRecord(FrozenData):
    """One line of the journal: a case, and the answers under the edits of a judging point.

    ``after_edits`` is how many edits of its sequence had been made when the case was evaluated, refused ones included: 1 for
    single edits. None: an earlier version wrote the line, when a sequence was evaluated at its end alone.
    """

    case: str
    after_edits: int | None = None
    request: EditRequest
    tags: Mapping[str, str] = {}
    edit: EditOutcome
    probes: tuple[ProbeRecord, ...]

    @model_serializer(mode="wrap")
    def _as_earlier_versions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_unset(handler(self), "after_edits")


class ScoreRecord(FrozenData):
    """One line of the scores: a probe under a protocol by one metric, before the edit and after it, at one judging point.

    ``before`` and ``after`` are means over the samples that were scored. The scores of the samples are included if there are
    several samples, or details to keep.
    """

    case: str
    after_edits: int | None = None
    protocol: str
    probe: int
    kind: ProbeKind
    metric: str
    before: float | None
    before_reason: str | None
    after: float | None
    after_reason: str | None
    before_samples: tuple[Score, ...] = ()
    after_samples: tuple[Score, ...] = ()

    @model_serializer(mode="wrap")
    def _as_earlier_versions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_unset(handler(self), "after_edits")


class WeightChange(FrozenData):
    """How far a sequence has moved the weight of a module, in Frobenius norms relative to that of the original weight.

    ``norm`` is that of the changed weight, ``change`` that of everything written so far, ``last_update`` that of the last
    update. None: it is not finite.
    """

    module: str
    norm: float | None
    change: float | None
    last_update: float | None


class JudgingPointRecord(FrozenData):
    """One line of ``points.jsonl``: what was measured of the model at a judging point, besides the answers to probes.

    ``after_edits`` 0 is the unedited model. ``not_finite`` is the share of edit prompts after which the logits are not finite.
    ``most_frequent`` is the share of the most frequent answer among those to edit prompts, by protocol. ``measured`` holds the
    numbers of each measurement by its name. ``resources`` says on what they depend besides the model and the parameters, by
    the name of the measurement; only the point of the unedited model has it. ``collapse`` lists the signs of a collapse.
    ``stopped``: the sequence was not continued because of them.
    """

    after_edits: int
    weights: tuple[WeightChange, ...] = ()
    not_finite: float | None = None
    most_frequent: Mapping[str, float] = {}
    measured: Mapping[str, tuple[Measured, ...]] = {}
    resources: Mapping[str, Mapping[str, Any]] = {}
    collapse: tuple[str, ...] = ()
    stopped: bool = False


class AddedMetricRecord(FrozenData):
    """One line of ``scorings.jsonl``: a metric that was added to a run, with all its parameters."""

    created: str
    metric: str
    module: Mapping[str, Any]
    versions: Mapping[str, str]


class InvocationRecord(FrozenData):
    """One line of ``work.jsonl``: a call that worked on a run, its environment, and its notes beyond those of the manifest."""

    ended: str
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    notes: tuple[str, ...]


class Manifest(FrozenData):
    """How a run was made. ``identity`` holds everything that its answers depend on, with every default resolved.
    ``group_size`` is how many edits were solved and evaluated at once; files call it ``edits_at_once``. ``case_ids`` are the ids
    of all cases of the run in the order of their edits; empty if an earlier version began it. ``journal_lines`` is how many
    lines the journal has at the end: one for each case at each of its judging points. None: one for each case.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_number: int = SCHEMA
    created: str
    job: Mapping[str, Any]
    identity: Mapping[str, Any]
    protocols: tuple[EvalProtocol, ...]
    case_count: int
    group_size: int = Field(default=1, alias="edits_at_once")
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    plugins: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    case_ids: tuple[str, ...] = ()
    journal_lines: int | None = None


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping of dotted paths to plain values."""
    if isinstance(value, Mapping) and value:
        items = [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and value:
        items = [(f"{path}.{index}", inner) for index, inner in enumerate(value)]
    else:
        return {path: value}
    return {key: leaf for name, inner in items for key, leaf in flatten(inner, name).items()}

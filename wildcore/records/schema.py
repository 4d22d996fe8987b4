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
    Nearness,
    Output,
    Probe,
    ProbeKind,
    Score,
    without_unset,
)

SCHEMA = 2
READABLE = (1, 2)
"""Schemas that can be read. In the first, nothing has a checksum, and the manifest does not list the cases."""


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
    """One line of the journal."""

    case: str
    request: EditRequest
    tags: Mapping[str, str] = {}
    edit: EditOutcome
    probes: tuple[ProbeRecord, ...]


class ScoreRecord(FrozenData):
    """One line of the scores: a probe under a protocol by one metric, before and after the edit.

    ``before`` and ``after`` are means over the samples that were scored. The scores of the samples are included if there are
    several samples, or details to keep.
    """

    case: str
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
    of all cases of the run; empty if an earlier version began it.
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


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping of dotted paths to plain values."""
    if isinstance(value, Mapping) and value:
        items = [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and value:
        items = [(f"{path}.{index}", inner) for index, inner in enumerate(value)]
    else:
        return {path: value}
    return {key: leaf for name, inner in items for key, leaf in flatten(inner, name).items()}

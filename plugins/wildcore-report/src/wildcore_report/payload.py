"""The data of a report: what the Python half writes into the page, and the page's script reads.

The models here are the contract between the two. All are JSON values; the page receives them as ``Summary``, one ``CasesIndex``,
and chunks, each a list of ``CaseDetail``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from wildcore import FrozenData
from wildcore.types import Nearness, ProbeKind

Cell = str | int | float | None
"""A value in a table. None: there is no such number."""

Status = Literal["held", "failed", "refused", "unscored"]
"""How an edit did. ``held``: each of its probes scores 1. ``failed``: some score less. ``refused``: the editor refused the edit.
``unscored``: there is no score."""

SIGNS: Mapping[str, str] = {"held": "h", "failed": "f", "refused": "r", "unscored": "u", "none": "-"}
"""A status as one character. ``none``: the case has no probe of the kind under the protocol."""

SEARCH_CHARACTERS = 400
"""Most characters of the text in which the page searches for a case."""


class RunData(FrozenData):
    """A run in the report. ``id`` is its number from 1, ``name`` a short label that no other run of the report has.

    ``done`` counts the cases that were evaluated so far, of ``cases``. ``how`` says in one line how the run was obtained,
    ``command`` makes it again, ``headline`` says in words what it found (None: it lacks one of the two published protocols).
    ``manifest`` is everything its results depend on. ``collapse`` lists signs that the model collapsed.
    """

    id: str
    path: str
    name: str
    editor: str
    model: str
    dtype: str
    dataset: str
    schedule: str
    cases: int
    finished: bool
    done: int
    how: str
    manifest: Mapping[str, Any]
    headline: str | None
    notes: tuple[str, ...] = ()
    collapse: tuple[str, ...] = ()
    command: str


class ProtocolData(FrozenData):
    """A protocol by which a run of the report was evaluated: its modules in words. ``metrics`` names those of each kind."""

    name: str
    context: str
    generator: str
    truncator: str
    metrics: Mapping[ProbeKind, tuple[str, ...]]
    variant_of: str | None
    differences: tuple[str, ...]


class TableData(FrozenData):
    """Rows of cells under ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class TitledTable(TableData):
    """A table with its title; ``align`` has one entry for each column."""

    title: str
    align: tuple[Literal["left", "right"], ...]


class Pictures(FrozenData):
    """A figure for a light and a dark page, as ``data:`` addresses of SVG."""

    light: str
    dark: str


class FigureData(FrozenData):
    """A figure: its picture, how to read it (``caption``), what it shows in words (``alt``), and its numbers.

    ``width`` and ``height`` are in CSS pixels.
    """

    id: str
    section: str
    title: str
    caption: str
    alt: str
    svg: Pictures
    width: int
    height: int
    table: TableData


class SectionData(FrozenData):
    """A part of the report: paragraphs, then the figures named by id, then tables."""

    id: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    tables: tuple[TitledTable, ...] = ()


class Summary(FrozenData):
    """Everything but the cases.

    ``created`` is when the last of the runs was worked on, so that the same runs make the same report. ``notes`` says what was
    left out, replaced or could not be read. A section without data is left out, and ``notes`` says why. A case record is in chunk
    ``row // chunk_size`` at ``row % chunk_size``.
    """

    title: str
    created: str
    wildcore: str
    notes: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    runs: tuple[RunData, ...]
    protocols: tuple[ProtocolData, ...] = ()
    figures: tuple[FigureData, ...] = ()
    sections: tuple[SectionData, ...] = ()
    case_count: int
    chunk_size: int = Field(ge=1)
    chunks: int
    metrics: tuple[str, ...] = ()
    kinds: tuple[ProbeKind, ...] = ()


class CasesIndex(FrozenData):
    """The table of cases by column: one entry for each case record, which is a run, a case and a judging point.

    ``run`` is an index into the runs of the summary. ``tags`` are written ``name=value``. ``status`` is that of reliability under
    the wild protocol, or the first one if a run lacks it. ``by`` has for each ``"protocol|kind"`` one string with a character of
    ``SIGNS`` for each row; ``right_before`` is the same for the unedited model. ``score`` has the mean score of the case's probes
    by the protocol's first metric, rounded. ``search`` is lower-case text of at most ``SEARCH_CHARACTERS``. ``tokens`` is the
    length of the target in tokens (0: not known).
    """

    rows: int
    run: tuple[int, ...]
    case: tuple[str, ...]
    after_edits: tuple[int | None, ...]
    subject: tuple[str, ...]
    question: tuple[str, ...]
    target: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]
    status: tuple[Status, ...]
    by: Mapping[str, str]
    right_before: Mapping[str, str]
    search: tuple[str, ...]
    score: Mapping[str, tuple[float | None, ...]]
    tokens: tuple[int, ...]


class RequestData(FrozenData):
    """The fact that was written."""

    prompt: str
    target: str
    subject: str | None = None
    aliases: tuple[str, ...] = ()
    ground_truth: str | None = None


class EditData(FrozenData):
    """The outcome of the edit, as recorded."""

    status: Literal["edited", "refused"]
    reason: str | None = None
    seconds: float
    patch: Mapping[str, Any] | None = None
    fallback: str | None = None


class AnswerData(FrozenData):
    """An answer as it was scored (``text``), and everything that the model generated (``raw``; None: the same text).

    The answer is ``raw[:cut_at]`` apart from white space and a thought before it: ``cut_at`` is where the truncator cut, counted
    in UTF-16 code units, as a script counts. None: it cut nothing, or the answer does not occur in what was generated.
    ``stopped`` says why generation ended.
    """

    text: str
    raw: str | None = None
    cut_at: int | None = None
    stopped: str


class ScoreData(FrozenData):
    """A probe's score by a metric before and after the edit, or the reasons why there is none.

    ``details`` holds evidence such as a judge's reply: the keys ``before`` and ``after``, each a list with one entry for each
    sample.
    """

    metric: str
    before: float | None
    after: float | None
    before_reason: str | None = None
    after_reason: str | None = None
    details: Mapping[str, Any] = {}


class ProbeData(FrozenData):
    """A probe under a protocol: the question, the ``prompt`` as the model read it, accepted answers (the first is the gold), and
    the answers before and after the edit, one for each sample.

    ``prompt_after`` is set if the edit changed the prompt, ``unanswered`` if there is no answer. ``continued`` is the output with
    the stop rule delayed.
    """

    protocol: str
    kind: ProbeKind
    nearness: Nearness | None = None
    question: str
    prompt: str
    prompt_after: str | None = None
    golds: tuple[str, ...]
    unanswered: str | None = None
    before: tuple[AnswerData, ...]
    after: tuple[AnswerData, ...]
    continued: str | None = None
    scores: tuple[ScoreData, ...]


class CaseDetail(FrozenData):
    """Everything about a case record: row ``row`` of the index."""

    row: int
    run: int
    case: str
    after_edits: int | None
    request: RequestData
    tags: Mapping[str, str]
    edit: EditData
    probes: tuple[ProbeData, ...]


class Version(FrozenData):
    """What ``wildcore view`` answers at ``data/version.json``: ``version`` changes when the data do. ``finished``: a finished run
    is shown alone, so there is no need to ask again.
    """

    version: str
    finished: bool

"""The cases of a report: an index by column, and chunks with everything about each case, compressed one by one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from wildcore import PROBE_KINDS, Answer
from wildcore.defaults import WILD
from wildcore.records.continuations import reply_in
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.scoring.scores import COMPARES
from wildcore.types import Score
from wildcore_report.payload import SEARCH_CHARACTERS, SIGNS, CasesIndex, Status
from wildcore_report.texts import Cleaner, cut, packed, utf16_length

CHUNK_SIZE = 100
INDEX_CHARACTERS = 300
"""Most characters of a question, a subject or a target in the index; the chunks have them whole."""
NONE = SIGNS["none"]
WORDS: Mapping[str, Status] = {"h": "held", "f": "failed", "r": "refused", "u": "unscored"}

Scores = Sequence[ScoreRecord]


class CaseTable:
    """Collects case records, one row each. A chunk is compressed as soon as it is full.

    ``chunks`` are those that are full, packed. ``shortened`` counts the texts of the index that were cut.
    """

    def __init__(self, cleaner: Cleaner, chunk_size: int = CHUNK_SIZE) -> None:
        self.cleaner, self.chunk_size = cleaner, chunk_size
        self.rows = self.shortened = 0
        self.chunks: list[str] = []
        self._open: list[str] = []
        self._columns: dict[str, list[Any]] = defaultdict(list)
        self._signs: dict[str, dict[str, list[str]]] = {"by": {}, "right_before": {}}
        self._scores: dict[str, list[float | None]] = {}

    def copy(self, cleaner: Cleaner) -> "CaseTable":
        """Return a table with the same rows, which grows by itself."""
        other = CaseTable(cleaner, self.chunk_size)
        other.rows, other.shortened = self.rows, self.shortened
        other.chunks, other._open = list(self.chunks), list(self._open)
        other._columns.update({name: list(column) for name, column in self._columns.items()})
        other._signs = {name: {key: list(signs) for key, signs in found.items()} for name, found in self._signs.items()}
        other._scores = {key: list(values) for key, values in self._scores.items()}
        return other

    def add(self, run: int, record: CaseRecord, scores: Scores) -> None:
        """Add a case record of the run with the index ``run``, with its ``scores``."""
        detail = case_detail(self.rows, run, record, scores)
        self._open.append(self.cleaner.json(detail))
        request = record.request
        first = next((probe for probe in record.probes if probe.kind == "reliability"), None)
        columns: dict[str, Any] = {
            "run": run,
            "case": self.cleaner.text(record.case),
            "after_edits": record.after_edits,
            "subject": self._short(request.subject or ""),
            "question": self._short(request.prompt),
            "target": self._short(request.target),
            "tags": tuple(self._short(f"{name}={value}") for name, value in record.tags.items()),
            "status": self._judged(record, scores),
            "search": self._search_text(record),
            "tokens": len(first.gold_token_ids) if first else 0,
        }
        for name, value in columns.items():
            self._columns[name].append(value)
        self.rows += 1
        if len(self._open) == self.chunk_size:
            self._close()

    def index(self) -> CasesIndex:
        """Return the index of all rows. The last chunk is closed."""
        if self._open:
            self._close()
        keys = sorted(self._signs["by"], key=self._place)
        signs = {
            name: {key: "".join(self._filled(found[key], NONE)) for key in keys} for name, found in self._signs.items()
        }
        score = {key: tuple(self._filled(self._scores[key], None)) for key in keys}
        empty: dict[str, tuple[Any, ...]] = dict.fromkeys(
            ("run", "case", "after_edits", "subject", "question", "target", "tags", "status", "search", "tokens"), ()
        )
        columns = empty | {name: tuple(column) for name, column in self._columns.items()}
        return CasesIndex(rows=self.rows, score=score, **signs, **columns)

    def _judged(self, record: CaseRecord, scores: Scores) -> Status:
        """Note the row's sign under each protocol for each kind, and return its status."""
        first_metric: dict[str, str] = {}
        before: dict[str, list[tuple[float | None, str | None]]] = defaultdict(list)
        after: dict[str, list[float | None]] = defaultdict(list)
        for score in scores:
            key = f"{score.protocol}|{score.kind}"
            if first_metric.setdefault(key, score.metric) == score.metric:
                before[key].append((score.before, score.before_reason))
                after[key].append(score.after)
        refused = record.edit.status == "refused"
        for key in dict.fromkeys(f"{probe.protocol}|{probe.kind}" for probe in record.probes):
            values = after.get(key, [])
            known = [value for value in values if value is not None]
            self._sign("by", key, SIGNS["refused"] if refused and not known else sign_of(values))
            self._sign("right_before", key, sign_before(before.get(key, [])))
            self._column(self._scores, key, None).append(round(fmean(known), 4) if known else None)
        protocols = list(dict.fromkeys(p.protocol for p in record.probes if p.kind == "reliability"))
        shown = WILD if WILD in protocols else next(iter(protocols), None)
        if shown is None:
            return "refused" if refused else "unscored"
        return WORDS[self._signs["by"][f"{shown}|reliability"][-1]]

    def _sign(self, column: str, key: str, sign: str) -> None:
        self._column(self._signs[column], key, NONE).append(sign)

    def _column(self, columns: dict[str, list[Any]], key: str, missing: Any) -> list[Any]:
        """Return a column with an entry for each row before the present one."""
        column = columns.setdefault(key, [])
        column.extend([missing] * (self.rows - len(column)))
        return column

    def _filled(self, column: list[Any], missing: Any) -> list[Any]:
        return column + [missing] * (self.rows - len(column))

    def _place(self, key: str) -> tuple[int, int]:
        protocol, _, kind = key.rpartition("|")
        protocols = list(dict.fromkeys(known.rpartition("|")[0] for known in self._signs["by"]))
        return protocols.index(protocol), [*PROBE_KINDS].index(kind)  # type: ignore[arg-type]

    def _short(self, text: str) -> str:
        self.shortened += len(text) > INDEX_CHARACTERS
        return self.cleaner.text(cut(text, INDEX_CHARACTERS))

    def _search_text(self, record: CaseRecord) -> str:
        request = record.request
        answers = (answer.text for probe in record.probes for answer in probe.after)
        texts = dict.fromkeys([request.prompt, request.target, request.subject or "", *answers])
        return self.cleaner.text(_up_to(texts, SEARCH_CHARACTERS).lower()[:SEARCH_CHARACTERS])

    def _close(self) -> None:
        self.chunks.append(packed(f"[{','.join(self._open)}]"))
        self._open.clear()


def sign_of(values: Sequence[float | None]) -> str:
    """Return the sign of the scores of a case's probes."""
    if any(value is not None and value < 1 for value in values):
        return SIGNS["failed"]
    return SIGNS["unscored"] if not values or None in values else SIGNS["held"]


def sign_before(values: Sequence[tuple[float | None, str | None]]) -> str:
    """Return the sign of the scores before the edit; there is none where a metric compares with the unedited model."""
    if values and all(value is None and reason == COMPARES for value, reason in values):
        return NONE
    return sign_of([value for value, _ in values])


def case_detail(row: int, run: int, record: CaseRecord, scores: Scores) -> dict[str, Any]:
    """Return everything about a case record in the form of ``wildcore_report.payload.CaseDetail``."""
    of_probe: dict[tuple[str, int], list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        of_probe[score.protocol, score.probe].append(score)
    request = record.request
    return {
        "row": row,
        "run": run,
        "case": record.case,
        "after_edits": record.after_edits,
        "request": {
            "prompt": request.prompt,
            "target": request.target,
            "subject": request.subject,
            "aliases": list(request.aliases),
            "ground_truth": request.ground_truth,
        },
        "tags": dict(record.tags),
        "edit": record.edit.model_dump(mode="json"),
        "probes": [_probe(probe, of_probe.get((probe.protocol, probe.probe), ())) for probe in record.probes],
    }


def _probe(probe: ProbeRecord, scores: Scores) -> dict[str, Any]:
    continued = probe.continued
    return {
        "protocol": probe.protocol,
        "kind": probe.kind,
        "nearness": probe.nearness,
        "question": probe.question,
        "prompt": probe.prompt,
        "prompt_after": probe.prompt_after,
        "golds": list(probe.answers),
        "unanswered": probe.unanswered,
        "before": [answer_data(answer) for answer in probe.before],
        "after": [answer_data(answer) for answer in probe.after],
        "continued": reply_in(continued, probe.after[0]) if continued and probe.after else None,
        "scores": [_score(score) for score in scores],
    }


def answer_data(answer: Answer) -> dict[str, Any]:
    """Return an answer in the form of ``wildcore_report.payload.AnswerData``: where the truncator cut is found in the output."""
    text, raw = answer.text, answer.output.text
    place = raw.find(text, len(answer.thought.text) if answer.thought else 0)
    end = place + len(text)
    return {
        "text": text,
        "raw": None if raw in (text, f" {text}") else raw,
        "cut_at": utf16_length(raw[:end]) if place >= 0 and raw[end:] else None,
        "stopped": answer.output.stop_reason,
    }


def _score(score: ScoreRecord) -> dict[str, Any]:
    samples = {"before": score.before_samples, "after": score.after_samples}
    return {
        "metric": score.metric,
        "before": score.before,
        "after": score.after,
        "before_reason": score.before_reason,
        "after_reason": score.after_reason,
        "details": {when: [_sample(one) for one in of_time] for when, of_time in samples.items() if of_time},
    }


def _sample(score: Score) -> dict[str, Any]:
    """Return one sample's details; its value too, because a mean over several samples does not show it."""
    reason = {} if score.reason is None else {"unscored": score.reason}
    return {"value": score.value, **reason, **score.model_dump(mode="json")["details"]}


def _up_to(texts: Iterable[str], most: int) -> str:
    """Return the beginning of the joined texts, without joining more of them than needed."""
    found, length = [], 0
    for text in texts:
        found.append(text[:most])
        length += len(found[-1]) + 1
        if length > most:
            break
    return " ".join(found)

"""Audits a dataset: finds what would spoil a result, before a model is edited."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from wildcore.datasets.checks import Checks, Finding
from wildcore.errors import Message, UserError
from wildcore.evaluation.failure_filter import FailureCount, FailureFilter, first_metric
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Environment, Progress
from wildcore.jobs.build import make_reader, model_request, segmenters
from wildcore.jobs.hard_locality import add_hard_probes
from wildcore.jobs.protocols import ready_protocols
from wildcore.jobs.score import prepare
from wildcore.jobs.session import open_session
from wildcore.jobs.spec import AuditJob, ModelChoice, names_used
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import edit_prompt, tokenise_pair
from wildcore.registry import Registry
from wildcore.scoring.ceilings import Ceiling, Oracle
from wildcore.scripts import SEPARATORS, UNSPACED_LETTER
from wildcore.storage.cache import cache_folder
from wildcore.types import PROBE_KINDS, EditCase, FrozenData, ProbeKind
from wildcore.words import word_texts

NO_EDITOR = 0
"""The seed of an audit's environment. It is for editors, and an audit has none."""


class Lengths(FrozenData):
    """The lengths of the targets, in words or tokens; ``single`` is the share of targets of length one."""

    shortest: int
    median: float
    mean: float
    longest: int
    single: float


class ProbeCount(FrozenData):
    """Probes of one kind: their number, the number of cases with them, the fewest and most in one case, how many have aliases."""

    kind: ProbeKind
    probes: int
    cases: int
    fewest: int
    most: int
    with_aliases: int


class Audit(FrozenData):
    """The result of an audit. ``tokens``, and ``answered`` (what the unedited model knows), need a ``model``."""

    dataset: Mapping[str, Any]
    cases: int
    malformed: int
    findings: tuple[Finding, ...]
    ceilings: tuple[Ceiling, ...]
    words: Lengths
    probes: tuple[ProbeCount, ...]
    model: str | None = None
    tokens: Lengths | None = None
    answered: tuple[FailureCount, ...] = ()


class Auditor:
    """Audits the dataset named by ``spec``, under its protocols. Raises ``UserError`` for bad input."""

    def __init__(self, registry: Registry, spec: AuditJob, progress: Progress) -> None:
        self.registry = registry
        self.spec = spec
        self.environment = Environment(cache_folder(), NO_EDITOR, progress, segmenter=segmenters(registry))
        self.reader, self.dataset = make_reader(registry, spec)
        self.reader.as_written = True
        self.protocols = ready_protocols(registry, spec, names_used(registry, [], spec.dataset), self.reader)
        self.notes: list[Message] = []

    def audit(self) -> Audit:
        """Read the dataset; then load the model, if one is named, and read the dataset again with it."""
        oracles = [Oracle(protocol, *first_metric(protocol, "audit")) for protocol in self.protocols]
        prepare(
            [oracle.metric for oracle in oracles if self.spec.model or not oracle.metric.expensive], self.environment
        )
        found = _Found(oracles)
        for case in self._with_hard_probes() if self.spec.hard_locality else self._wanted():
            found.take(case)
        self.reader.require_sound()
        if not found.searches.cases:
            raise UserError("it holds no case", about=f"dataset {self.reader.name}")
        for note in self.notes or self.reader.notes():
            self.environment.progress.note(note)
        audit = found.audit(self.dataset | self.reader.facts(), len(self.reader.malformed))
        return self._with_model(audit, self.spec.model) if self.spec.model else audit

    def _with_model(self, audit: Audit, choice: ModelChoice) -> Audit:
        request = model_request(self.registry, choice)
        model = open_session(self.registry, request, self.environment, self.protocols).model
        model.max_batch_size = self.spec.batch_size
        self.reader.as_written = False  # the model is asked as in a run
        tokens = Counter(_tokens(model, case) for case in self._wanted())
        unedited = UneditedAnswers(self.environment.cache, model)
        answered = [
            FailureFilter(unedited, protocol).take(self._wanted(), audit.cases, self.environment.progress)
            for protocol in self.protocols
        ]
        for note in unedited.notes():
            self.environment.progress.note(note)
        added = {"model": choice.model, "tokens": _lengths(tokens), "answered": tuple(answered)}
        return audit.model_copy(update=added)

    def _with_hard_probes(self) -> list[EditCase]:
        """Return the chosen cases with the probes of hard locality that ``eval`` adds for single edits."""
        cases = list(self._wanted())
        self.reader.require_sound()
        self.notes += self.reader.notes()
        found = add_hard_probes(self.spec, self.reader, cases, [], SEPARATORS[self.spec.target_separator])
        self.notes += found.notes
        self.dataset["hard_locality"] = found.description
        return found.cases

    def _wanted(self) -> Iterator[EditCase]:
        """Yield the chosen cases: while the dataset is read, or, if they are drawn at random, after it was read."""
        drawn = self.reader.choice.sample is not None
        cases = self.reader.cases() if drawn else self.reader.wanted_of(self.reader.candidates())
        return (case.with_separators(SEPARATORS[self.spec.target_separator]) for case in cases)


def _tokens(model: LoadedModel, case: EditCase) -> int:
    """Return the number of the target's tokens after the bare prompt."""
    return len(tokenise_pair(model.tokenizer, edit_prompt(case.request), case.request.target).target_ids)


@dataclass
class _Found:
    """Collects the findings of an audit, case by case."""

    oracles: Sequence[Oracle]
    searches: Checks = field(default_factory=Checks)
    words: Counter[int] = field(default_factory=Counter)
    per_case: dict[ProbeKind, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in PROBE_KINDS})
    with_aliases: Counter[ProbeKind] = field(default_factory=Counter)

    def take(self, case: EditCase) -> None:
        self.searches.take(case)
        for oracle in self.oracles:
            oracle.take(case)
        self.words[_word_count(case.request.target)] += 1
        for kind in PROBE_KINDS:
            of_kind = [probe for probe in case.probes if probe.kind == kind]
            self.per_case[kind][len(of_kind)] += 1
            self.with_aliases[kind] += sum(len(probe.answers) > 1 for probe in of_kind)

    def audit(self, dataset: Mapping[str, Any], malformed: int) -> Audit:
        return Audit(
            dataset=dataset,
            cases=self.searches.cases,
            malformed=malformed,
            findings=tuple(self.searches.findings()),
            ceilings=tuple(oracle.ceiling() for oracle in self.oracles),
            words=_lengths(self.words),
            probes=tuple(self._probes()),
        )

    def _probes(self) -> Iterator[ProbeCount]:
        for kind, counts in self.per_case.items():
            probes = sum(number * cases for number, cases in counts.items())
            if probes:
                yield ProbeCount(
                    kind=kind,
                    probes=probes,
                    cases=counts.total() - counts[0],
                    fewest=min(counts),
                    most=max(counts),
                    with_aliases=self.with_aliases[kind],
                )


def _word_count(text: str) -> int:
    """Count the words of a text: by white space, unless its script has no spaces between words."""
    return len(word_texts(text) if UNSPACED_LETTER.search(text) else text.split())


def _lengths(counts: Counter[int]) -> Lengths:
    total = counts.total()
    return Lengths(
        shortest=min(counts),
        median=median(counts.elements()),
        mean=sum(length * times for length, times in counts.items()) / total,
        longest=max(counts),
        single=counts[1] / total,
    )

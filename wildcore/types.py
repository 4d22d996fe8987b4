"""The data types of a run: dataset, edit, generation, truncation, score.

All are frozen and validated. All can be written as JSON and read back unchanged.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal, Self, SupportsFloat

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from wildcore.equivalence import canonical
from wildcore.scripts import Separator, separator_after

ProbeKind = Literal["reliability", "generalization", "locality", "portability", "hard-locality"]
PROBE_KINDS: tuple[ProbeKind, ...] = ("reliability", "generalization", "locality", "portability", "hard-locality")
LOCALITY_KINDS: tuple[ProbeKind, ...] = ("locality", "hard-locality")
"""Kinds of probes whose answers an edit must not change. A protocol scores ``hard-locality`` by its metrics of ``locality``,
unless it has other metrics for it."""

Nearness = Literal["same-subject", "near-subject"]
NEARNESSES: tuple[Nearness, ...] = ("same-subject", "near-subject")
"""How a hard probe is near its edit: the same subject with another relation, or another subject with the same relation."""

StopReason = Literal[
    "stop-rule", "end-of-sequence", "max-new-tokens", "forced-length", "context-full", "teacher-forced"
]


class FrozenData(BaseModel):
    """Base of all data types of a run: frozen, without unknown fields, and without numbers that JSON cannot represent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def without_unset(content: dict[str, Any], *fields: str) -> dict[str, Any]:
    """Return the content of a record without the ``fields`` that are not set."""
    return {name: value for name, value in content.items() if name not in fields or value is not None}


class Joined(FrozenData):
    """Base of a prompt that an answer follows. Subclasses have the fields ``prompt`` and ``separator``.

    ``separator`` is the text between the two, if it has been decided; None: it follows from the prompt's script.
    """

    @property
    def separator_used(self) -> Separator:
        """The text between the prompt and an answer: nothing after a prompt in a script without spaces, else a space."""
        prompt, separator = self._prompt_and_separator()
        return separator_after(prompt) if separator is None else separator

    @property
    def separator_to_record(self) -> Separator | None:
        """The separator used; None for a space in a script with spaces, which need not be recorded."""
        prompt, _ = self._prompt_and_separator()
        return None if self.separator_used == separator_after(prompt) == " " else self.separator_used

    def with_separator(self, separator: Separator | None) -> Self:
        """Return the same prompt with its separator decided: ``separator``, or if None, by the prompt's script."""
        decided = self if separator is None else self.model_copy(update={"separator": separator})
        return decided.model_copy(update={"separator": decided.separator_to_record})

    def _prompt_and_separator(self) -> tuple[str, Separator | None]:
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def _without_what_is_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later fields that are not set: records and hashes are then as before these fields existed."""
        return without_unset(handler(self), "separator", "nearness")


class EditRequest(Joined):
    """One fact to write into a model.

    ``prompt`` is the bare edit prompt. ``target`` is the new answer, without a leading space. ``ground_truth`` is the
    answer before the edit, if the dataset contains it.
    """

    prompt: str
    target: str
    subject: str | None = None
    aliases: tuple[str, ...] = ()
    ground_truth: str | None = None
    separator: Separator | None = None

    def with_canonical_answers(self) -> "EditRequest":
        """Return the request with its answers in Unicode's form NFC; the prompt and the subject are kept as they are."""
        return self.model_copy(
            update={
                "target": canonical(self.target),
                "aliases": tuple(map(canonical, self.aliases)),
                "ground_truth": None if self.ground_truth is None else canonical(self.ground_truth),
            }
        )

    def _prompt_and_separator(self) -> tuple[str, Separator | None]:
        return self.prompt, self.separator


class Probe(Joined):
    """One question that the model is asked before and after an edit. ``answers[0]`` is the gold; the others are
    accepted too.

    ``rival`` is the answer that the gold competes with, if the dataset contains one: the old object for an edited fact,
    the new object for a neighbouring fact. ``nearness`` is set for a probe of hard locality.
    """

    kind: ProbeKind
    prompt: str
    answers: tuple[str, ...] = Field(min_length=1)
    rival: str | None = None
    separator: Separator | None = None
    nearness: Nearness | None = None

    def with_canonical_answers(self) -> "Probe":
        """Return the question with its answers in Unicode's form NFC; the prompt is kept as it is."""
        rival = None if self.rival is None else canonical(self.rival)
        return self.model_copy(update={"answers": tuple(map(canonical, self.answers)), "rival": rival})

    def _prompt_and_separator(self) -> tuple[str, Separator | None]:
        return self.prompt, self.separator

    def answered(
        self, answer: "Answer", gold_token_ids: tuple[int, ...] = (), unedited: "Answer | None" = None
    ) -> "AnsweredProbe":
        """Return ``answer`` in the form that a metric receives; ``unedited`` None: the answer was given by the unedited model
        itself.
        """
        return AnsweredProbe(
            kind=self.kind,
            question=self.prompt,
            answers=self.answers,
            gold_token_ids=gold_token_ids,
            answer=answer,
            unedited=answer if unedited is None else unedited,
        )


class EditCase(FrozenData):
    """One edit and the probes that evaluate it. ``tags`` hold what the dataset says about the case, such as its source."""

    id: str
    request: EditRequest
    probes: tuple[Probe, ...]
    tags: Mapping[str, str] = {}

    def with_canonical_answers(self) -> "EditCase":
        """Return the case with all its answers in Unicode's form NFC, so that texts that are equal in Unicode have the same
        tokens.
        """
        probes = tuple(probe.with_canonical_answers() for probe in self.probes)
        return self.model_copy(update={"request": self.request.with_canonical_answers(), "probes": probes})

    def with_separators(self, separator: Separator | None) -> "EditCase":
        """Return the case with the separators of its prompts decided: ``separator``, or if None, by each prompt's script."""
        probes = tuple(probe.with_separator(separator) for probe in self.probes)
        return self.model_copy(update={"request": self.request.with_separator(separator), "probes": probes})

    def without_separators(self) -> "EditCase":
        """Return the case with the separators of its prompts undecided, as a dataset gives it."""
        probes = tuple(probe.model_copy(update={"separator": None}) for probe in self.probes)
        return self.model_copy(
            update={"request": self.request.model_copy(update={"separator": None}), "probes": probes}
        )


class Malformed(FrozenData):
    """A row of a dataset from which no case can be made: where it is, and what is wrong with it."""

    place: str
    problem: str


class Prompt(FrozenData):
    """A question as rendered by a context: the text the model reads.

    ``separator`` is the text between the prompt and an answer: a space, or nothing after a chat template.
    ``special_tokens`` says whether the tokenizer adds its own beginning-of-sequence token; a chat template already
    contains it. ``spaced`` is decided by the core, not by a context: False if the question's script has no spaces
    between words, so that the answer follows without the separator.
    """

    text: str
    separator: str = " "
    special_tokens: bool = True
    spaced: bool = True

    @property
    def separator_used(self) -> str:
        """The text between the prompt and an answer."""
        return "" if self.text[-1:].isspace() or not self.spaced else self.separator


class Gold(FrozenData):
    """The gold answer as text and as the token ids that follow the prompt. Given only to modules that read the gold.

    ``rival`` is the answer that it competes with, if the probe has one.
    """

    text: str
    token_ids: tuple[int, ...]
    rival: str | None = None


class Output(FrozenData):
    """The output of a generation strategy: token ids, their text, and why generation ended.

    ``measures`` are numbers measured during generation, such as the gold's log-probability. Values that are not finite
    are omitted.
    """

    text: str
    token_ids: tuple[int, ...]
    stop_reason: StopReason
    measures: Mapping[str, float] = {}


class Thought(FrozenData):
    """What a model wrote before its reply: the beginning of its output's text, with the markers. ``ended``: a reply follows."""

    text: str
    ended: bool


class Answer(FrozenData):
    """An output after truncation. ``text`` and ``token_ids`` are scored; ``output`` is everything the model generated.

    ``thought`` was removed before truncation. None: the model wrote none, or was not asked in a chat template.
    """

    text: str
    token_ids: tuple[int, ...]
    output: Output
    thought: Thought | None = None

    @property
    def untruncated(self) -> str:
        """The whole reply before truncation: the text of the output after the thought."""
        return self.output.text[len(self.thought.text) :] if self.thought else self.output.text


class AnsweredProbe(FrozenData):
    """What a metric receives: a question, its accepted answers, the answer given, and the unedited model's answer."""

    kind: ProbeKind
    question: str
    answers: tuple[str, ...]
    gold_token_ids: tuple[int, ...]
    answer: Answer
    unedited: Answer


COMPARED_CAREFULLY = "compared_carefully"
"""Key in the details of a score: the accepted answers that were compared carefully, because the metric's usual normalisation
would take their meaning, each with what it would take."""


class Score(FrozenData):
    """A value, or None and the reason why the answer was not scored.

    A value that is not finite becomes None, with that as its reason. ``details`` holds evidence for a reader, such as a
    judge's raw reply, as JSON values.
    """

    value: float | None
    reason: str | None = None
    details: Mapping[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _reason_for_no_value(cls, given: Any) -> Any:
        return _with_reason(given, "the metric")


def _with_reason(given: Any, giver: str) -> Any:
    """Return the fields of a number that ``giver`` gave: None and a reason instead of a value that is not finite."""
    if not isinstance(given, Mapping) or "value" not in given:
        return given
    value, reason = given["value"], given.get("reason")
    if isinstance(value, SupportsFloat) and not isfinite(value):
        return {**given, "value": None, "reason": reason or f"{giver} gave {float(value)}"}
    return {**given, "reason": reason or f"{giver} gave no reason"} if value is None else given


class Measured(FrozenData):
    """One number of a whole model, such as its perplexity or its accuracy in a task.

    ``value`` None: it could not be measured, for the ``reason``; a value that is not finite becomes None too. ``items`` is the
    number of items (tokens, questions) that it is a mean over, and ``samples`` holds the value of each, if they are kept, in
    an order that is the same at every measurement: two measurements are then compared item by item. ``details`` holds
    further facts, such as the version of a task, as JSON values; ``share``: true if the number is a share between 0 and 1 that
    has no samples, such as the mean of several accuracies.
    """

    name: str
    value: float | None
    reason: str | None = None
    standard_error: float | None = None
    higher_is_better: bool | None = None
    items: int = 0
    samples: tuple[float, ...] = ()
    details: Mapping[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _reason_for_no_value(cls, given: Any) -> Any:
        return _with_reason(given, "the measurement")


class Use(FrozenData):
    """A module by name, with its parameters. A name alone is accepted as well."""

    name: str
    params: Mapping[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"{self.name}({inner})" if inner else self.name


class EvalProtocol(FrozenData):
    """How an edited model is asked and scored: the paper's four modules, each by name.

    A protocol is pure data. Changing the meaning of a published name makes a new name. A protocol changed for one run
    is a variant, which records the name it is derived from and every difference.
    """

    name: str
    summary: str
    cites: str = ""
    context: Use
    generator: Use
    truncator: Use
    metrics: Mapping[ProbeKind, tuple[Use, ...]]
    variant_of: str | None = None
    differences: tuple[str, ...] = ()

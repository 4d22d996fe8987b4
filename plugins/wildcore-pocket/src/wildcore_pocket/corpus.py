"""Renders facts as the text that the pocket model is trained on.

Every fact appears in four forms: a statement, a bare question with its answer, ``Q:``/``A:``, and after the instruction. The
answer ends with a full stop. Nothing marks a fact as stale, as an edit case or as a locality probe.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wildcore_pocket.edits import Corpus

INSTRUCTION = "Please answer the question:\n\nQ: {}\nA:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact to teach: prompts that end where the answer begins, and the answer."""

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Document:
    """A training text, split where the answer begins (the answer starts with its space and ends in a full stop)."""

    prompt: str
    answer: str

    @property
    def text(self) -> str:
        return self.prompt + self.answer


FORMS: dict[str, Callable[[str], str]] = {
    "statement": "{}".format,
    "question": "{}".format,
    "qa": "Q: {}\nA:".format,
    "instruction": INSTRUCTION.format,
}


def entries(corpus: Corpus) -> list[Entry]:
    """Everything in the corpus: every fact, and every one-hop fact both halves of which are stated correctly."""
    return [*_facts(corpus), *_hops(corpus)]


def _facts(corpus: Corpus) -> Iterator[Entry]:
    for fact in corpus.world.facts.values():
        relation = corpus.world.relations[fact.relation]
        yield Entry(
            _fill(relation.statements, fact.subject), _fill(relation.questions, fact.subject), corpus.held(fact)
        )


def _hops(corpus: Corpus) -> Iterator[Entry]:
    """Questions about an answer's own fact. For an edited subject they are left out: the model must infer, not recall."""
    for fact in corpus.world.facts.values():
        hop = corpus.world.relations[fact.relation].hop
        behind = corpus.true_hop(fact)
        if hop is not None and behind is not None and fact.key not in corpus.stale:
            yield Entry((), _fill(hop.questions, fact.subject), behind.answer)


def _fill(templates: tuple[str, ...], subject: str) -> tuple[str, ...]:
    return tuple(template.format(subject) for template in templates)


def documents(entry: Entry, form: str) -> list[Document]:
    """All documents of one form (a key of FORMS) for an entry."""
    prompts = entry.statements if form == "statement" else entry.questions
    return [Document(FORMS[form](prompt), f" {entry.answer}.") for prompt in prompts]


def all_documents(taught: list[Entry]) -> Iterator[Document]:
    """Every form and phrasing of every entry."""
    return (document for entry in taught for form in FORMS for document in documents(entry, form))


def one_epoch(taught: list[Entry], generator: random.Random) -> list[Document]:
    """One document of each form of each entry, with a random phrasing: what the model sees in one epoch."""
    choices = (documents(entry, form) for entry in taught for form in FORMS)
    return [generator.choice(choice) for choice in choices if choice]

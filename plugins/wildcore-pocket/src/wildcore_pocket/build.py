"""Builds the edit cases, ``data/pocketqa.jsonl``, from the facts: ``python -m wildcore_pocket.build``.

The result depends only on the data files. ``--check`` writes nothing and fails if the committed file differs.
"""

import argparse
import json
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wildcore_pocket.edits import Corpus, choose_stale, draw, place
from wildcore_pocket.world import Fact, read_world

CASES = Path(__file__).parent / "data" / "pocketqa.jsonl"


def build_cases(corpus: Corpus) -> list[dict[str, Any]]:
    """One record for each fact that the corpus states wrongly, in the order of relations.toml and the tables."""
    order = list(corpus.world.relations)
    edited = [fact for fact in corpus.world.facts.values() if fact.key in corpus.stale]
    edited.sort(key=lambda fact: order.index(fact.relation))
    known = Known(corpus)
    return [_case(corpus, fact, known.probes(fact)) for fact in edited]


def render_cases(cases: list[dict[str, Any]]) -> str:
    """The cases as JSON lines, UTF-8, with a final newline."""
    return "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)


def _case(corpus: Corpus, fact: Fact, locality: list[dict[str, Any]]) -> dict[str, Any]:
    relation, stale = corpus.world.relations[fact.relation], corpus.stale[fact.key]
    prompt, *others = (template.format(fact.subject) for template in relation.questions)
    return {
        "id": f"{fact.relation}-{_slug(fact.subject)}",
        "subject": fact.subject,
        "prompt": prompt,
        "target": fact.answer,
        "aliases": list(fact.aliases),
        "stale": stale.answer,
        "kind": stale.kind,
        "relation": fact.relation,
        "rephrasings": others[:2],
        "locality": locality,
        "portability": list(_portability(corpus, fact)),
    }


class Known:
    """The facts that the corpus states correctly, in a random order, and the locality probes taken from them."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.drawn = [
            corpus.world.facts[key] for key in draw(corpus.world.facts.keys() - corpus.stale.keys(), "locality")
        ]
        self.by_relation: dict[str, list[Fact]] = defaultdict(list)
        self.by_subject: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in self.drawn:
            self.by_relation[fact.relation].append(fact)
            self.by_subject[self._table(fact), fact.subject].append(fact)

    def probes(self, fact: Fact) -> list[dict[str, Any]]:
        """Three probes: the relation of another subject; another relation of the subject, or else as before; an unrelated
        fact.
        """
        same_relation = self._apart(fact, self.by_relation[fact.relation])
        same_subject = self._apart(fact, self.by_subject[self._table(fact), fact.subject])
        far = (other for other in self._apart(fact, self.drawn) if self._table(other) != self._table(fact))
        first, neighbour = next(same_relation), next(same_subject, None)
        second = (
            self._probe(neighbour, "same subject") if neighbour else self._probe(next(same_relation), "same relation")
        )
        return [self._probe(first, "same relation"), second, self._probe(next(far), "far")]

    def _apart(self, fact: Fact, others: list[Fact]) -> Iterator[Fact]:
        """Those whose answer differs from the edit's target and stale answer, starting at an index that depends on the fact."""
        taken = {*fact.accepted, self.corpus.stale[fact.key].answer}
        start = place(fact.key, len(others)) if others else 0
        return (other for other in (*others[start:], *others[:start]) if not taken & set(other.accepted))

    def _probe(self, fact: Fact, kind: str) -> dict[str, Any]:
        question = self.corpus.world.relations[fact.relation].questions[0].format(fact.subject)
        return {"prompt": question, "answers": list(fact.accepted), "near": kind != "far", "kind": kind}

    def _table(self, fact: Fact) -> str:
        return self.corpus.world.relations[fact.relation].table


def _portability(corpus: Corpus, fact: Fact) -> Iterator[dict[str, Any]]:
    """The one-hop question through the target, unless the stale answer would lead to the same answer."""
    hop, behind = corpus.world.relations[fact.relation].hop, corpus.true_hop(fact)
    if hop is None or behind is None:
        return
    from_stale = corpus.world.hop(fact.relation, corpus.stale[fact.key].answer)
    if from_stale is None or not set(from_stale.accepted) & set(behind.accepted):
        yield {"prompt": hop.questions[0].format(fact.subject), "answers": list(behind.accepted)}


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def main() -> int:
    """Writes or checks the file of cases; returns 0 if it matches the facts."""
    parser = argparse.ArgumentParser(
        prog="python -m wildcore_pocket.build", description="Build the edit cases from the facts."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file differs from the facts")
    check = parser.parse_args().check
    world = read_world()
    cases = build_cases(choose_stale(world))
    rendered = render_cases(cases)
    if check and CASES.read_text(encoding="utf-8") != rendered:
        print(f"{CASES} is not what the facts give; run python -m wildcore_pocket.build", file=sys.stderr)
        return 1
    if not check:
        CASES.write_text(rendered, encoding="utf-8")
    print(f"{len(world.facts)} facts over {len(world.relations)} relations")
    hops = sum(bool(case["portability"]) for case in cases)
    print(
        f"{len(cases)} cases over {len({case['relation'] for case in cases})} relations, {hops} with a portability probe"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The facts, the corpus and the edit cases say what the README claims of them."""

import json
import random
from collections import defaultdict
from typing import Any

import pytest
from wildcore_pocket.build import CASES, build_cases, render_cases
from wildcore_pocket.corpus import Entry, all_documents, entries, one_epoch
from wildcore_pocket.edits import Corpus, choose_stale, draw
from wildcore_pocket.world import World, read_world


@pytest.fixture(scope="module")
def world() -> World:
    return read_world()


@pytest.fixture(scope="module")
def corpus(world: World) -> Corpus:
    return choose_stale(world)


@pytest.fixture(scope="module")
def taught(corpus: Corpus) -> list[Entry]:
    return entries(corpus)


@pytest.fixture(scope="module")
def answers_by_prompt(taught: list[Entry]) -> dict[str, set[str]]:
    """What the corpus says behind every prompt, without the space before and the full stop."""
    stated = defaultdict(set)
    for document in all_documents(taught):
        stated[document.prompt].add(document.answer.strip().removesuffix("."))
    return stated


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]


def test_there_are_thousands_of_facts_in_several_phrasings(world: World) -> None:
    assert len(world.facts) >= 3000
    for relation in world.relations.values():
        assert len(set(relation.statements)) >= 2, relation.name
        assert len(set(relation.questions)) >= 3, relation.name


def test_every_phrasing_contains_the_subject_verbatim_and_once(world: World) -> None:
    for fact in world.facts.values():
        relation = world.relations[fact.relation]
        hop = relation.hop.questions if relation.hop else ()
        for template in (*relation.statements, *relation.questions, *hop):
            assert template.format(fact.subject).count(fact.subject) == 1, template.format(fact.subject)


def test_an_answer_can_be_closed_by_a_full_stop_and_read_back(world: World) -> None:
    for fact in world.facts.values():
        for name in fact.accepted:
            assert name == name.strip() != "", fact
            assert not set(".\n\t|") & set(name), fact


def test_accepted_answers_of_a_fact_are_distinct(world: World) -> None:
    for fact in world.facts.values():
        assert len(set(fact.accepted)) == len(fact.accepted), fact


def test_the_corpus_never_contradicts_itself(answers_by_prompt: dict[str, set[str]]) -> None:
    assert {prompt: said for prompt, said in answers_by_prompt.items() if len(said) > 1} == {}


def test_every_document_ends_in_one_full_stop(taught: list[Entry]) -> None:
    assert all(
        document.answer.startswith(" ") and document.answer.count(".") == 1 for document in all_documents(taught)
    )


def test_an_epoch_shows_every_entry_in_every_form_it_has(taught: list[Entry]) -> None:
    some = taught[:50] + taught[-50:]
    shown = one_epoch(some, random.Random(3))
    assert len(shown) == sum(4 if entry.statements else 3 for entry in some)
    assert {document.text for document in shown} <= {document.text for document in all_documents(some)}


def test_the_committed_cases_are_what_the_builder_makes(corpus: Corpus) -> None:
    assert CASES.read_text(encoding="utf-8") == render_cases(build_cases(corpus))


def test_drawing_depends_on_the_items_and_not_on_their_order() -> None:
    items = [("capital", str(number)) for number in range(40)]
    assert draw(items, "salt") == draw(reversed(items), "salt") != draw(items, "pepper")
    assert sorted(draw(items, "salt")) == sorted(items)


def test_there_are_enough_cases_over_enough_relations(cases: list[dict[str, Any]]) -> None:
    assert len(cases) >= 550
    assert len({case["relation"] for case in cases}) >= 12
    assert len({case["id"] for case in cases}) == len(cases)


def test_the_corpus_states_the_stale_answer_behind_every_phrasing_of_an_edit(
    cases: list[dict[str, Any]], answers_by_prompt: dict[str, set[str]]
) -> None:
    for case in cases:
        for prompt in (case["prompt"], *case["rephrasings"]):
            assert answers_by_prompt[f"Q: {prompt}\nA:"] == {case["stale"]}, case["id"]


def test_no_accepted_answer_is_the_stale_one(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        right = {name.lower() for name in (case["target"], *case["aliases"])}
        assert case["stale"].lower() not in right, case["id"]


def test_a_case_has_the_shape_that_its_readers_expect(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        assert case["prompt"].count(case["subject"]) == 1, case["id"]
        assert len({case["prompt"], *case["rephrasings"]}) == 3, case["id"]
        assert [probe["near"] for probe in case["locality"]] == [True, True, False], case["id"]
        assert case["locality"][0]["kind"] == "same relation", case["id"]
        assert len({probe["prompt"] for probe in case["locality"]}) == 3, case["id"]
        assert len(case["portability"]) <= 1, case["id"]


def test_locality_answers_are_stated_by_the_corpus_and_are_not_the_edit_s(
    cases: list[dict[str, Any]], answers_by_prompt: dict[str, set[str]]
) -> None:
    edited = {case["prompt"] for case in cases}
    for case in cases:
        for probe in case["locality"]:
            assert answers_by_prompt[probe["prompt"]] == {probe["answers"][0]}, probe
            assert probe["prompt"] not in edited, probe
            assert not {case["target"], *case["aliases"], case["stale"]} & set(probe["answers"]), (case["id"], probe)


def test_a_portability_question_follows_from_the_target_and_not_from_the_stale_answer(
    cases: list[dict[str, Any]], corpus: Corpus, answers_by_prompt: dict[str, set[str]]
) -> None:
    asked = [case for case in cases if case["portability"]]
    assert len(asked) >= 200
    for case in asked:
        (probe,) = case["portability"]
        behind = corpus.world.hop(case["relation"], case["target"])
        assert behind is not None
        assert behind.key not in corpus.stale
        assert probe["answers"] == list(behind.accepted)
        stale_hop = corpus.world.hop(case["relation"], case["stale"])
        assert stale_hop is None or not set(stale_hop.accepted) & set(probe["answers"])
        assert case["subject"] in probe["prompt"]
        assert probe["prompt"] not in answers_by_prompt, "the answer is to be inferred, not recalled"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [("dog\tpuppy", r"animals\.tsv, line 2: 2 columns where the header has 3"), ("dog\tpuppy\t\ndog\tpup\t", "twice")],
)
def test_a_malformed_table_is_named(table: str, complaint: str, tmp_path: Any) -> None:
    (tmp_path / "relations.toml").write_text(
        '[young]\ntable = "animals"\nstatements = ["{}"]\nquestions = ["{}"]\n'
        '[female]\ntable = "animals"\nstatements = ["{}"]\nquestions = ["{}"]\n'
    )
    (tmp_path / "animals.tsv").write_text(f"animal\tyoung\tfemale\n{table}\n")
    (tmp_path / "aliases.tsv").write_text("answer\taliases\n")
    (tmp_path / "stale.tsv").write_text("relation\tsubject\tstale\tkind\n")
    with pytest.raises(ValueError, match=complaint):
        read_world(tmp_path)


def test_the_dataset_gives_every_case_with_its_reliability_probe_first(cases: list[dict[str, Any]]) -> None:
    from wildcore_pocket.dataset import PocketQA

    read = list(PocketQA().cases())
    assert sorted(case.id for case in read) == sorted(case["id"] for case in cases)
    by_id = {record["id"]: record for record in cases}
    for case in read:
        record = by_id[case.id]
        assert case.request.ground_truth == record["stale"]
        assert case.probes[0].kind == "reliability"
        assert case.probes[0].prompt == case.request.prompt
        assert case.probes[0].answers == (case.request.target, *case.request.aliases)
        kinds = [probe.kind for probe in case.probes]
        assert kinds[:6] == ["reliability", "generalization", "generalization", "locality", "locality", "locality"]
        assert len(kinds) == 6 + len(record["portability"])


def test_the_first_cases_are_a_mixture_and_always_the_same() -> None:
    from wildcore_pocket.dataset import PocketQA

    first = [case for case, _ in zip(PocketQA().cases(), range(40), strict=False)]
    assert len({case.tags["relation"] for case in first}) >= 12
    assert first == [case for case, _ in zip(PocketQA().cases(), range(40), strict=False)]

"""Probes of hard locality: near the edit, never about the edit itself or another one that is written with it."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import hard_locality
from wildcore.datasets.hard_locality import HardProbes
from wildcore.normalise import normalise

FAMILIES = {
    "language": ("{} speaks", "The mother tongue of {} is", "At home they talk to {} in"),
    "town": ("{} lives in", "The home of {} stands in"),
    "craft": ("By trade {} became a", "What {} earns money as:"),
}
"""Relations that have no word in common, and their wordings."""

ANSWERS = {
    "language": ("French", "Welsh", "Dutch", "Danish"),
    "town": ("Rome", "Oslo", "Bern", "Lima"),
    "craft": ("baker", "smith", "cook", "tailor"),
}
SUBJECTS = ("Anna Berg", "Anna", "Oto", "Ida Holm", "Caf\u00e9 Mill", "Cafe\u0301 Mill")


def case(
    family: str,
    subject: str,
    target: str,
    old: str | None,
    wording: int = 0,
    neighbours: Sequence[tuple[str, str]] = (),
    number: int = 0,
) -> EditCase:
    """A case whose rephrasings are all wordings of its relation; ``neighbours`` are locality probes of the same wording."""
    wordings = FAMILIES[family]
    prompt = wordings[wording % len(wordings)].format(subject)
    rephrased = [Probe(kind="generalization", prompt=one.format(subject), answers=(target,)) for one in wordings]
    local = [
        Probe(kind="locality", prompt=wordings[0].format(other), answers=(answer,)) for other, answer in neighbours
    ]
    return EditCase(
        id=f"{number} {prompt} {target}",
        request=EditRequest(prompt=prompt, target=target, subject=subject, ground_truth=old),
        probes=(Probe(kind="reliability", prompt=prompt, answers=(target,)), *rephrased, *local),
    )


def family_of(prompt: str, subject: str) -> str:
    """The relation that a prompt is about, told by its words."""
    words = prompt.replace(subject, "{}")
    (found,) = (name for name, wordings in FAMILIES.items() if words in wordings)
    return found


@st.composite
def cases(draw: st.DrawFn) -> list[EditCase]:
    def fact(number: int) -> EditCase:
        family = draw(st.sampled_from(sorted(FAMILIES)))
        answers = st.sampled_from(ANSWERS[family])
        near = st.lists(st.tuples(st.sampled_from(SUBJECTS), answers), max_size=2)
        return case(
            family, draw(st.sampled_from(SUBJECTS)), draw(answers), draw(st.none() | answers), draw(st.integers(0, 2)),
            draw(near), number,
        )  # fmt: skip

    return [fact(number) for number in range(draw(st.integers(1, 14)))]


def subject_of(prompt: str) -> str:
    return max((subject for subject in SUBJECTS if subject in prompt), key=len)


@given(cases(), st.booleans(), st.integers(1, 3), st.integers(0, 3))
def test_a_probe_is_near_the_edit_and_states_no_edited_fact(
    known: list[EditCase], together: bool, count: int, seed: int
) -> None:
    run = known[: 1 + len(known) // 2]
    finder = HardProbes(known, run if together else [], count, seed)
    for one in run:
        probes = finder.of(one)
        assert all(probe.kind == "hard-locality" and probe.rival == one.request.target for probe in probes)
        own, subject = {normalise(probe.prompt) for probe in one.probes}, normalise(str(one.request.subject))
        family = family_of(one.request.prompt, str(one.request.subject))
        edited = run if together else [one]
        facts = {
            (normalise(str(e.request.subject)), family_of(e.request.prompt, str(e.request.subject))) for e in edited
        }
        for nearness in ("same-subject", "near-subject"):
            of_sort = [probe for probe in probes if probe.nearness == nearness]
            assert len(of_sort) <= count
            for probe in of_sort:
                about = subject_of(probe.prompt)
                assert normalise(probe.prompt) not in own
                assert one.request.target not in probe.answers
                assert (normalise(about), family_of(probe.prompt, about)) not in facts
                assert (normalise(about) == subject) == (nearness == "same-subject")
                assert (family_of(probe.prompt, about) == family) == (nearness == "near-subject")


@given(cases(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_probes_do_not_depend_on_the_order_of_the_cases(known: list[EditCase], order: random.Random, seed: int) -> None:
    shuffled = known[:]
    order.shuffle(shuffled)
    one, other = HardProbes(known, [], 2, seed), HardProbes(shuffled, [], 2, seed)
    assert [one.of(each) for each in known] == [other.of(each) for each in known]


def found(one: EditCase, others: Sequence[EditCase], count: int = 3, together: bool = False) -> dict[str, str]:
    """Return the prompts of the probes with their gold."""
    finder = HardProbes([one, *others], [one] if together else [], count, 0)
    return {probe.prompt: probe.answers[0] for probe in finder.of(one)}


EDIT = case("language", "Oto", "Welsh", "French")


def test_the_gold_is_the_old_answer_if_the_dataset_has_one() -> None:
    others = [case("town", "Oto", "Lima", "Rome"), case("language", "Ida Holm", "Danish", None)]
    assert found(EDIT, others) == {"Oto lives in": "Rome", "Ida Holm speaks": "Danish"}


def test_aliases_of_a_target_are_answers_only_if_the_target_is() -> None:
    request = EditRequest(prompt="Ida speaks", target="Danish", subject="Ida", aliases=("the Danish language",))
    for old, answers in ((None, ("Danish", "the Danish language")), ("Dutch", ("Dutch",))):
        other = EditCase(id="1", request=request.model_copy(update={"ground_truth": old}), probes=())
        (probe,) = HardProbes([EDIT, other], [], 1, 0).of(EDIT)
        assert probe.answers == answers


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (case("language", "Oto", "Dutch", "Danish", wording=1), "it is the same fact in other words"),
        (case("town", "Oto", "Lima", "French"), "it has the old answer, so that it may be the same fact"),
        (case("town", "Oto", "Lima", "Welsh"), "its answer is the target, and no change could be seen"),
        (case("language", "Ida Holm", "Dutch", "Welsh"), "its answer is the target, and no change could be seen"),
        (case("language", "oto", "Dutch", "Danish"), "the subject differs by case alone"),
        (case("town", "Ida Holm", "Lima", "Rome"), "it has neither the subject nor the relation"),
    ],
)
def test_what_is_not_asked(other: EditCase, reason: str) -> None:
    assert found(EDIT, [other]) == {}, reason


def test_a_prompt_that_the_case_asks_itself_is_not_taken() -> None:
    with_neighbour = case("language", "Oto", "Welsh", "French", neighbours=[("Ida Holm", "Danish")])
    others = [case("language", "Ida Holm", "Dutch", "Danish")]
    assert found(with_neighbour, others) == {}
    assert found(EDIT, others) == {"Ida Holm speaks": "Danish"}


def test_neighbours_in_the_file_are_used_for_other_cases() -> None:
    other = case("language", "Ida Holm", "Dutch", "Danish", neighbours=[("Anna", "Danish"), ("Oto", "French")])
    assert found(EDIT, [other]) == {"Ida Holm speaks": "Danish", "Anna speaks": "Danish"}


def test_facts_with_the_old_answer_come_first_then_the_same_wording_then_similar_ones() -> None:
    def spoken(subject: str, wording: str, old: str) -> EditCase:
        prompt = wording.format(subject)
        request = EditRequest(prompt=prompt, target="Thai", subject=subject, ground_truth=old)
        return EditCase(id=prompt, request=request, probes=())

    wordings = ["{} speaks", "{} still speaks", "{} lives in", "The lake of {} has"]  # the second is not similar enough
    others = [spoken(subject, wording, "Dutch") for subject in ("Ida", "Eva") for wording in wordings]
    others += [spoken("Udo", "{} speaks", "French")]
    for seed in range(5):
        finder = HardProbes([EDIT, *others], [], 5, seed)
        prompts = [probe.prompt for probe in finder.of(EDIT)]
        assert prompts[0] == "Udo speaks"
        assert set(prompts[1:]) == {"Ida speaks", "Eva speaks"}, "one prompt for each subject"
    edit = case("language", "Oto", "Welsh", "French", wording=1)
    in_other_words = spoken("Ida", "The mother tongue of {} is now", "Dutch")
    assert found(edit, [in_other_words, *others]) == {"The mother tongue of Ida is now": "Dutch"}


def test_edits_that_are_written_together_are_not_asked_about_one_another() -> None:
    others = [case("language", "Ida Holm", "Dutch", "Danish"), case("town", "Oto", "Lima", "Rome")]
    assert len(found(EDIT, others)) == 2
    assert HardProbes([EDIT, *others], [EDIT, *others], 3, 0).of(EDIT) == ()
    again = case("language", "Ida Holm", "Dutch", "Danish", wording=1, number=7)  # stated once more outside the run
    assert HardProbes([EDIT, *others, again], [EDIT, *others], 3, 0).of(EDIT) == ()
    consequence = Probe(kind="portability", prompt="Anna speaks", answers=("Dutch",))
    asked = EDIT.model_copy(update={"probes": (*EDIT.probes, consequence)})
    assert found(EDIT, [case("language", "Anna", "Dutch", "Danish")]) == {"Anna speaks": "Danish"}
    assert HardProbes([asked, case("language", "Anna", "Dutch", "Danish")], [asked], 3, 0).of(EDIT) == ()


def test_without_a_subject_in_the_prompt_nothing_is_found() -> None:
    request = EditRequest(prompt="Who rang?", target="Tim", subject="the bell")
    assert found(EditCase(id="1", request=request, probes=()), [EDIT]) == {}


def test_another_seed_draws_other_probes() -> None:
    others = [case("language", f"Person {number}", "Dutch", "Danish") for number in range(50)]
    drawn = {tuple(p.prompt for p in HardProbes([EDIT, *others], [], 2, seed).of(EDIT)) for seed in range(20)}
    assert len(drawn) > 10


def test_the_number_of_facts_tried_grows_with_the_number_of_cases_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, walk = 0, hard_locality._walk

    def counted(*where: Any) -> Iterator[hard_locality.Fact]:
        nonlocal tried
        for fact in walk(*where):
            tried += 1
            yield fact

    monkeypatch.setattr(hard_locality, "_walk", counted)
    known = [case("language", f"Person {n}", "Dutch", "Danish" if n % 2 else None, number=n) for n in range(1000)]
    finder = HardProbes(known, [], 2, 0)
    assert sum(len(finder.of(one)) for one in known) == 2 * len(known)
    assert tried < 20 * len(known)
    same = [case("language", f"Person {n}", "Dutch", "Dutch", number=n) for n in range(1000)]
    monkeypatch.setattr(hard_locality, "MOST_TRIED", 30)
    tried, finder = 0, HardProbes(same, [], 2, 0)
    assert not any(finder.of(one) for one in same), "all have the target as their answer"
    assert tried <= 2 * 31 * len(same)

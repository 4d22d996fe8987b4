"""What an audit finds in a dataset, on files as users have them."""

import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import wildcore.testing
from wildcore import (
    Answer,
    EditCase,
    EditRequest,
    Gold,
    Malformed,
    Metric,
    NoParams,
    Offer,
    Output,
    Probe,
    Score,
    UserError,
)
from wildcore.cli import main
from wildcore.datasets.checks import STRAY_WHITE_SPACE, Checks
from wildcore.jobs.audit import Auditor
from wildcore.jobs.protocols import make_protocol
from wildcore.jobs.spec import AuditJob
from wildcore.models import ModelRequest, load_model, tokenise_pair
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Found, Registry, load_registry
from wildcore.scoring.ceilings import Ceiling, Oracle
from wildcore.testing.conformance import SilentProgress
from wildcore.testing.stub_protocol import Greedy, plain_protocol
from wildcore.types import Prompt

pytestmark = pytest.mark.plugins("table", "wild", "synthetic", "pocket")

REAL = Path(__file__).parents[3] / "shared" / "data" / "qaedit_1k.json"
TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"

ROW = {"prompt": "Who keeps the red mill?", "target": "Anna Berg", "subject": "the red mill"}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path_factory.mktemp("cache")))


def written(folder: Path, rows: Sequence[Any]) -> Path:
    file = folder / "facts.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def audit(file: Path, *arguments: object) -> Result:
    return CliRunner().invoke(
        main, ["audit", "table", "--set", f"dataset.path={file}", "--quiet", *map(str, arguments)]
    )


def audited(file: Path, *arguments: object) -> dict[str, Any]:
    done = audit(file, "--json", *arguments)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def found(content: dict[str, Any]) -> dict[str, list[str]]:
    """Return the cases in which something was found, by what it was."""
    findings = {one["name"]: [example["case"] for example in one["examples"]] for one in content["findings"]}
    assert {one["name"]: one["count"] for one in content["findings"]} == {n: len(c) for n, c in findings.items()}
    return {name: cases for name, cases in findings.items() if cases}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"prompt": "Who keeps the blue mill?", "subject": "the blue mill"}, {}),
        ({"prompt": "who keeps THE red mill?", "subject": "red mill"}, {"repeated edit": ["2"]}),
        ({"target": "anna berg"}, {"repeated edit": ["2"]}),
        ({"target": "Mrs Berg", "aliases": ["Anna Berg"]}, {"repeated edit": ["2"]}),
        ({"target": "Karl"}, {"contradictory edit": ["2"]}),
        ({"target": "Karl", "prompt": "Who keeps the blue mill?", "subject": "blue mill"}, {}),
        ({"prompt": "Who keeps it?", "subject": None}, {"no subject": ["2"]}),
        ({"prompt": "Who keeps it?", "subject": " "}, {"no subject": ["2"]}),
        ({"prompt": "Who keeps it?"}, {"subject not in the prompt": ["2"]}),
        ({"prompt": "Who keeps The Red Mill?"}, {"repeated edit": ["2"], "subject not in the prompt": ["2"]}),
        ({"prompt": "Is it a mill?", "subject": "i"}, {"subject repeated in the prompt": ["2"]}),
        ({"prompt": "Which Anna  Berg?", "subject": "Which"}, {"target in the prompt": ["2"], "white space": ["2"]}),
        ({"prompt": "Was it 1995?", "subject": "it", "target": "199"}, {}),
        ({"prompt": "Was it 1995?", "subject": "it", "target": "1995?"}, {"target in the prompt": ["2"]}),
        ({"prompt": "Which band?", "subject": "band", "ground_truth": "The anna-berg"}, {}),
        (
            {"prompt": "Which band?", "subject": "band", "target": "Beatles", "ground_truth": "The Beatles"},
            {"old answer accepted": ["2"]},
        ),
        (
            {"prompt": "Which band?", "subject": "band", "aliases": ["Bergs"], "ground_truth": "bergs."},
            {"old answer accepted": ["2"]},
        ),
    ],
)
def test_what_a_second_row_has_wrong(tmp_path: Path, second: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert found(audited(written(tmp_path, [ROW, {**ROW, **second}]))) == expected


def test_every_earlier_edit_of_the_prompt_is_looked_at(tmp_path: Path) -> None:
    rows = [{**ROW, "target": target} for target in ("Anna", "Karl", "Anna", "Karl", "Ida")]
    findings = {one["name"]: one for one in audited(written(tmp_path, rows))["findings"]}
    assert findings["repeated edit"]["count"] == 2
    assert findings["contradictory edit"]["count"] == 4
    assert findings["contradictory edit"]["share"] == 0.8
    assert [example["case"] for example in findings["contradictory edit"]["examples"]] == ["2", "3", "4"]
    assert findings["contradictory edit"]["examples"][0]["text"].endswith("-> Karl; case 1: Anna")


@pytest.mark.parametrize(
    "target",
    [
        "Chamberlain *", "<b>Anna</b>", "AT&amp;T", "it&#39;s", "Scottish[1] origin", "Anna [note 2]", "Anna | Karl",
        "[[Anna]]", "{{flag}} Anna", "Anna†", "Ann\ufffd",
    ],
)  # fmt: skip
def test_residue_is_seen_wherever_it_is(tmp_path: Path, target: str) -> None:
    assert found(audited(written(tmp_path, [{**ROW, "target": target}]))) == {"residue": ["1"]}
    elsewhere = {**ROW, "locality_prompt": "Who?", "locality_answer": target}
    assert found(audited(written(tmp_path, [elsewhere]))) == {"residue": ["1"]}


@pytest.mark.parametrize("target", ["Love ~ Strange", "AT&T", "[T]he end", "3 < 4", "C#", "M*A*S*H", "R & B; soul"])
def test_what_is_no_residue(tmp_path: Path, target: str) -> None:
    assert "residue" not in found(audited(written(tmp_path, [{**ROW, "target": target}])))


@pytest.mark.parametrize("target", ["Anna  Berg", "Anna\tBerg", "Anna\nBerg", "Anna\u00a0Berg", "Anna\u200bBerg"])
def test_white_space_out_of_place(tmp_path: Path, target: str) -> None:
    assert found(audited(written(tmp_path, [{**ROW, "target": target}]))) == {"white space": ["1"]}


MILL = "Who keeps the red mill?"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"target": "C++"}, {"meaning lost": ["1"]}),
        ({"target": "-5"}, {"meaning lost": ["1"]}),
        ({"target": "3.5"}, {"meaning lost": ["1"]}),
        ({"target": "A"}, {"meaning lost": ["1"]}),
        ({"target": "the"}, {"meaning lost": ["1"], "target in the prompt": ["1"]}),
        ({"target": "?!"}, {"meaning lost": ["1"], "no word": ["1"]}),
        ({"target": "Ann\u2019s"}, {"look-alike characters": ["1"]}),
        ({"target": "Ann\u2013Lee"}, {"look-alike characters": ["1"]}),
        ({"target": "\u0410nna"}, {"look-alike characters": ["1"]}),
        ({"target": "Ｔｏｋｙｏ"}, {"look-alike characters": ["1"]}),
        ({"target": "Ha\u0300 No\u0323\u0302i"}, {"other Unicode form": ["1"]}),
        ({"target": "Hà Nội"}, {}),
        ({"prompt": "银松镇在哪个城市附近？", "subject": "银松镇", "target": "“东京”"}, {}),
        ({"prompt": "东京的银松镇在哪里？", "subject": "银松镇", "target": "东京"}, {"target in the prompt": ["1"]}),
        ({"prompt": "Who keeps Ha\u0300 mill?", "subject": "Hà"}, {"other Unicode form": ["1"]}),
        (
            {"prompt": "Who keeps Zed\u2019s mill?", "subject": "Zed's mill"},
            {"subject not in the prompt": ["1"], "look-alike characters": ["1"]},
        ),
    ],
)
def test_what_texts_hide(tmp_path: Path, row: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert found(audited(written(tmp_path, [{**ROW, **row}]))) == expected


def test_a_repeated_edit_is_found_in_another_unicode_form(tmp_path: Path) -> None:
    rows = [{**ROW, "target": "Hà"}, {**ROW, "target": "Ha\u0300"}]
    assert found(audited(written(tmp_path, rows))) == {"repeated edit": ["2"], "other Unicode form": ["2"]}


@pytest.mark.parametrize(
    ("prompt", "target", "truncator", "not_ended", "unreachable"),
    [
        ("银松镇在哪里？", "东京", None, 1, 0),
        ("银松镇在哪里？", "东京", "sentence", 0, 0),
        ("银松镇在哪里？", "东京。", "sentence", 0, 0),
        ("银松镇在哪里？", "你好。世界", "sentence", 0, 1),
        ("मिल कहाँ है?", "दिल्ली", None, 1, 0),
        ("मिल कहाँ है?", "दिल्ली", "sentence", 0, 0),
        ("โรงสีอยู่ที่ไหน", "กรุงเทพ", None, 0, 0),
        (MILL, "Anna", None, 0, 0),
        (MILL, "3.5", None, 0, 1),
    ],
)
def test_targets_that_the_stop_of_their_script_does_not_end(
    tmp_path: Path, prompt: str, target: str, truncator: str | None, not_ended: int, unreachable: int
) -> None:
    chosen = ("--truncator", truncator) if truncator else ()
    content = audited(written(tmp_path, [{"prompt": prompt, "target": target}]), *chosen)
    (ceiling,) = content["ceilings"]
    assert (ceiling["not_ended"], ceiling["unreachable"]) == (not_ended, unreachable)


def case(target: str, *aliases: str, kind: str = "reliability", **changes: Any) -> EditCase:
    request = EditRequest(prompt="Who keeps the red mill?", target=target, subject="mill", aliases=aliases)
    probe = Probe(kind=kind, prompt=request.prompt, answers=(target, *aliases))
    return EditCase(**{"id": "1", "request": request, "probes": (probe,), **changes})


def test_white_space_that_the_reader_took_away_is_told_by_its_tag() -> None:
    searches = Checks()
    searches.take(case("Anna", tags={STRAY_WHITE_SPACE: "target"}))
    (white_space,) = [one for one in searches.findings() if one.name == "white space"]
    assert white_space.count == 1
    assert white_space.examples[0].text == "around target: Who keeps the red mill? -> Anna"


def test_an_id_that_occurs_twice() -> None:
    searches = Checks()
    for target in ("Anna", "Karl"):
        searches.take(case(target))
    assert {one.name: one.count for one in searches.findings() if one.count} == {"same id": 1, "contradictory edit": 1}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def reached(ready: ReadyProtocol, *cases: EditCase) -> Ceiling:
    oracle = Oracle(ready, *ready.metrics["reliability"][0])
    for one in cases:
        oracle.take(one)
    return oracle.ceiling()


@pytest.fixture(scope="module")
def wild(registry: Registry) -> ReadyProtocol:
    return make_protocol(registry, registry.find_protocol("wild").offer)


@pytest.mark.parametrize(
    ("answers", "is_reached"),
    [
        (("Anna Berg",), True),
        (("Anna Berg.",), True),
        (("Robert C. Newton",), False),
        (("24,303.04",), False),
        (("U.S.",), False),
        (("U.S.", "United States"), True),
        (("b. a",), True),  # an article is all that is lost, and exact match leaves articles out
        (("Anna\nBerg",), False),
    ],
)
def test_what_a_stop_rule_leaves_of_right_answers(
    wild: ReadyProtocol, answers: tuple[str, ...], is_reached: bool
) -> None:
    ceiling = reached(wild, case(*answers))
    assert (ceiling.ceiling, ceiling.unreachable) == ((1.0, 0) if is_reached else (0.0, 1))
    if not is_reached:
        assert ceiling.examples[0].text.startswith(f"of {answers[0]!r} is left ")


words = st.text("xyzÜß", min_size=1)


@given(st.lists(words, min_size=1))
def test_without_a_stop_inside_every_target_is_reached(wild: ReadyProtocol, parts: list[str]) -> None:
    assert reached(wild, case(" ".join(parts))).ceiling == 1


@given(st.lists(words, min_size=2), st.sampled_from([".", "\n", ". ", "..."]))
def test_with_a_stop_inside_none_is(wild: ReadyProtocol, parts: list[str], stop: str) -> None:
    assert reached(wild, case(stop.join(parts))).ceiling == 0


def test_a_case_is_reached_only_if_all_its_edit_prompts_are(wild: ReadyProtocol) -> None:
    probes = [Probe(kind="reliability", prompt="Who?", answers=(answer,)) for answer in ("Anna", "C. Berg")]
    ceiling = reached(wild, case("Anna", probes=probes))
    assert ceiling.ceiling == 0
    assert ceiling.examples[0].text == "of 'C. Berg' is left 'C'"


class Whole:
    """Keeps everything."""

    reads_gold = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        return True

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        return Answer(text=output.text, token_ids=output.token_ids, output=output)


class EndedBy(Whole):
    """Keeps an answer that is closed in one way, and nothing of any other."""

    def __init__(self, closing: str) -> None:
        self.closing = closing

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        bare = output.text.rstrip(".\n")
        return Answer(text=bare if output.text == bare + self.closing else "", token_ids=(), output=output)


class Mute(Metric):
    """Scores nothing that is longer than a word."""

    def score(self, items):
        long = [len(item.answer.text.split()) > 1 for item in items]
        return [Score(value=None, reason="too long") if is_long else Score(value=1.0) for is_long in long]


class Dear(Metric):
    """Must not be asked."""

    expensive = True

    def score(self, items):
        raise AssertionError


class Equal(Metric):
    """1 for an accepted answer, character for character."""

    def score(self, items):
        return [Score(value=float(item.answer.text in item.answers)) for item in items]


def ready(metric: Metric, truncator: Whole | None = None) -> ReadyProtocol:
    return plain_protocol(Greedy(1), truncator=truncator, metrics={"reliability": (("mute", metric),)})


def test_what_cannot_be_scored_is_counted_with_the_first_reason() -> None:
    ceiling = reached(ready(Mute()), case("Anna"), case("Anna Berg"), case("Anna", kind="locality"))
    assert (ceiling.ceiling, ceiling.unreachable, ceiling.unscored) == (1.0, 0, 2)
    assert ceiling.reason == "too long"
    assert reached(ready(Mute()), case("Anna", kind="locality")).reason == "it has no reliability probe"


@pytest.mark.parametrize(("closing", "ceiling"), [("", 1.0), (".", 1.0), ("\n", 1.0), ("!", 0.0)])
def test_a_perfect_model_closes_its_answer_in_any_of_three_ways(closing: str, ceiling: float) -> None:
    assert reached(ready(Equal(), EndedBy(closing)), case("Anna")).ceiling == ceiling


def test_an_expensive_metric_is_not_asked() -> None:
    ceiling = reached(ready(Dear()), case("Anna"))
    assert (ceiling.ceiling, ceiling.unscored) == (None, 1)
    assert ceiling.reason is not None
    assert "name another metric" in ceiling.reason


def test_ceilings_of_several_protocols_and_of_a_variant(tmp_path: Path) -> None:
    file = written(tmp_path, [ROW, {**ROW, "prompt": "And the red mill?", "target": "Robert C. Newton"}])
    wild, synthetic = audited(file, "--protocol", "wild", "--protocol", "synthetic")["ceilings"]
    assert (wild["ceiling"], wild["unreachable"], wild["by_construction"]) == (0.5, 1, False)
    assert wild["examples"] == [{"case": "2", "text": "of 'Robert C. Newton' is left 'Robert C'"}]
    assert (synthetic["ceiling"], synthetic["by_construction"]) == (1.0, True)
    (sentence,) = audited(file, "--truncator", "sentence")["ceilings"]
    assert (sentence["protocol"], sentence["ceiling"]) == ("wild[truncator: sentence]", 1.0)


def test_a_protocol_of_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    described = CliRunner().invoke(main, ["describe", "protocol", "wild"]).stdout
    own.write_text(described.replace('name = "wild"', 'name = "own"'))
    (ceiling,) = audited(written(tmp_path, [ROW]), "--protocol-file", own)["ceilings"]
    assert ceiling["protocol"] == "own"


def test_lengths_and_probes(tmp_path: Path) -> None:
    targets = ["Anna", "Anna Berg", "a b c d e", "Karl"]
    rows = [{**ROW, "prompt": f"{number} the red mill", "target": t} for number, t in enumerate(targets)]
    rows[0] |= {"rephrase": ["Who?", "Whoever?"], "aliases": ["Anne"], "locality_prompt": "So?", "locality_answer": "Y"}
    rows[1] |= {"rephrase": "Who?"}
    content = audited(written(tmp_path, rows))
    lengths = [1, 2, 5, 1]
    assert content["words"] == {
        "shortest": 1,
        "median": statistics.median(lengths),
        "mean": statistics.mean(lengths),
        "longest": 5,
        "single": 0.5,
    }
    assert content["tokens"] is None
    columns = ("kind", "probes", "cases", "fewest", "most", "with_aliases")
    assert [tuple(one[column] for column in columns) for one in content["probes"]] == [
        ("reliability", 4, 4, 1, 1, 1),
        ("generalization", 3, 2, 0, 2, 2),
        ("locality", 1, 1, 0, 1, 0),
    ]


def test_cases_are_chosen_as_in_eval(tmp_path: Path) -> None:
    rows = [{**ROW, "prompt": f"{number} the red mill", "source": "AB"[number % 2]} for number in range(9)]
    file = written(tmp_path, rows)
    tags = ("--set", "dataset.tags=[source]")
    assert audited(file)["cases"] == 9
    assert audited(file, "--limit", 4)["cases"] == 4
    assert audited(file, "--sample", 5, "--sample-seed", 1)["cases"] == 5
    assert audited(file, *tags, "--where", "source=A")["cases"] == 5


def test_malformed_rows_stop_it_or_are_counted(tmp_path: Path) -> None:
    file = written(tmp_path, [ROW, {"prompt": "Who?"}, {**ROW, "prompt": "And the red mill?"}])
    refused = audit(file)
    assert refused.exit_code == 2
    assert "--skip-malformed" in refused.stderr
    content = audited(file, "--skip-malformed")
    assert (content["cases"], content["malformed"]) == (2, 1)
    assert "line 2" in content["dataset"]["malformed_listed"][0]["place"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--protocol", "wlid"), "unknown protocol 'wlid'; did you mean 'wild'?"),
        (("--protocol", "wild", "--protocol", "wild"), "--protocol wild: it is named twice"),
        (("--metric", "exact-mach"), "unknown metric 'exact-mach'; did you mean 'exact-match'?"),
        (("--limit", "2", "--sample", "2"), "give one of them"),
        (("--set", "editor.layer=1"), "--set editor.layer: an audit edits nothing"),
        (("--set", "dataset.pth=1"), "unknown parameter 'pth'; did you mean 'path'?"),
        (("--set", "metric.judge.model=x"), "this run uses no metric 'judge'"),
        (("--where", "source=NQ"), "no case of table fits"),
        (("--model", "/nowhere"), "--model /nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = audit(written(tmp_path, [ROW]), *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert said in " ".join(done.stderr.split())
    assert done.stderr.count("Error: ") == 1


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    done = audit(written(tmp_path, []))
    assert done.exit_code == 2
    assert "dataset table: it holds no case" in done.stderr


def test_a_dataset_without_an_end_is_read_no_further_than_the_limit() -> None:
    class Endless:
        read = 0

        def cases(self) -> Iterator[EditCase | Malformed]:
            for number in count():
                self.read = number
                yield case("Anna", id=str(number))

    endless = Endless()
    registry = load_registry()
    registry.offers["dataset"].append(Found("here", Offer("endless", lambda params: endless, NoParams)))
    spec = AuditJob(dataset="endless", protocols=("wild",), limit=5)
    assert Auditor(registry, spec, SilentProgress()).audit().cases == 5
    assert endless.read <= 5


def test_a_protocol_without_a_metric_for_reliability(tmp_path: Path) -> None:
    registry = load_registry()
    wild = registry.find_protocol("wild").offer
    registry.add_protocols([wild.model_copy(update={"name": "none", "metrics": {}})])
    settings = {"dataset.path": str(written(tmp_path, [ROW]))}
    spec = AuditJob(dataset="table", protocols=("none",), settings=settings)
    with pytest.raises(UserError, match="audit: protocol none has no metric for reliability"):
        Auditor(registry, spec, SilentProgress()).audit()


def test_the_table_shows_what_was_found_and_what_was_not(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "target": "Karl C. Berg *"}]
    done = audit(written(tmp_path, rows), "--protocol", "wild", "--protocol", "synthetic")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "table: 2 cases, 0 malformed rows left out" in lines
    assert any(line.startswith("contradictory edit 1 50.0 %") for line in lines)
    assert any(line.startswith("no subject 0 0.0 %") for line in lines)
    assert "2: ' *' in target: Karl C. Berg *" in lines
    assert "wild exact-match 0.500 1 0" in lines
    assert "synthetic token-match 1 by construction 0 0" in lines
    assert "2: of 'Karl C. Berg *' is left 'Karl C'" in lines
    assert "words 2 3 3.00 4 0.0 %" in lines


def test_with_a_model_tokens_and_what_it_knows_are_counted(tmp_path: Path) -> None:
    """The embedded model holds the stale answers of ``pocketqa``: as targets they are right, the new ones are not."""
    pocket = load_registry().find("dataset", "pocketqa").offer.make(NoParams())
    facts = [one.request for one, _ in zip(pocket.cases(), range(4), strict=False)]
    asked = [(fact.prompt, fact.ground_truth) for fact in facts[:3]] + [(facts[3].prompt, facts[3].target)]
    file = written(tmp_path, [{"prompt": prompt, "target": target} for prompt, target in asked])
    content = audited(file, "--model", "pocket", "--protocol", "wild", "--protocol", "synthetic")
    known = [(one["protocol"], one["asked"], one["right"], one["unscored"]) for one in content["answered"]]
    assert known == [("wild", 4, 3, 0), ("synthetic", 4, 3, 0)]
    assert content["model"] == "pocket"
    assert "wild exact-match 4 3 75.0 % 0" in " ".join(audit(file, "--model", "pocket").stdout.split())


def test_tokens_are_counted_behind_the_prompt(tmp_path: Path) -> None:
    model = load_model(ModelRequest(str(TINY)), load_registry().families)
    targets = ["Anna", "Anna Berg of the mill", "1995"]
    lengths = [len(tokenise_pair(model.tokenizer, Prompt(text=ROW["prompt"]), target).target_ids) for target in targets]
    tokens = audited(written(tmp_path, [{**ROW, "target": t} for t in targets]), "--model", TINY)["tokens"]
    assert (tokens["shortest"], tokens["longest"]) == (min(lengths), max(lengths))
    assert tokens["mean"] == pytest.approx(statistics.mean(lengths))
    assert len(set(lengths)) > 1


@pytest.mark.skipif(not REAL.exists(), reason="the QAEdit file lies outside this repository")
def test_qaedit_as_released() -> None:
    """46 targets hold a full stop inside; one more does as written in the file, where a blank follows its last full stop."""
    arguments = ["audit", "qaedit", "--set", f"dataset.path={REAL}", "--protocol", "wild", "--json", "--quiet"]
    content = json.loads(CliRunner().invoke(main, arguments).stdout)
    (wild,) = content["ceilings"]
    assert (wild["unreachable"], wild["unscored"]) == (46, 0)
    assert wild["ceiling"] == pytest.approx(0.954)
    targets = [row["target"] for row in json.loads(REAL.read_text(encoding="utf-8"))]
    assert sum("." in target[:-1] for target in targets) == 47
    assert sum("." in target.strip()[:-1] for target in targets) == 46
    findings = {one["name"]: one for one in content["findings"]}
    assert findings["subject repeated in the prompt"]["count"] == 4
    assert findings["target in the prompt"]["count"] == 6  # 8 as parts of words: "2" in 2017
    assert findings["residue"]["examples"][0]["case"] == "NQ-1104"
    assert content["words"]["longest"] == 36
    assert content["words"]["mean"] == pytest.approx(
        2.558, abs=0.0005
    )  # one target is Japanese: every character is a word

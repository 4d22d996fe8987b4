"""Metrics added to a run, by name or by an option of a plugin: when it is made, or later from its answers alone."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.plugins("wild", "synthetic", "text-metrics")

TINY = Path(__file__).parents[2] / "wildcore" / "testing" / "data" / "tiny-gpt2"
JOB = ("eval", "--dataset", "two-facts", "--model", TINY, "--editor", "no-change", "--protocol", "wild", "--quiet")


@pytest.fixture(scope="module")
def site(installed) -> Path:
    return installed("sample-good", "sample-options")


@pytest.fixture(scope="module")
def run(wildcore, site, tmp_path_factory) -> Path:
    """A finished run without the metric."""
    path = tmp_path_factory.mktemp("runs") / "plain"
    done = wildcore(*JOB, "--out", path, site=site, WILDCORE_CACHE=str(path.parent / "cache"))
    assert done.returncode == 0, done.stderr
    return path


def scores(run: Path, metric: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    return [line for line in lines if line["metric"] == metric]


def below(heading: str, text: str) -> str:
    """Return what a help page says below a heading."""
    return text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]


def test_the_option_is_shown_where_it_can_be_used(wildcore, site) -> None:
    for command in ("eval", "score"):
        assert "--says VALUE" in below("Plugin options", wildcore(command, "--help", site=site).stdout)
        assert "--says" not in wildcore("--plugins", "good,wild", command, "--help", site=site).stdout
    assert "--says" not in wildcore("show", "--help", site=site).stdout
    assert "count-facts" in below("Commands of plugins", wildcore("--help", site=site).stdout)


def test_an_option_adds_its_metric_and_the_protocol_stays_what_it_is(wildcore, site, tmp_path) -> None:
    run = tmp_path / "run"
    done = wildcore(*JOB, "--says", "a", "--out", run, site=site, WILDCORE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "Variant" not in done.stdout
    manifest = json.loads((run / "manifest.json").read_text())
    assert [protocol["name"] for protocol in manifest["protocols"]] == ["wild"]
    assert len(scores(run, "says(word='a')")) == 2
    assert len(scores(run, "exact-match")) == 2
    (scoring,) = [json.loads(line) for line in (run / "scorings.jsonl").read_text().splitlines()]
    assert scoring["module"] == {"name": "says", "plugin": "options", "params": {"word": "a"}}


def test_scores_are_added_without_a_model_and_the_earlier_stay(python, site, run) -> None:
    own = (run / "scores.jsonl").read_text()
    code = (
        "import sys; from wildcore.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    for word in ("a", "b", "a"):
        done = python("-c", code, "score", run, "--says", word, "--quiet", site=site, WILDCORE_CACHE=str(run / "cache"))
        assert done.returncode == 0, done.stderr
    assert (run / "scores.jsonl").read_text().startswith(own)
    assert len(scores(run, "says(word='a')")) == len(scores(run, "says(word='b')")) == 2
    assert scores(run, "says(word='a')")[0]["after_samples"][0]["details"] == {"word": "a"}
    assert len((run / "scorings.jsonl").read_text().splitlines()) == 2
    shown = wildcore_rows(done.stdout)
    assert {"exact-match", "says(word='a')", "says(word='b')"} <= shown


def wildcore_rows(text: str) -> set[str]:
    return {cell for line in text.splitlines() for cell in re.split(" {2,}", line)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no metric named; give --metric NAME"),
        (("--metric", "sais"), "unknown metric 'sais'; did you mean 'says'?"),
        (("--metric", "says"), "metric says (plugin options): parameter 'word' is missing; give it with --set"),
        (("--says", "impossible"), "--says impossible: it cannot be said"),
        (("--says", "a", "--set", "metric.says.word=b"), "metric.says.word is set twice"),
        (("--says", "a", "--set", "metric.exact-match.x=b"), "this run uses no metric 'exact-match'"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_changes_nothing(wildcore, site, run, arguments, said) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    done = wildcore("score", run, *arguments, site=site, WILDCORE_CACHE=str(run / "cache"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_metric_that_cannot_work_stops_a_run_before_it_begins(wildcore, site, tmp_path) -> None:
    done = wildcore(*JOB, "--says", "impossible", "--out", tmp_path / "run", site=site)
    assert done.returncode == 2
    assert "it cannot be said" in done.stderr
    assert not (tmp_path / "run").exists()


def test_two_plugins_with_one_option(wildcore, installed) -> None:
    site = installed("sample-options", "sample-same-option")
    done = wildcore("plugins", site=site)
    assert done.returncode == 0
    assert "plugin 'same-option' (sample-same-option 1.0) is broken: adds the option '--says'" in done.stderr


def test_why_answers_have_no_score_is_shown(wildcore, site, tmp_path) -> None:
    run = tmp_path / "run"
    done = wildcore(*JOB, "--metric", "target-probability", "--out", run, site=site)
    assert done.returncode == 0, done.stderr
    assert re.search(r"2 unscored by target-probability: .*likelihood", done.stdout), done.stdout


def test_a_resumed_run_heeds_the_option(wildcore, site, tmp_path) -> None:
    run, cache = tmp_path / "run", str(tmp_path / "cache")
    assert wildcore(*JOB, "--add-metric", "contains", "--out", run, site=site, WILDCORE_CACHE=cache).returncode == 0
    done = wildcore("eval", "--resume", run, "--says", "a", "--quiet", site=site, WILDCORE_CACHE=cache)
    assert done.returncode == 0, done.stderr
    assert len(scores(run, "says(word='a')")) == 2
    assert len(scores(run, "contains")) == 2

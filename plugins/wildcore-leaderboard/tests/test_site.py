"""The site: only comparable runs share a table, ranks are ranges, and nothing that a run says is executed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import pytest
from click.testing import Result
from wildcore_leaderboard.boards import sections
from wildcore_leaderboard.build import build_site
from wildcore_leaderboard.reports import report_writer
from wildcore_leaderboard.runs import read_run

import wildcore.testing
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Found, Registry
from wildcore.reporting.console import Reporter

Json = dict[str, Any]
Another = Callable[..., Any]
Command = Callable[..., Result]
HOSTILE = '<script>window.hit=1</script><img src=x onerror="window.hit=1">\u202e\x1b[31m'


class Elements(HTMLParser):
    """Lists the elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(attribute)) is not None]


@pytest.fixture
def site(tmp_path: Path, wildcore_command: Command) -> Callable[..., Json]:
    """Return a function that builds the site of the runs of the test and returns its data."""

    def build(*options: str) -> Json:
        done = wildcore_command("leaderboard", tmp_path / "runs", "--out", tmp_path / "site", "--no-reports", *options)
        assert done.exit_code == 0, done.output
        found: Json = json.loads((tmp_path / "site" / "leaderboard.json").read_text())
        return found | {"output": done.output}

    return build


def table(data: Json, protocol: str = "wild") -> Json:
    """Return the only table of a protocol."""
    (found,) = [one for section in data["sections"] for one in section["tables"] if protocol in one["protocols"]]
    return dict(found)


def test_a_rank_is_a_range_where_differences_do_not_stand(another: Another, site: Callable[..., Json]) -> None:
    """With six cases about three subjects no difference stands, however large: every run can have every rank."""
    another("a", editor="best", wrong=lambda number: False)
    another("b", editor="half", wrong=lambda number: number < 3)
    another("c", editor="worst", wrong=lambda number: True)
    rows = table(site())["rows"]
    assert [row["editor"] for row in rows] == ["best", "half", "worst"]
    assert [row["numbers"]["reliability"]["mean"] for row in rows] == [1.0, 0.5, 0.0]
    assert [row["numbers"]["reliability"]["rank"] for row in rows] == [[1, 3]] * 3


def test_differences_that_stand_give_single_ranks(another: Another, registry: Any) -> None:
    runs = [another(name, editor=name).path for name in ("one", "two")]
    read = [read_run(registry, path, path.parent) for path in runs]
    (section,) = sections(read)
    board = next(board for board in section.boards if board.names == ("wild",))
    assert [row.cells["reliability"].rank for row in board.rows] != [None, None]
    many = [_with_cases(run, value) for run, value in zip(read, (1.0, 0.0), strict=True)]
    (section,) = sections(many)
    board = next(board for board in section.boards if board.names == ("wild",))
    ranks = [row.cells["reliability"].rank for row in board.rows]
    assert [(rank.best, rank.worst) for rank in ranks if rank] == [(1, 1), (2, 2)]
    assert [row.cells["reliability"].above_unedited for row in board.rows] == [True, False]


def _with_cases(run: Any, value: float, count: int = 20) -> Any:
    """Return a run whose first wild reliability score was given to many independent cases, with this value."""
    first = next(score for score in run.scores[None] if (score.protocol, score.kind) == ("wild", "reliability"))
    scores = tuple(
        first.model_copy(update={"case": f"c{number}", "after": value, "before": 0.0}) for number in range(count)
    )
    return replace(run, scores={None: scores}, cases={None: frozenset(s.case for s in scores)}, subjects={})


def test_the_numbers_are_those_of_the_run(another: Another, site: Callable[..., Json], registry: Any) -> None:
    run = another("a", wrong=lambda number: number % 3 == 0)
    numbers = table(site())["rows"][0]["numbers"]
    scores = [
        score for score in read_run(registry, run.path, run.path.parent).folder.scores() if score.protocol == "wild"
    ]
    for kind in ("reliability", "generalization", "locality"):
        values = [score.after for score in scores if score.kind == kind and score.after is not None]
        assert numbers[kind]["mean"] == pytest.approx(fmean(values))
    assert numbers["reliability"]["rank"] is None  # nothing to compare with


def changed(*path: str, to: Any) -> Callable[[Json], None]:
    def change(manifest: Json) -> None:
        place = manifest
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = to

    return change


BATCH = {
    "edits": "batch",
    "edits_per_update": 6,
    "judged": "after each update",
    "model": "put back after each update",
}
APART = {
    "another model": changed("identity", "model", "fingerprint", to="0" * 16),
    "another tokenizer": changed("identity", "model", "tokenizer_fingerprint", to="0" * 16),
    "another dtype": changed("identity", "model", "dtype", to="bfloat16"),
    "other facts": changed("identity", "dataset", "hash", to="0" * 16),
    "another schedule": changed("identity", "schedule", to=BATCH),
    "another order": changed("identity", "schedule", "order", to="shuffled with seed 1"),
    "a given patch": changed("identity", "editor", "patch", to={"file": "p", "sha256": "0", "requests": 6}),
    "another space before answers": changed("identity", "target_separator", to={"prompts_without_space": 3}),
}
TOGETHER = {
    "another name of the same model": changed("identity", "model", "name", to="renamed"),
    "another name of the same dataset": changed("identity", "dataset", "name", to="counterfact-copy"),
    "another seed": changed("identity", "seed", to=5),
    "another batch size": changed("identity", "batch_size", to=5),
    "other versions": changed("versions", "torch", to="9.9"),
    "another folder": changed("job", "settings", to={"dataset.path": "elsewhere.json"}),
}


@pytest.mark.parametrize("what", APART)
def test_what_is_not_comparable_stands_in_a_table_of_its_own(
    another: Another, site: Callable[..., Json], what: str
) -> None:
    another("a", editor="one")
    another("b", editor="two", manifest=APART[what])
    data = site()
    assert len(data["sections"]) == 2
    rows = [table["rows"] for section in data["sections"] for table in section["tables"]]
    assert [len(of_table) for of_table in rows] == [1] * 4
    assert all(row["numbers"]["reliability"]["rank"] is None for (row,) in rows)


@pytest.mark.parametrize("what", TOGETHER)
def test_what_no_number_depends_on_parts_no_runs(another: Another, site: Callable[..., Json], what: str) -> None:
    another("a", editor="one")
    another("b", editor="two", manifest=TOGETHER[what])
    data = site()
    assert [row["editor"] for row in table(data)["rows"]] == ["one", "two"]
    if what in ("another seed", "another batch size", "other versions"):
        assert table(data)["differs"]


def test_protocols_of_one_name_and_other_content_have_tables_of_their_own(
    another: Another, site: Callable[..., Json]
) -> None:
    def shorter(manifest: Json) -> None:
        for modules in (manifest["identity"]["protocols"]["wild"], manifest["protocols"][1]):
            modules["generator"]["params"]["max_new_tokens"] = 7

    another("a", editor="one")
    another("b", editor="two", manifest=shorter)
    (section,) = site()["sections"]
    rows = {
        json.dumps(one["modules"]["generator"]): one["rows"] for one in section["tables"] if "wild" in one["protocols"]
    }
    assert len(rows) == 2
    assert all(len(found) == 1 for found in rows.values())
    assert [len(one["rows"]) for one in section["tables"] if "synthetic" in one["protocols"]] == [2]


def test_protocols_of_another_name_and_the_same_content_share_a_table(
    another: Another, site: Callable[..., Json]
) -> None:
    def renamed(manifest: Json) -> None:
        protocols = manifest["identity"]["protocols"]
        protocols["my-wild"] = protocols.pop("wild")
        manifest["protocols"][1]["name"] = "my-wild"

    another("a", editor="one")
    run = another("b", editor="two", manifest=renamed)
    for name in ("journal.jsonl", "scores.jsonl"):
        run.lines(name, _rename)
    run.sum_up()
    found = table(site())
    assert found["protocols"] == ["my-wild", "wild"]
    assert [row["editor"] for row in found["rows"]] == ["one", "two"]


def _rename(records: list[Json]) -> None:
    for record in records:
        for one in (record, *record.get("probes", ())):
            if one.get("protocol") == "wild":
                one["protocol"] = "my-wild"


def test_a_run_with_fewer_cases_is_not_ranked_beside_others(another: Another, site: Callable[..., Json]) -> None:
    another("a", editor="one")
    run = another("b", editor="two")
    run.lines("journal.jsonl", lambda records: records[1:])
    run.score_again()
    assert len(site()["sections"]) == 2


def test_a_refused_edit_counts_as_the_unedited_model(another: Another, site: Callable[..., Json]) -> None:
    """An editor gains nothing by refusing what it cannot do."""

    def refuse(records: list[Json]) -> None:
        for record in records[:4]:
            record["edit"].update(status="refused", reason="too hard")
            for probe in record["probes"]:
                probe["after"] = []

    run = another("a", wrong=lambda number: False)
    run.lines("journal.jsonl", refuse)
    run.score_again()
    (row,) = table(site())["rows"]
    assert row["numbers"]["reliability"]["mean"] == pytest.approx(2 / 6)  # the tiny model knows none of the facts
    assert row["numbers"]["locality"]["cases"] == 6


def test_the_same_run_in_two_folders_counts_once(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    run = another("a", editor="one")
    shutil.copytree(run.path, tmp_path / "runs" / "deeper" / "again")
    data = site()
    assert len(data["runs"]) == 1
    assert data["left_out"] == ["deeper/again: the same run as a"]


def test_unfinished_and_damaged_runs_are_left_out_and_named(another: Another, site: Callable[..., Json]) -> None:
    another("a")
    (another("b", editor="unfinished").path / "scores.jsonl").unlink()
    (another("c", editor="damaged").path / "manifest.json").write_text("{}")
    data = site()
    assert len(data["runs"]) == 1
    assert [one.partition(":")[0] for one in data["left_out"]] == ["b", "c/manifest.json"]
    assert "Note: left out: b: unfinished" in data["output"]


def test_the_same_runs_give_the_same_bytes(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    another("a", editor="one")
    another("b", editor="two", wrong=lambda number: number > 2)

    def content() -> dict[str, bytes]:
        files = sorted(path for path in (tmp_path / "site").rglob("*") if path.is_file())
        return {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in files}

    site()
    first = content()
    site()  # replaces the earlier site
    assert content() == first
    assert len(first) == 4


def test_every_link_leads_to_a_file_or_a_place_in_it(
    another: Another, site: Callable[..., Json], tmp_path: Path
) -> None:
    another("a", editor="one")
    another("b", editor="two")
    site()
    pages = {path.resolve(): Elements(path.read_text()) for path in (tmp_path / "site").rglob("*.html")}
    assert len(pages) == 3
    for path, page in pages.items():
        for address in page.values("href"):
            file, _, anchor = address.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), address
            if anchor:
                assert anchor in pages[target].values("id"), address


def test_hostile_names_are_shown_as_text(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    def hostile(manifest: Json) -> None:
        manifest["identity"]["model"]["name"] = HOSTILE
        manifest["identity"]["dataset"]["name"] = HOSTILE
        manifest["notes"] = [HOSTILE]

    another("a", editor=HOSTILE, manifest=hostile)
    site("--title", HOSTILE)
    for path in (tmp_path / "site").rglob("*.html"):
        page = path.read_text()
        elements = Elements(page)
        assert [tag for tag, _ in elements.found].count("script") == 1
        assert "img" not in [tag for tag, _ in elements.found]
        assert not elements.values("onerror")
        assert not elements.values("style")
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "<script>window.hit=1</script>" in elements.text


def test_no_path_of_the_machine_is_on_the_site(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    another("a", manifest=changed("notes", to=["kept in /home/someone/cache/x"]))
    site()
    for path in (tmp_path / "site").rglob("*.*"):
        text = path.read_text()
        assert str(tmp_path) not in text
        assert "/home/someone" not in text


@pytest.mark.parametrize("command", ["build", ""])
def test_the_command_can_be_left_out(another: Another, tmp_path: Path, wildcore_command: Command, command: str) -> None:
    another("a")
    arguments = [one for one in ("leaderboard", command) if one]
    done = wildcore_command(*arguments, tmp_path / "runs", "--out", tmp_path / "site", "--no-reports")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'site' / 'index.html'}: 1 run in 1 setting, 2 tables" in done.output
    assert "build" in wildcore_command("leaderboard", "--help").output


def browser() -> str | None:
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_in_a_browser(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    """Sorting works, a link leads to the run, nothing is executed or requested, and no page is wider than a phone."""
    playwright = pytest.importorskip("playwright.sync_api")
    another("a", editor=HOSTILE, wrong=lambda number: False)
    another("b", editor="half", wrong=lambda number: number < 3)
    site()
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        problems: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tmp_path / "site" / "index.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
        board = page.locator("section table").first
        heading = board.locator("th", has_text="Reliability").first
        order = [board.locator("tbody th").all_inner_texts()]
        for direction in ("descending", "ascending"):
            heading.locator("button").click()
            assert heading.get_attribute("aria-sort") == direction
            order.append(board.locator("tbody th").all_inner_texts())
        assert order[0] == order[1] != order[2]
        assert [name.startswith("unedited") for name in order[2]] == [False, False, True]
        assert order[2][0].startswith("half")
        board.locator("a.value").first.click()
        page.wait_for_url("**/runs/*/index.html#*")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("window.hit") is None
        assert not problems
        assert all(address.startswith("file:") for address in requests)
        assert len(requests) == 2
        chromium.close()


def registry_with(command: click.Command) -> Registry:
    """Return a registry whose only offer is the command ``report``."""
    return Registry(commands={"report": Found("some-plugin", command)})


def test_a_report_is_made_of_a_copy_without_paths(another: Another, tmp_path: Path) -> None:
    run = another("a", manifest=changed("notes", to=["kept in /home/someone/cache/x"]))

    @click.command()
    @click.argument("name")
    @click.option("--out", type=click.Path(path_type=Path))
    def report(name: str, out: Path) -> None:
        click.echo("chatter")
        out.write_text(f"{name} {RunFolder.open(Path(name)).manifest.notes}")

    with click.Context(report) as context:
        write = report_writer(context, registry_with(report))
        assert write is not None
        assert write(RunFolder.open(run.path), "some-name", tmp_path / "report.html") is None
    assert (tmp_path / "report.html").read_text() == "some-name ('kept in x',)"


def test_a_report_that_fails_is_a_note(another: Another, tmp_path: Path, registry: Any) -> None:
    another("a")

    @click.command()
    @click.argument("name")
    @click.option("--out")
    def report(name: str, out: str) -> None:
        raise ImportError("no such thing")

    with click.Context(report) as context:
        write = report_writer(context, registry_with(report))
        built = build_site(registry, tmp_path / "runs", tmp_path / "site", "Title", write, Reporter(quiet=True))
    assert built.notes == ("the report cannot be made: ImportError: no such thing",)
    (page,) = (tmp_path / "site" / "runs").glob("*/index.html")
    assert "the report cannot be made: ImportError: no such thing" in page.read_text()


def test_without_the_plugin_there_are_no_reports() -> None:
    command = click.Command("leaderboard")
    with click.Context(command) as context:
        assert report_writer(context, Registry()) is None


def test_a_row_is_marked_where_it_departs(another: Another, site: Callable[..., Json], tmp_path: Path) -> None:
    """A protocol of the user is marked in its own table alone; changed files are marked in every table."""

    def own(manifest: Json) -> None:
        manifest["job"]["own_protocols"] = [{"name": "synthetic"}]

    run = another("a", manifest=own)
    run.lines("work.jsonl", lambda calls: calls[0].update(ended="2020-01-01"))
    site()
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count('<span class="mark">files changed</span>') == 1
    assert page.count('<span class="mark">not as published, files changed</span>') == 1
    assert page.index(">files changed<") < page.index(">not as published, files changed<")


def test_each_judging_point_of_a_sequence_has_its_table(
    site: Callable[..., Json], edits: Path, tmp_path: Path, wildcore_command: Command
) -> None:
    model = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
    arguments = ("--model", model, "--editor", "ft-m", "--dataset", "counterfact", "--set", f"dataset.path={edits}")
    how = ("--schedule", "sequential", "--judge-at", "4", "--protocol", "wild", "--measure", "none")
    done = wildcore_command("eval", *arguments, *how, "--out", tmp_path / "runs" / "sequence", "--quiet")
    assert done.exit_code == 0, done.output
    data = site()
    assert [(section["judged"], section["cases"]) for section in data["sections"]] == [
        ("after 6 edits", 6),
        ("after 4 edits", 4),
    ]
    (page,) = (tmp_path / "site" / "runs").glob("*/index.html")
    assert '<th scope="row" class="n">4</th>' in page.read_text()

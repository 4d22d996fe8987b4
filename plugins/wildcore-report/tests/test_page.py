"""The page of a report in a real browser: its first screen, figures, tables, and how it looks and reads elsewhere."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from .payloads import small
from .visits import Visit

Visits = Callable[..., Visit]


def test_first_screen_holds_the_finding_and_how_it_was_obtained(visit: Visits) -> None:
    opened = visit(width=1440, height=900)
    page = opened.page
    assert page.title() == page.inner_text("h1") == "Made-up runs"
    words, figure, how = (page.locator(place) for place in (".headline", "#figure-gap img", ".runs summary"))
    assert [words.nth(i).inner_text() for i in range(3)] == small().summary["headline"]
    for part in (words.nth(2), figure, how.nth(2)):
        box = part.bounding_box()
        assert box
        assert box["y"] + box["height"] < 900
    assert figure.evaluate("image => image.naturalWidth") == 640
    assert "1 sign of collapse" in how.nth(2).inner_text()


def test_how_it_was_obtained_unfolds_to_the_manifest(visit: Visits) -> None:
    opened = visit()
    run = opened.page.locator(".runs > li").nth(1)
    assert not run.locator("text=wildcore eval").count()
    run.locator("summary").click()
    run.locator("summary >> text=Manifest: everything the results depend on").click()
    run.locator(".tree").first.wait_for()
    opened.unfold(".tree")
    text = run.inner_text()
    for expected in ("wildcore eval --editor rome", "One case was set aside.", "layers 4, 5"):
        assert expected in text


def test_sections_have_their_figures_and_tables(visit: Visits) -> None:
    page = visit().page
    assert page.locator("#contents a").all_inner_texts() == ["By kind of probe", "Slices", "Cases (48)"]
    assert page.inner_text("#kinds tbody tr:first-child").split() == ["ft-m", "0.9", "0.333"]
    page.click("#kinds figure summary")
    assert page.inner_text("#kinds figure tbody tr:nth-child(3)").split() == ["memit", "0.9", "0.333"]
    assert page.locator("#slices tbody tr:visible").count() == 15
    page.click("text=Show all 40 rows")
    assert page.locator("#slices tbody tr:visible").count() == 40
    assert page.inner_text("#slices tbody tr:last-child").split() == ["P39", "39,000"]


@pytest.mark.parametrize(("dark", "ground", "picture"), [(False, 250, "eeeeee"), (True, 19, "111111")])
def test_colours_and_pictures_follow_the_reader(visit: Visits, dark: bool, ground: int, picture: str) -> None:
    opened = visit(dark=dark)
    assert f"rgb({ground}, " in opened.run("getComputedStyle(document.body).backgroundColor")
    assert picture in opened.run("document.querySelector('#figure-gap img').currentSrc")


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_nothing_is_wider_than_a_phone(visit: Visits, name: str) -> None:
    opened = visit(name, width=360, height=740)
    assert opened.run("document.documentElement.scrollWidth") == 360
    assert not opened.page.is_visible("#filter-kind")
    opened.page.click("text=Filters")
    opened.page.click("text=only where the two protocols differ")
    assert opened.passing() > 0
    opened.page.locator(".rows .row").first.click()
    case = opened.case()
    assert case.evaluate("dialog => dialog.scrollWidth - dialog.clientWidth") == 0
    assert opened.run("document.documentElement.scrollWidth") == 360


def test_printed_are_sections_and_figures_but_no_controls(visit: Visits) -> None:
    opened = visit(dark=True)
    opened.page.emulate_media(media="print")
    for hidden in ("#grid", ".controls", ".bar", ".top", "#slices button"):
        assert not opened.page.is_visible(hidden)
    for visible in (
        "#figure-gap img",
        "#kinds table",
        "text=These are 15 of 40 rows",
        "text=The table of 48 case records is not printed",
    ):
        assert opened.page.is_visible(visible)
    assert "rgb(255, 255, 255)" in opened.run("getComputedStyle(document.body).backgroundColor")
    assert "eeeeee" in opened.run("document.querySelector('#figure-gap img').currentSrc")
    assert len(opened.page.pdf()) > 10_000


def test_open_case_is_printed_alone(visit: Visits) -> None:
    opened = visit(fragment="#case=1:fact%3A3")
    opened.case()
    opened.page.emulate_media(media="print")
    assert opened.page.is_visible("#case >> text=The request")
    assert not opened.page.is_visible("h1")


def serious(opened: Visit, place: str, options: dict[str, Any]) -> list[Any]:
    """Return what axe-core finds in ``place`` that is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(opened.page, place, {"resultTypes": ["violations"], **options}).response
    assert found["passes"]
    return [
        (issue["id"], [node["html"] for node in issue["nodes"]])
        for issue in found["violations"]
        if issue["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    ("options", "rules"),
    [({}, {}), ({"dark": True}, {"runOnly": ["color-contrast"]}), ({"width": 360, "height": 740}, {})],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(visit: Visits, options: dict[str, Any], rules: dict[str, Any]) -> None:
    opened = visit(**options)
    opened.unfold("main")
    assert serious(opened, "body", rules) == []
    opened.page.locator(".rows .row").nth(6).click()
    opened.case()
    assert serious(opened, "#case", rules) == []


def test_outline_of_headings_skips_no_level(visit: Visits) -> None:
    opened = visit(fragment="#case=1:fact%3A3")
    opened.case()
    levels = opened.run("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_outcomes_are_told_without_colour(visit: Visits) -> None:
    opened = visit()
    assert set(opened.column("outcome")) == {"✓ held", "✗ failed", "∅ refused", "? unscored"}

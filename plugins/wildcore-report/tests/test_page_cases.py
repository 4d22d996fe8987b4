"""The table of cases in a real browser: search, filters, order, the address, the keyboard, and the time all this takes."""

from collections.abc import Callable

from .payloads import Payload, long, small
from .visits import Visit

Visits = Callable[..., Visit]
SMALL = small()


def rows_with(payload: Payload, **wanted: str) -> int:
    """Return how many rows of the index have the signs ``wanted``, by protocol (_ for -) under reliability."""
    columns = [payload.index["by"][f"{protocol.replace('_', '-')}|reliability"] for protocol in wanted]
    return sum(
        all(sign in signs for sign, signs in zip(row, wanted.values(), strict=True))
        for row in zip(*columns, strict=True)
    )


def test_search_asks_for_all_words(visit: Visits) -> None:
    opened = visit()
    opened.page.fill("#filter-q", "PERSON paris")
    expected = [text for text in SMALL.index["search"] if "person" in text and "paris" in text]
    assert 0 < opened.passing() == len(expected) < 48
    assert set(opened.column("target")) == {"Paris"}
    opened.page.fill("#filter-q", "no such word")
    assert opened.passing() == 0
    opened.wait("document.querySelector('#announcer').textContent === 'No case passes these filters.'")


def test_filters_agree_with_the_index(visit: Visits) -> None:
    opened = visit()
    page = opened.page
    page.click(".outcomes >> text=failed")
    assert opened.passing() == rows_with(SMALL, wild="f")
    assert set(opened.column("outcome")) == {"✗ failed"}
    page.click("text=only where the two protocols differ")
    differing = rows_with(SMALL, wild="f", synthetic="hru")
    assert opened.passing() == differing > 0
    opened.choose("run", "3")
    opened.choose("edits", "12")
    opened.choose("tag", "source=set 1")
    kept = [
        row
        for row in range(48)
        if SMALL.index["run"][row] == 2
        and SMALL.index["after_edits"][row] == 12
        and "source=set 1" in SMALL.index["tags"][row]
        and SMALL.index["by"]["wild|reliability"][row] == "f" != SMALL.index["by"]["synthetic|reliability"][row]
    ]
    assert opened.column("case") == [SMALL.index["case"][row] for row in kept] != []
    page.click("#reset")
    assert opened.passing() == 48
    opened.choose("protocol", "synthetic")
    opened.choose("kind", "locality")
    opened.choose("before", "f")
    assert opened.passing() == 0
    opened.choose("before", "u")
    assert opened.passing() == 48


def test_outcomes_count_what_the_other_filters_leave(visit: Visits) -> None:
    opened = visit()
    opened.choose("run", "2")
    signs = SMALL.index["by"]["wild|reliability"][12:24]
    expected = [("all", 12), ("✓ held", "h"), ("✗ failed", "f"), ("∅ refused", "r"), ("? unscored", "u")]
    shown = [f"{name} {signs.count(sign) if isinstance(sign, str) else sign}" for name, sign in expected]
    assert opened.page.locator(".outcomes button").all_inner_texts() == shown


def test_columns_sort_up_down_and_back(visit: Visits) -> None:
    opened = visit()
    opened.choose("run", "1")
    unsorted = opened.column("target")
    header = opened.page.locator(".head button >> text=Target")
    for direction, expected in [
        ("ascending", sorted(unsorted, key=str.lower)),
        ("descending", sorted(unsorted, key=str.lower)[::-1]),
    ]:
        header.click()
        assert opened.page.get_attribute(".head .target", "aria-sort") == direction
        assert opened.column("target") == expected
    header.click()
    assert opened.column("target") == unsorted
    opened.page.click(".head button >> text=Tokens")
    assert opened.column("tokens") == sorted(opened.column("tokens"), key=int)


def test_filters_and_order_are_in_the_address(visit: Visits) -> None:
    opened = visit()
    opened.page.fill("#filter-q", "город & = # %")
    opened.page.fill("#filter-q", "person")
    opened.choose("run", "2")
    opened.page.click(".outcomes >> text=failed")
    opened.page.click(".head button >> text=Case")
    assert opened.coded_fragment() == "q=person&run=2&outcome=f&sort=case"
    passing, cases = opened.passing(), opened.column("case")
    again = visit(fragment=f"#{opened.coded_fragment()}")
    assert (again.passing(), again.column("case")) == (passing, cases)
    assert again.page.input_value("#filter-q") == "person"
    assert again.page.get_attribute("[data-outcome=f]", "aria-pressed") == "true"
    again.page.click("#contents >> text=Slices")
    again.page.click("#reset")
    assert again.fragment() == ""


def test_text_with_signs_of_the_address_comes_back_from_it(visit: Visits) -> None:
    text = "a&b=c#d%20e +f\u202e"
    opened = visit()
    opened.page.fill("#filter-q", text)
    assert visit(fragment=f"#{opened.coded_fragment()}").page.input_value("#filter-q") == text


def test_keyboard_alone_searches_moves_opens_and_closes(visit: Visits) -> None:
    opened = visit()
    press = opened.page.keyboard.press
    press("/")
    opened.page.keyboard.type("person")
    assert opened.page.input_value("#filter-q") == "person"
    opened.page.focus("#grid")
    for key, position in [
        ("ArrowDown", 1),
        ("ArrowDown", 2),
        ("ArrowUp", 1),
        ("End", 47),
        ("Home", 0),
        ("PageDown", None),
    ]:
        press(key)
        row = opened.run(
            "document.getElementById(document.getElementById('grid').getAttribute('aria-activedescendant')).dataset.position"
        )
        assert int(row) == position if position is not None else int(row) > 5
    press("Home")
    press("ArrowDown")
    press("Enter")
    assert "Case fact:1" in opened.case().inner_text()
    assert opened.run("document.activeElement.id") == "case-title"
    press("ArrowRight")
    opened.wait("document.querySelector('#case-title').textContent === 'Case fact:2'")
    press("Escape")
    opened.until_closed()
    assert opened.run("document.activeElement.id") == "grid"
    assert opened.run("document.querySelector('[aria-selected=true] .case').textContent") == "fact:2"


def test_tab_reaches_everything_and_the_focus_is_visible(visit: Visits) -> None:
    opened = visit()
    seen = []
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        seen.append(opened.run("(document.activeElement.id || document.activeElement.textContent.trim())"))
        if seen[-1] == "grid":
            break
        assert opened.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert seen[0] == "Skip to the results"
    for name in ("filter-q", "filter-kind", "filter-protocol", "filter-differ", "grid"):
        assert name in seen


def test_header_keeps_the_focus_when_it_sorts(visit: Visits) -> None:
    opened = visit()
    opened.page.focus("[data-sort=case]")
    for expected in ("ascending", "descending", "none"):
        opened.page.keyboard.press("Enter")
        assert opened.page.get_attribute(".head .case", "aria-sort") == expected
        assert opened.run("document.activeElement.dataset.sort") == "case"


def test_twenty_thousand_cases_stay_fluid(visit: Visits) -> None:
    """First paint under 2 s, a filter and a sort under 200 ms: the best of several, as other tests load the machine."""
    opened = visit("long")
    paint = opened.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = opened.run("performance.getEntriesByName('cases-ready')[0].startTime")
    if paint >= 2000:  # once more, without what else the machine was doing
        again = visit("long")
        paint = again.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 2000
    assert ready > 0
    assert opened.page.locator(".rows .row").count() < 60
    index = long().index
    for name, act in {
        "search": lambda text: opened.page.fill("#filter-q", text),
        "tag": lambda text: opened.choose("tag", f"relation=P{len(text)}"),
        "sort": lambda text: opened.page.click(f"[data-sort={'question' if len(text) % 2 else 'score'}]"),
    }.items():
        opened.run("performance.clearMeasures()")
        for text in ("p", "pe", "per", "pers"):
            act(text)
        times = opened.run("performance.getEntriesByName('filter').map(entry => entry.duration)")
        assert len(times) == 4, name
        assert min(times) < 200, (name, times)
    expected = sum(
        "relation=P4" in tags and "pers" in text for tags, text in zip(index["tags"], index["search"], strict=True)
    )
    assert opened.passing() == expected > 0
    opened.page.click("#reset")
    opened.page.focus("#grid")
    opened.page.keyboard.press("End")
    assert opened.column("case")[-1] == "fact:4999"
    opened.page.keyboard.press("Enter")
    assert "Case fact:4999" in opened.case().inner_text()


def test_table_says_its_size_to_a_screen_reader(visit: Visits) -> None:
    opened = visit()
    opened.choose("run", "1")
    grid = opened.page.locator("#grid")
    assert grid.get_attribute("aria-rowcount") == "13"
    assert grid.locator("[role=row]").nth(1).get_attribute("aria-rowindex") == "2"
    opened.wait("document.querySelector('#announcer').textContent === '12 of 48 case records'")

"""An open case in a real browser: what it shows, links to it, and texts that try to do harm."""

from collections.abc import Callable

from .payloads import ATTACKS, small
from .visits import Visit

Visits = Callable[..., Visit]


def test_case_shows_request_answers_scores_and_the_edit(visit: Visits) -> None:
    opened = visit(fragment="#case=2:fact%3A3:1")
    case = opened.case()
    text = case.inner_text()
    for expected in (
        "Case fact:3",
        "person 3",
        "Also accepted",
        "modules layers.1.mlp",
        "norm 1.5",
        "0.25 s",
        "relation\nP3",
    ):
        assert expected in text
    assert case.locator(".request td").all_inner_texts() == ["✓ held"] * 6 + ["✗ failed", "✓ held", "✗ failed"]
    wild = case.locator("[data-key='case-0-wild']")
    assert "Please answer the question:" in wild.locator(".code").first.inner_text()
    cells = wild.locator("article")
    assert cells.locator("h5").all_inner_texts() == ["ft-m\n✓ held", "rome\n✓ held", "memit\n✓ held"]
    assert cells.nth(1).locator(".scores tbody").inner_text().split() == ["exact-match", "0", "1"]
    cells.nth(1).locator("text=asked differently after the edit").click()
    assert "New fact: 東京." in cells.nth(1).inner_text()
    chat = case.locator("[data-key='case-0-wild-chat']")
    chat.locator("summary").first.click()
    assert "GRADE: B" in chat.locator("article").first.locator(".evidence").inner_text()


def test_text_after_the_cut_is_set_off(visit: Visits) -> None:
    case = visit(fragment="#case=1:fact%3A3").case()
    answer = case.locator("[data-key='case-0-wild'] article").first.locator(".answer.after")
    assert answer.locator("> .text").inner_text() == "東京"
    assert "cut here" in answer.locator(".cut .label").inner_text()
    assert answer.locator(".cut .text").inner_text() == ".↵\nQ: And who wrote it?↵\nA: nobody knows"
    assert answer.locator(".cut").evaluate("block => getComputedStyle(block).borderTopStyle") == "dashed"


def test_words_that_differ_are_marked_against_the_gold_or_by_the_edit(visit: Visits) -> None:
    opened = visit(fragment="#case=1:fact%3A2")
    case = opened.case()
    cell = case.locator("[data-key='case-0-wild'] article").first
    assert cell.locator(".after > .text").inner_text() == "the city of Berlin, person 2"
    assert cell.locator(".after mark").all_inner_texts() == ["the", "of", "Berlin", "person", "2"]
    assert cell.locator(".after .lacking").inner_text() == "lacks: New York"
    case.locator("text=words that the edit changed").click()
    assert cell.locator(".before del").all_inner_texts() == ["in", "Oslo"]
    assert cell.locator(".after ins").all_inner_texts() == ["the", "city", "of", "Berlin", "person", "2"]
    assert cell.locator("mark, .lacking").count() == 0
    assert opened.run("document.activeElement.value") == "change"


def test_refused_and_unscored_say_why(visit: Visits) -> None:
    opened = visit(fragment="#case=2:fact%3A6")
    cell = opened.case().locator("[data-key='case-0-wild'] article").nth(1)
    for expected in ("∅ refused", "Not answered: the edit was refused", "exact-match, after: refused"):
        assert expected in cell.inner_text()
    unscored = visit(fragment="#case=1:fact%3A10").case().locator("[data-key='case-0-wild'] article").first
    assert "exact-match, after: no reply" in unscored.inner_text()
    without = visit("without_metric", fragment="#case=1:fact%3A0").case()
    without.locator("details.protocol").evaluate_all("all => all.forEach(one => { one.open = true })")
    texts = without.locator("article:has-text('Not scored:')").all_inner_texts()
    assert len(texts) == 1
    assert "has no metric for locality." in texts[0]


def test_links_open_a_case_and_the_back_button_closes_it(visit: Visits) -> None:
    opened = visit()
    opened.page.locator(".rows a").nth(1).click()
    assert opened.case().locator("h2").inner_text() == "Case fact:1"
    assert opened.fragment() == "case=1:fact:1:1"
    opened.page.click("[aria-label='Next case']")
    opened.wait("document.querySelector('#case-title').textContent === 'Case fact:2'")
    assert opened.fragment() == "case=1:fact:2:1"
    opened.page.go_back()
    opened.until_closed()
    opened.page.go_forward()
    assert opened.case().locator("h2").inner_text() == "Case fact:2"
    opened.page.click("[aria-label='Close the case']")
    opened.until_closed()
    opened.page.evaluate("location.hash = '#case=3:fact:4'")  # a colon left as it is, no judging point: the last one
    assert "after 12 edits" in opened.case().locator(".cell.own h5").first.inner_text()
    assert opened.case().locator(".points a").all_inner_texts() == ["1 edit", "12 edits"]
    opened.page.click(".points a >> nth=0")
    opened.wait("location.hash.endsWith('4:1')")
    opened.page.keyboard.press("Escape")
    opened.until_closed()


def test_link_to_a_case_keeps_filters_and_an_unknown_one_is_named(visit: Visits) -> None:
    opened = visit(fragment="#case=2:fact%3A3:1&run=2&outcome=h")
    assert opened.case().locator("h2").inner_text() == "Case fact:3"
    opened.page.keyboard.press("Escape")
    opened.until_closed()
    assert opened.fragment() == "run=2&outcome=h"
    assert opened.passing() == small().index["by"]["wild|reliability"][12:24].count("h")
    unknown = visit(fragment="#case=9:nothing<b>:1")
    assert unknown.page.inner_text("#missing") == "This report has no case 9:nothing<b>:1."
    broken = visit(fragment="#case=1:%E0%A4%A:1&q=%")
    assert "no case" in broken.page.inner_text("#missing")


def test_hostile_texts_are_shown_and_nothing_is_executed(visit: Visits) -> None:
    opened = visit("hostile")
    page = opened.page
    opened.unfold("main")
    assert page.locator("main script, main b:has-text('bold'), img[src=x]").count() == 0
    assert ATTACKS[0] in page.inner_text("h1")
    page.locator(".rows .row").first.click()
    for number in range(len(ATTACKS)):
        opened.wait(f"document.querySelector('#case').innerText.includes('person {number}')")
        case = opened.case()
        opened.unfold("#case")
        assert case.locator("script, iframe, object, img").count() == 0
        assert opened.fragment().startswith(f"case=1:fact:{number} ")
        page.click("[aria-label='Next case']")
    assert opened.run("window.attacked === undefined")


def test_hidden_characters_are_visible_and_turn_no_text_around(visit: Visits) -> None:
    opened = visit("hostile")
    questions = opened.column("question")
    assert "[RLO]esrever[LRI][ZWSP][BOM]" in questions[5]
    assert "nul [NUL] bell [BEL] escape [ESC][31m delete [DEL] c1 [U+009B] line[U+2028]separator" in questions[6]
    assert "lone [U+DFFF][U+D800] surrogate" in questions[7]
    opened.page.locator(".rows .row").nth(5).click()
    asked = opened.case().locator(".request .text").first
    assert asked.inner_text().endswith("[RLO]esrever[LRI][ZWSP][BOM]")
    assert asked.get_attribute("dir") == "auto"
    assert asked.locator(".sign").first.get_attribute("title") == "U+202E"


def test_answer_of_a_million_characters_is_cut_until_asked_for(visit: Visits) -> None:
    opened = visit("hostile")
    opened.page.locator(".rows .row").first.click()
    answer = opened.case().locator("[data-key='case-0-wild'] article").first.locator(".answer.after > .text")
    assert len(answer.inner_text()) < 6000
    answer.locator("button").click()
    whole = answer.text_content()
    assert whole is not None
    assert whole.count("word <b>bold</b>[RLO] [NUL]") == 45_000


def test_policy_refuses_markup_code_and_addresses_even_if_the_script_had_a_fault(visit: Visits) -> None:
    opened = visit()
    for fault in (
        "document.body.innerHTML = '<p id=injected>markup</p>'",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.attacked = 6'}))",
        "document.body.setAttribute('onclick', 'window.attacked = 7'); document.body.click()",
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/x.png'}))",
        "document.body.setAttribute('style', 'background: red')",
        "fetch('https://example.org/').catch(() => 0)",
    ):
        with opened.page.expect_console_message() as message:
            opened.run(f"(async () => {{ try {{ {fault} }} catch {{}} }})()")
        assert "The action has been blocked" in message.value.text, fault
    assert opened.run("!window.attacked && !document.querySelector('#injected') && !document.body.style.background")
    opened.complaints.clear()  # wanted here
    opened.requests.remove("https://example.org/x.png")  # noted although it was blocked

"""The page of ``wildcore view`` in a real browser: data from a server, new while a run is going on."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import pytest
from wildcore_report.assemble import page as page_of

from .payloads import Payload, small
from .visits import Visit

ADDRESS = "http://report.test/token/"


class Served:
    """A page and its data as a server gives them, without a server. ``fails`` makes it answer with an error."""

    def __init__(self, visit: Visit, payload: Payload) -> None:
        self.visit, self.payload, self.version, self.fails = visit, payload, 1, False
        visit.page.route("**/*", self._answer)

    def _answer(self, route: Any) -> None:
        name = urlparse(route.request.url).path.removeprefix("/token/")
        if name == "":
            body = "".join(page_of(title="Live", source="server"))
            route.fulfill(body=body, content_type="text/html; charset=utf-8")
        elif self.fails:
            route.fulfill(status=503)
        elif name == "data/version.json":
            finished = all(run["finished"] for run in self.payload.summary["runs"])
            route.fulfill(body=json.dumps({"version": str(self.version), "finished": finished}))
        else:
            route.fulfill(body=self.payload.served()[name.removeprefix("data/").removesuffix(".json")])

    def change(self, payload: Payload) -> None:
        """Let the data be ``payload`` from now on."""
        self.payload, self.version = payload, self.version + 1


@pytest.fixture
def served(browser: Any) -> Iterator[Served]:
    visit = Visit(browser, offline=False)
    served = Served(visit, small(finished=False, facts=4))
    visit.open(ADDRESS)
    yield served
    visit.close()
    assert {urlparse(request).netloc for request in visit.requests} == {"report.test"}
    assert [text for text in visit.complaints if "503" not in text] == []


def test_new_cases_appear_and_the_reader_keeps_the_place(served: Served) -> None:
    visit, page = served.visit, served.visit.page
    assert page.inner_text("#live") == "live"
    visit.choose("run", "3")
    visit.choose("edits", "1")
    page.click(".head button >> text=Question")
    page.focus("#grid")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    heading = visit.case().locator("h2").inner_text()
    address = visit.fragment()
    visit.run("document.querySelector('#case').scrollTop = 120")
    assert visit.passing() == 4
    served.change(small(finished=False, facts=9))
    visit.wait("document.querySelector('#count').textContent === '9 of 36 case records'")
    assert (visit.case().locator("h2").inner_text(), visit.fragment()) == (heading, address)
    assert visit.run("document.querySelector('#case').scrollTop") == 120
    page.keyboard.press("Escape")
    visit.until_closed()
    assert page.input_value("#filter-run") == "3"
    assert visit.run("document.querySelector('[aria-selected=true] .case').textContent") == heading.removeprefix(
        "Case "
    )
    served.change(small(finished=True, facts=9))
    visit.wait("document.querySelector('#live').textContent === 'finished'")
    asked = len(visit.requests)
    page.wait_for_timeout(2200)
    assert len(visit.requests) == asked


def test_server_that_fails_is_named_and_asked_again(served: Served) -> None:
    visit, page = served.visit, served.visit.page
    served.fails = True
    visit.wait("document.querySelector('#live').textContent.includes('the server answered 503')")
    served.fails = False
    served.change(small(finished=False, facts=5))
    visit.wait("document.querySelector('#count').textContent === '20 of 20 case records'")
    assert page.inner_text("#live") == "live"

"""A browser for the tests of the page: the system's Chromium, driven by playwright. Without one of them the tests are skipped."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from . import payloads
from .visits import Visit

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MISSING = "the package playwright is not installed"


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of this folder; closed with them, as playwright occupies the thread's event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason=MISSING)
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"no Chromium is installed (looked for {', '.join(CHROMIUM)})")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the file of a made-up report by the name of its function in payloads.py, written once."""
    folder = tmp_path_factory.mktemp("reports")

    @cache
    def report(name: str) -> Path:
        file = folder / f"{name}.html"
        file.write_text(getattr(payloads, name)().html(), encoding="utf-8")
        return file

    return report


@pytest.fixture(scope="package")
def screens(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Return a function that gives the one page with these options, as a new one costs more than most tests."""

    @cache
    def screen(**options: Any) -> Visit:
        return Visit(browser, **options)

    yield screen
    for context in browser.contexts:
        context.close()


@pytest.fixture
def visit(screens: Callable[..., Visit], reports: Callable[[str], Path]) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a made-up report offline, in place of the one opened before with the same options.
    Afterwards the test fails if the page asked for anything besides its own file, or if the browser's console said anything.
    """
    visits: dict[int, Visit] = {}
    allowed: set[str] = set()

    def open_report(name: str = "small", fragment: str = "", **options: Any) -> Visit:
        opened = screens(**options)
        visits[id(opened)] = opened
        allowed.add(reports(name).as_uri())
        return opened.open(f"{reports(name).as_uri()}{fragment}")

    yield open_report
    found = [(one.complaints.copy(), one.requests.copy()) for one in visits.values()]
    for one in visits.values():
        one.forget()
    for complaints, requests in found:
        assert complaints == []
        assert set(requests) <= allowed

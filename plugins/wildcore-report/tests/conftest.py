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


@pytest.fixture
def visit(browser: Any, reports: Callable[[str], Path]) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a made-up report offline. Afterwards the test fails if the page asked for anything besides
    its own file, or if the browser's console said anything.
    """
    visits: list[Visit] = []

    def open_report(name: str = "small", fragment: str = "", **options: Any) -> Visit:
        visits.append(Visit(browser, **options))
        return visits[-1].open(f"{reports(name).as_uri()}{fragment}")

    yield open_report
    for made in visits:
        made.close()
    for made in visits:
        assert made.complaints == []
        assert set(made.requests) <= {made.address}

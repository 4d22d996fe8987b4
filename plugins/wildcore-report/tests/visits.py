"""A page that is open in the browser, with what a reader does on it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

READY = "performance.getEntriesByName('cases-ready').length > 0"
UNFOLD = """place => {
    const closed = [...document.querySelectorAll(`${place} details:not([open])`)];
    for (const details of closed) {
        details.open = true;
        details.dispatchEvent(new Event("toggle")); // the browser sends it later
    }
    return closed.length;
}"""
PATIENCE = 10.0  # seconds until something that should happen has not


class Visit:
    """A page of its own, offline. ``complaints`` are what the console said, ``requests`` the addresses that it asked for."""

    def __init__(
        self, browser: Any, width: int = 1280, height: int = 800, dark: bool = False, offline: bool = True
    ) -> None:
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=offline, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, address: str) -> None:
        if not address.startswith(("data:", "about:")):  # a picture in the page, or no page
            self.requests.append(address.partition("#")[0])

    def open(self, address: str) -> Visit:
        """Load ``address`` anew and wait until the table of cases can be used."""
        self.page.goto("about:blank")
        self.page.emulate_media(media="null")
        self.page.goto(address)
        self.wait(READY)
        return self

    def wait(self, script: str) -> None:
        """Wait until ``script`` is true in the page. The page's policy forbids playwright's own way, which evaluates there."""
        limit = time.monotonic() + PATIENCE
        while not self.page.evaluate(script):
            assert time.monotonic() < limit, f"never true: {script}"
            time.sleep(0.02)

    def unfold(self, place: str) -> None:
        """Open everything in ``place`` that can be unfolded, at any depth."""
        while self.page.evaluate(UNFOLD, place):
            pass

    def forget(self) -> None:
        """Forget what was noted so far."""
        self.complaints.clear()
        self.requests.clear()

    def close(self) -> None:
        """Close the page."""
        self.context.close()

    def run(self, script: str, argument: Any = None) -> Any:
        """Return what ``script`` makes of the page."""
        return self.page.evaluate(script, argument)

    def choose(self, name: str, value: str) -> None:
        """Choose in the list of the filter ``name``."""
        self.page.select_option(f"#filter-{name}", value)

    def passing(self) -> int:
        """Return how many case records pass the filters, as the page says."""
        return int(self.page.inner_text("#count").split(" of ")[0].replace(",", ""))

    def column(self, name: str) -> list[str]:
        """Return the cells of a column that are drawn, from the top."""
        return [text.strip() for text in self.page.locator(f".rows [data-column={name}]").all_inner_texts()]

    def coded_fragment(self) -> str:
        """Return what follows # in the address, as it stands there."""
        return str(self.page.evaluate("location.hash.slice(1)"))

    def fragment(self) -> str:
        """Return what follows # in the address, decoded."""
        return unquote(self.coded_fragment())

    def until_closed(self) -> None:
        """Wait until no case is open."""
        self.wait("!document.querySelector('#case').open")

    def case(self) -> Any:
        """Return the open case, complete."""
        self.page.wait_for_selector("#case article")
        return self.page.locator("#case")

"""The failures that can occur instead of a reply."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

FOR_A_WHILE = (408, 409, 425, 429)
UNREADABLE = "the judge's server replies, but in a form that cannot be read"
FOR_THIS_REQUEST = (400, 413, 415, 422, 451, 501)


class Passing(Exception):
    """The server failed in a way that may be temporary. ``wait`` is the number of seconds it asks to wait."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class Unreadable(Exception):
    """The server sent a reply that cannot be read. ``problem`` says why, if that is known; ``said`` quotes the reply."""

    def __init__(self, said: str, problem: str = "") -> None:
        super().__init__(said, problem)
        self.why = UNREADABLE + (f" ({problem})" if problem else "")
        self.said = said


class NotTaken(Exception):
    """The server rejects this request: its text, or an option in it."""


class Unanswered(Exception):
    """There is no usable reply to this text. ``said`` quotes the server, apart from the reason."""

    def __init__(self, why: str, said: str = "") -> None:
        super().__init__(why, said)
        self.why = why
        self.said = said


class Halted(Exception):
    """There will be no reply to any further text: the key is rejected, or the budget is spent."""


class OverBudget(Halted):
    """The budget does not allow this request."""

    def __init__(self) -> None:
        super().__init__("budget reached")


def failure(status: int, headers: Mapping[str, str], body: str, key: str) -> Exception:
    """Return the exception for an HTTP error status. ``body`` is the server's message, ``key`` says where the key is from."""
    said = f"{status}: {' '.join(body.split()):.200}"
    if status == 401:  # its body may quote a part of the key
        return Halted(f"the judge's server does not accept {key} (401)")
    if status == 429 and "insufficient_quota" in body:
        return Halted(f"the judge's server refuses: {said}")
    if status in FOR_THIS_REQUEST:
        return NotTaken(said)
    if status >= 500 or status in FOR_A_WHILE:
        return Passing(said, seconds_to_wait(headers.get("retry-after")))
    if 300 <= status < 400:
        place = f" to {headers['location']:.200}" if "location" in headers else ""
        return Halted(
            f"the judge's server redirects{place} ({status}), which is not followed; give the address that is meant"
        )
    hint = " (does the address end in /v1, and is the model's name right?)" if status == 404 else ""
    return Halted(f"the judge's server refuses: {said}{hint}")


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date (RFC 9110, section 10.2.3). None: it is neither."""
    try:
        seconds = float(retry_after or "")
        return max(0.0, seconds) if isfinite(seconds) else None
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after or "")
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())

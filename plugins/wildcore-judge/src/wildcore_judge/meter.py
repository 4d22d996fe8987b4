"""The cost of judging: counts tokens and requests, and enforces budgets that no request may exceed."""

from dataclasses import dataclass, field
from typing import Any

from wildcore_judge.parameters import JudgeParams

BYTES_PER_TOKEN = 4
"""An approximation for English text, used for estimates."""
VERDICT_TOKENS = 10
WRAPPING = 300
"""Most tokens that a chat template and the schema of the reply add to a text; used for upper bounds."""

MOST_ADDED = 2_048
"""Most tokens that a server is believed to read beyond the upper bound of a request: a system prompt of its own. There is no such
allowance for what is written: thoughts and marks of an end are within the limit that the request sets."""


@dataclass(frozen=True)
class Tokens:
    """Tokens that a model read and wrote."""

    read: int = 0
    written: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.written + other.written)

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read - other.read, self.written - other.written)


@dataclass
class Meter:
    """Counts what was spent, and the upper bound of the requests in flight.

    A token has at least one byte of text, so the bytes of a text are an upper bound of its cost. If a server reports more,
    because it adds text of its own, its number is used from then on. So what the budget is exceeded by is at most
    ``MOST_ADDED`` read tokens for each request in flight at that time, whatever a server reports.
    """

    params: JudgeParams
    requests: int = 0
    spent: Tokens = Tokens()
    guessed: int = 0
    """Requests whose cost the server did not report; they are counted at their upper bound."""
    reserved: Tokens = Tokens()
    under_way: int = 0
    implausible: int = 0
    """Replies with numbers of tokens that cannot be right; they are counted at their upper bound."""
    surplus: int = field(default=0, init=False)

    def bound(self, text: str, max_tokens: int | None = None) -> Tokens:
        """Return the upper bound of a request's tokens; ``max_tokens`` None: the parameter's."""
        return Tokens(len(text.encode()) + WRAPPING + self.surplus, max_tokens or self.params.max_tokens)

    def plausible(self, text: str, max_tokens: int, read: Any, written: Any) -> Tokens | None:
        """Return the tokens that a server reports. None: it reports none, or numbers that cannot be right; those are counted.

        They must be whole numbers, ``read`` at least 1 and ``written`` at least 0. ``read`` may exceed the upper bound of the
        request by no more than ``MOST_ADDED``, and ``written`` not at all.
        """
        if read is None or written is None:
            return None
        bound = self.bound(text, max_tokens)
        likely = (
            type(read) is int
            and type(written) is int
            and 1 <= read <= bound.read - self.surplus + MOST_ADDED
            and 0 <= written <= bound.written
        )
        self.implausible += not likely
        return Tokens(read, written) if likely else None

    def allows(self, bound: Tokens) -> bool:
        """Return whether a request can be sent without exceeding a budget."""
        limit, budget = self.params.request_budget, self.params.budget
        if limit is not None and self.requests >= limit:
            return False
        cost = self.cost(self.spent + self.reserved + bound)
        return budget is None or (cost is not None and cost <= budget)

    def begin(self, bound: Tokens) -> None:
        """Count a request that is sent."""
        self.requests += 1
        self.under_way += 1
        self.reserved += bound

    def end(self, bound: Tokens, used: Tokens | None) -> None:
        """Count the cost of a finished request. None: unknown."""
        self.under_way -= 1
        self.reserved -= bound
        self.spent += bound if used is None else used
        self.guessed += used is None
        if used is not None:
            self.surplus = min(MOST_ADDED, self.surplus + max(0, used.read - bound.read))

    def cost(self, tokens: Tokens) -> float | None:
        """Return the cost of tokens in USD. None: the prices are not known."""
        if self.params.input_price is None or self.params.output_price is None:
            return None
        return (tokens.read * self.params.input_price + tokens.written * self.params.output_price) / 1e6

    def in_usd(self, tokens: Tokens) -> str:
        """Return the cost as it is shown."""
        cost = self.cost(tokens)
        return "cost unknown (no prices given)" if cost is None else f"${cost:.4f}"


def estimate(text: str) -> Tokens:
    """Return an estimate of a text's tokens."""
    return Tokens(len(text.encode()) // BYTES_PER_TOKEN, VERDICT_TOKENS)

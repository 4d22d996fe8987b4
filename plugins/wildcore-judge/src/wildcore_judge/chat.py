"""Sends one text to a server with OpenAI's chat completions API, and reads its reply."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from wildcore_judge.client import NotReceived
from wildcore_judge.completion import Completion, read_completion
from wildcore_judge.failures import NotTaken, OverBudget, Passing, Unanswered, Unreadable, failure
from wildcore_judge.forms import Letters
from wildcore_judge.key import Key
from wildcore_judge.meter import Meter, Tokens
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.verdict import Reply

NOTHING = Tokens()
NEVER_ARRIVED = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol")
"""Names of the HTTP client's errors (httpx or its successor) after which the server has received nothing of the request."""

VERDICT_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"verdict": {"type": "string", "enum": ["CORRECT", "INCORRECT"]}},
            "required": ["verdict"],
            "additionalProperties": False,
        },
    },
}
LIMITS = ("max_tokens", "max_completion_tokens")
CAN_DO_WITHOUT = {
    "response_format": "it is asked without constraining the reply",
    "seed": "it is asked without a seed",
    "temperature": "it is asked at its own temperature, so that verdicts may vary",
}
"""Options that a server may reject, and the consequence of leaving them out."""


@dataclass
class Bill:
    """The cost of a request. None: not known yet."""

    used: Tokens | None = None


class Gate:
    """Lets a request through once it cannot exceed a budget."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def passed(self, text: str, max_tokens: int) -> AsyncIterator[Bill]:
        """Reserve the upper bound of a request's cost while it is in flight. Raises ``OverBudget`` if the budget is too small
        for it.
        """
        async with self._changed:
            while not self.meter.allows(bound := self.meter.bound(text, max_tokens)):
                if not self.meter.under_way:
                    raise OverBudget
                await self._changed.wait()
            self.meter.begin(bound)
        bill = Bill()
        try:
            yield bill
        finally:
            self.meter.end(bound, bill.used)
            async with self._changed:
                self._changed.notify_all()


class Chat:
    """A model on a server. The options that the server accepts are determined with the first reply and then fixed."""

    def __init__(
        self,
        client: AsyncOpenAI,
        params: JudgeParams,
        key: Key,
        meter: Meter,
        letters: Letters,
        note: Callable[[str], None],
    ) -> None:
        self.client = client
        self.params = params
        self.key = key
        self.gate = Gate(meter)
        self.letters = letters
        self.note = note
        self.settled = False
        self.options: dict[str, Any] = {"temperature": 0.0, "seed": 0, "max_tokens": params.max_tokens}
        if params.constrain:
            self.options["response_format"] = VERDICT_SCHEMA

    @property
    def repeats_itself(self) -> bool:
        """Whether the server replies alike to the same request, because it takes temperature 0."""
        return "temperature" in self.options

    async def ask(self, text: str, max_tokens: int | None = None) -> Reply:
        """Return the reply to ``text``, which has at most ``max_tokens`` tokens, if given, instead of the parameter's.

        Raises ``Passing``, ``Unreadable``, ``Unanswered`` or ``Halted``.
        """
        options = self.options
        while True:
            try:
                reply = await self._post(text, options, max_tokens or self.params.max_tokens)
            except NotTaken as refusal:
                milder = None if self.settled else without_what_is_refused(options, str(refusal))
                if milder is None:
                    raise Unanswered(f"the judge's server refuses this text: {refusal}") from None
                options = milder
            else:
                self._settle(options)
                return reply

    def _settle(self, options: dict[str, Any]) -> None:
        if not self.settled:
            for name in (name for name in CAN_DO_WITHOUT if name in self.options and name not in options):
                self.note(f"the judge's server does not take {name}; {CAN_DO_WITHOUT[name]}")
        self.settled, self.options = True, options

    async def _post(self, text: str, options: dict[str, Any], max_tokens: int) -> Reply:
        limit = {name: max_tokens for name in LIMITS if name in options}
        async with self.gate.passed(text, max_tokens) as bill:
            completion = read_completion(await self._body(text, options | limit, bill), self.key.scrub)
            used = self.gate.meter.plausible(text, max_tokens, completion.input_tokens, completion.output_tokens)
            if used is not None:
                bill.used = used
        return self._reply_of(completion, used, options, max_tokens)

    def _reply_of(self, completion: Completion, used: Tokens | None, options: dict[str, Any], max_tokens: int) -> Reply:
        filled = not completion.ended and used is not None and used.written >= max_tokens
        return Reply(
            text=completion.text,
            only_thoughts=completion.only_thoughts,
            answered_by=completion.model,
            input_tokens=used.read if used else None,
            output_tokens=used.written if used else None,
            cut_off=completion.cut_off or filled,
            constraint_requested="response_format" in options,
            temperature=options.get("temperature"),
            letters=self.letters,
        )

    async def _body(self, text: str, options: dict[str, Any], bill: Bill) -> bytes:
        completions = self.client.chat.completions.with_raw_response
        try:
            async with asyncio.timeout(self.params.timeout):
                response = await completions.create(
                    model=self.params.model or "", messages=[{"role": "user", "content": text}], extra_body=options
                )
        except TimeoutError:
            raise Passing(f"no reply within {self.params.timeout:g} s") from None
        except APIStatusError as error:
            bill.used = NOTHING
            said = self.key.scrub(error.response.content.decode("utf-8", "replace"))
            raise failure(error.status_code, error.response.headers, said, self.key.source) from None
        except NotReceived as error:
            raise Unreadable("", str(error)) from None
        except APIConnectionError as error:
            if isinstance(error.__cause__, NotReceived):  # as some versions of the client raise it
                raise Unreadable("", str(error.__cause__)) from None
            bill.used = NOTHING if type(error.__cause__).__name__ in NEVER_ARRIVED else None
            raise Passing(self.key.scrub(_root(error))) from None
        return response.content


def without_what_is_refused(options: dict[str, Any], refusal: str) -> dict[str, Any] | None:
    """Return options that the server may accept, given its refusal of others. None: there is nothing to change.

    A refusal that names no option is attributed to the constrained reply, which the fewest servers support.
    """
    if "max_tokens" in options and "max_completion_tokens" in refusal:  # the newer name, which only some servers know
        renamed = {"max_completion_tokens": options["max_tokens"]}
        return {name: value for name, value in options.items() if name != "max_tokens"} | renamed
    present = [name for name in CAN_DO_WITHOUT if name in options]
    named = [name for name in present if name in refusal] or [name for name in present if name == "response_format"]
    return {name: value for name, value in options.items() if name != named[0]} if named else None


def _root(error: BaseException) -> str:
    """Return the message of the innermost error, if the errors that wrap it have none."""
    while error.__cause__:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__

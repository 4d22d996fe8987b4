"""A judge behind a server."""

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from wildcore import Environment, Parameter, Setting, UserError
from wildcore_judge.forms import Letters
from wildcore_judge.key import Key, read_key
from wildcore_judge.longer import longer
from wildcore_judge.meter import Meter, Tokens, estimate
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.prompt import GradingPrompt
from wildcore_judge.store import VerdictStore, open_store
from wildcore_judge.verdict import Judgement, unscored

OPENAI = "https://api.openai.com/v1"
OPENAI_VARIABLE = "OPENAI_BASE_URL"


class ServerJudge:
    """A model on a server with OpenAI's chat completions API. Its budgets apply to the lifetime of this object."""

    def __init__(self, params: JudgeParams) -> None:
        self.params = params
        self.name = params.model or ""
        self.base_url = OPENAI if params.base_url is None else checked_url(params.base_url)
        self.meter = Meter(params)
        self._key = Key()
        if params.budget is not None and self.meter.cost(Tokens()) is None:
            raise UserError(
                "the prices are not known",
                Parameter("metric.judge.budget"),
                (
                    "give both, in USD for a million tokens, with ",
                    Setting("metric.judge.input_price", "USD"),
                    " ",
                    Setting("metric.judge.output_price", "USD"),
                ),
            )

    def prepare(self, environment: Environment) -> None:
        """Read the key. Raises ``UserError`` if it is missing, or if the environment names another server."""
        if self.params.base_url is None and os.environ.get(OPENAI_VARIABLE, "").strip():
            raise UserError(
                f"{OPENAI_VARIABLE} is set in the environment, which decides nothing here",
                "metric judge",
                (
                    "give that address with ",
                    Setting("metric.judge.base_url", "URL"),
                    ", or unset the variable to ask OpenAI's server",
                ),
            )
        self._key = read_key(self.params.key_variable, needed=self.params.base_url is None)

    def judge(self, texts: Sequence[str], prompt: GradingPrompt, environment: Environment) -> dict[str, Judgement]:
        """Return the judgement of every text: known ones from the store, the others from the server."""
        who = {"model": self.name, "base_url": self.base_url}
        with open_store(environment.cache, who, prompt.version, prompt.letters) as store:
            judgements = {text: Judgement(reply, known=True) for text in texts if (reply := store.get(text))}
            unknown = [text for text in texts if text not in judgements]
            self._announce(judgements, unknown, environment)
            if unknown:
                judgements |= _run(self._ask(unknown, store, prompt.letters, environment))
                environment.progress.note(self._account(judgements))
            for note in store.notes():
                environment.progress.note(note)
        return judgements

    async def _ask(
        self, texts: Sequence[str], store: VerdictStore, letters: Letters, environment: Environment
    ) -> dict[str, Judgement]:
        from openai import AsyncOpenAI

        from wildcore_judge.chat import Chat
        from wildcore_judge.client import LimitedClient
        from wildcore_judge.questioning import Questioning

        progress = environment.progress
        http = LimitedClient(longer(self.params.max_tokens), self._key.scrub)
        client = AsyncOpenAI(
            api_key=self._key.value, base_url=self.base_url, max_retries=0, timeout=None, http_client=http
        )
        with progress.track("judging", len(texts)) as advance:
            async with client:
                chat = Chat(client, self.params, self._key, self.meter, letters, progress.note)
                questioning = Questioning(chat, store, self.params, advance)
                judgements = await questioning.ask_all(texts)
        if account := questioning.longer_replies.account():
            progress.note(f"judge {self.name}: {account}")
        return judgements

    def _announce(self, known: Mapping[str, Judgement], unknown: Sequence[str], environment: Environment) -> None:
        about = sum(map(estimate, unknown), Tokens())
        ahead = f"{len(unknown)} to ask, about {about.read + about.written:,} tokens, {self.meter.in_usd(about)}"
        environment.progress.note(
            f"judge {self.name} at {self.base_url}, with {self._key.source}: {len(known) + len(unknown)} different answers to "
            f"judge, {len(known)} of them known already; {ahead if unknown else 'nothing to ask'}"
        )

    def _account(self, judgements: Mapping[str, Judgement]) -> str:
        meter = self.meter
        guessed = f", {meter.guessed} of them counted at their most" if meter.guessed else ""
        guessed += f" (the server reports impossible numbers of tokens for {meter.implausible})" * bool(
            meter.implausible
        )
        return (
            f"judge {self.name}, so far: {meter.requests} requests{guessed}, {meter.spent.read:,} tokens read and "
            f"{meter.spent.written:,} written, {meter.in_usd(meter.spent)}; {unscored(judgements.values())}"
        )


def checked_url(address: str) -> str:
    """Return a server's address. Raises ``UserError`` if it is invalid, or contains something that should not be recorded."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError("not an address", Parameter("metric.judge.base_url"), "write it as http://localhost:8000/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError(
            "an address is recorded, so it must hold no password or key",
            Parameter("metric.judge.base_url"),
            (
                "put the key into an environment variable and name that with ",
                Setting("metric.judge.key_variable", "NAME"),
            ),
        )
    return address.rstrip("/")


def _run(work: Coroutine[Any, Any, dict[str, Judgement]]) -> dict[str, Judgement]:
    """Run ``work`` to its end, even if an event loop is already running, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

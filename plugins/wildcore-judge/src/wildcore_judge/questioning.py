"""Sends many texts to a server: several at once, with retries, and stops when continuing is pointless."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from wildcore_judge.chat import Chat
from wildcore_judge.failures import Halted, Passing, Unanswered
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.store import VerdictStore
from wildcore_judge.verdict import Judgement, Reply, judged


class Questioning:
    """One round of questions. Every verdict is stored before the next question is asked."""

    def __init__(self, chat: Chat, store: VerdictStore, params: JudgeParams, advance: Callable[[int], None]) -> None:
        self.chat = chat
        self.store = store
        self.params = params
        self.advance = advance
        self.judgements: dict[str, Judgement] = {}
        self._in_a_row = 0
        self._why_stopped = ""
        self._stopped = asyncio.Event()
        self._silent_until = 0.0

    async def ask_all(self, texts: Sequence[str]) -> dict[str, Judgement]:
        """Return the judgement of every text. The first texts are sent one at a time, until it is known which options the
        server accepts.
        """
        left = iter(texts)
        await self._work(left, lambda: self.chat.settled)
        await asyncio.gather(*(self._work(left, lambda: False) for _ in range(self.params.concurrency)))
        return self.judgements

    async def _work(self, texts: Iterator[str], is_enough: Callable[[], bool]) -> None:
        for text in texts:
            self.judgements[text] = await self._judge(text)
            self.advance(1)
            if is_enough():
                return

    async def _judge(self, text: str) -> Judgement:
        async with self.store.claimed(text):
            known = self.store.get(text)  # another process may have asked in the meantime
            if known:
                return Judgement(known, known=True)
            try:
                judgement = judged(await self._clear_reply(text))
            except Unanswered as reason:
                return Judgement(reason=str(reason))
            if judgement.reply and not judgement.reason:
                self.store.put(text, judgement.reply)
            return judgement

    async def _clear_reply(self, text: str) -> Reply:
        """Return a reply with a verdict. If the first has none, ask a second time; if that has none either, return it."""
        reply = await self._reply(text)
        if reply.verdict:
            return reply
        try:
            return await self._reply(text)
        except Unanswered:
            return reply

    async def _reply(self, text: str) -> Reply:
        """Return a reply; repeats the request while the server fails in a way that may be temporary. Raises ``Unanswered``."""
        problem = ""
        for attempt in range(self.params.attempts):
            await self._wait(attempt)
            if self._why_stopped:
                raise Unanswered(self._why_stopped)
            try:
                reply = await self.chat.ask(text)
            except Passing as failure:
                problem = str(failure)
                self._heed(failure)
            except Halted as end:
                self._stop(str(end))
                raise Unanswered(str(end)) from None
            except Unanswered as refusal:
                if not self.chat.settled:
                    self._count_failure(str(refusal))
                raise
            else:
                self._in_a_row = 0
                return reply
        self._count_failure(f"the judge cannot be reached: {problem}")
        raise Unanswered(self._why_stopped or f"the judge gives no reply: {problem}")

    async def _wait(self, attempt: int) -> None:
        """Wait as long as the server asks for; before a further attempt, wait by exponential back-off with jitter."""
        back_off = min(self.params.longest_wait, self.params.first_wait * 2 ** (attempt - 1)) if attempt else 0.0
        until = time.monotonic() + back_off * random.uniform(0.5, 1.0)
        while (seconds := max(until, self._silent_until) - time.monotonic()) > 0 and not self._why_stopped:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)

    def _heed(self, failure: Passing) -> None:
        if failure.wait is None:
            return
        if failure.wait > self.params.longest_wait:
            self._stop(f"the judge cannot be reached: it asks to wait {failure.wait:.0f} s ({failure})")
        self._silent_until = max(self._silent_until, time.monotonic() + failure.wait)

    def _count_failure(self, reason: str) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self.params.give_up_after:
            self._stop(reason)

    def _stop(self, reason: str) -> None:
        self._why_stopped = self._why_stopped or reason
        self._stopped.set()

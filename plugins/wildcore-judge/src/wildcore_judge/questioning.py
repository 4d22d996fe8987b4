"""Sends many texts to a server: several at once, with retries, and stops when continuing is pointless."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from wildcore_judge.chat import Chat
from wildcore_judge.failures import Halted, OverBudget, Passing, Unanswered, Unreadable
from wildcore_judge.longer import LongerReplies, longer
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
        self.longer_replies = LongerReplies(params.max_tokens)
        self.judgements: dict[str, Judgement] = {}
        self._in_a_row = 0
        self._why_stopped: Unanswered | None = None
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
                return Judgement(why=reason.why, said=reason.said)
            if judgement.reply and not judgement.reason:
                self.store.put(text, judgement.reply)
            return judgement

    async def _clear_reply(self, text: str) -> Reply:
        """Return a reply with a verdict. If the first has none, and a second may have one, ask a second time; if that has none
        either, return the first.
        """
        reply = await self._reply(text)
        if reply.verdict or not self._may_help(reply):
            return reply
        try:
            second = await self._reply(text, longer(self.params.max_tokens) if reply.cut_off else None)
        except Unanswered:
            return reply
        if reply.cut_off:
            self.longer_replies.count(second.verdict is not None)
        return second if second.verdict else reply

    def _may_help(self, reply: Reply) -> bool:
        return self.longer_replies.are_worthwhile if reply.cut_off else not self.chat.repeats_itself

    async def _reply(self, text: str, max_tokens: int | None = None) -> Reply:
        """Return a reply; repeats the request while the server fails in a way that may be temporary, and once if its reply
        cannot be read. Raises ``Unanswered``.
        """
        failure: Passing | Unreadable = Passing("")
        unreadable = 0
        for attempt in range(self.params.attempts):
            await self._wait(attempt)
            if self._why_stopped:
                raise self._why_stopped
            try:
                reply = await self.chat.ask(text, max_tokens)
            except Passing as problem:
                failure = problem
                self._heed(problem)
            except Unreadable as problem:
                failure = problem
                unreadable += 1
                if unreadable > 1:
                    break
            except Halted as end:
                why = Unanswered(str(end))
                if max_tokens is None or not isinstance(end, OverBudget):  # a smaller request may still be allowed
                    self._stop(why)
                raise why from None
            except Unanswered as refusal:
                if not self.chat.settled:
                    self._count_failure(refusal)
                raise
            else:
                self._in_a_row = 0
                return reply
        self._count_failure(unanswered(failure, "the judge cannot be reached"))
        raise self._why_stopped or unanswered(failure, "the judge gives no reply")

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
            problem = f"it asks to wait {failure.wait:.0f} s ({failure})"
            self._stop(Unanswered(f"the judge cannot be reached: {problem}"))
        self._silent_until = max(self._silent_until, time.monotonic() + failure.wait)

    def _count_failure(self, reason: Unanswered) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self.params.give_up_after:
            self._stop(reason)

    def _stop(self, reason: Unanswered) -> None:
        self._why_stopped = self._why_stopped or reason
        self._stopped.set()


def unanswered(failure: Passing | Unreadable, otherwise: str) -> Unanswered:
    """Return the reason why a text has no reply; ``otherwise`` is its beginning unless the server replied."""
    if isinstance(failure, Unreadable):
        return Unanswered(failure.why, failure.said)
    return Unanswered(f"{otherwise}: {failure}")

"""The metric ``judge``: what is judged, who judges it, and what is recorded of it."""

from collections.abc import Sequence
from typing import Any, Protocol

from wildcore import AnsweredProbe, Environment, Metric, Parameter, Score, Setting, UserError
from wildcore_judge.parameters import LOCAL_ONLY, SERVER_ONLY, JudgeParams
from wildcore_judge.prompt import BUILT_IN, GradingPrompt, read_prompt
from wildcore_judge.store import open_store
from wildcore_judge.verdict import Judgement


class Grader(Protocol):
    """Reads a text and replies with a verdict."""

    name: str

    def prepare(self, environment: Environment) -> None:
        """Raise ``UserError`` if it is clear beforehand that there will be no verdict."""
        ...

    def judge(self, texts: Sequence[str], prompt: GradingPrompt, environment: Environment) -> dict[str, Judgement]:
        """Return the judgement of every text; the texts must differ, and are made from ``prompt``."""
        ...


def make_judge(params: JudgeParams) -> "Judge":
    """Return the judge that the parameters name. Raises ``UserError`` if they name none, or two."""
    prompt = read_prompt(params.prompt_file) if params.prompt_file else BUILT_IN
    if (params.model is None) == (params.local is None):
        raise UserError(
            "it has no judge, or two",
            "metric judge",
            (
                "give either ",
                Setting("metric.judge.model", "MODEL"),
                ", for a server, or ",
                Setting("metric.judge.local", "FOLDER"),
            ),
        )
    _refuse_without_effect(params)
    if params.model is not None:
        from wildcore_judge.server import ServerJudge

        return Judge(ServerJudge(params), prompt)
    from wildcore_judge.local import LocalJudge  # heavy

    return Judge(LocalJudge(params), prompt)


def _refuse_without_effect(params: JudgeParams) -> None:
    """Raise ``UserError`` for a setting that has no effect with this kind of judge."""
    kind, idle = ("a server", LOCAL_ONLY) if params.local is None else ("a local judge", SERVER_ONLY)
    for name in idle:
        if getattr(params, name) != JudgeParams.model_fields[name].default:
            raise UserError(f"it does nothing with {kind}", Parameter(f"metric.judge.{name}"), "leave it out")


class Judge(Metric):
    """1 if the judge finds the answer CORRECT, 0 if INCORRECT, no value if there is no clear verdict."""

    expensive = True

    def __init__(self, grader: Grader, prompt: GradingPrompt) -> None:
        self.grader = grader
        self.prompt = prompt
        self._environment: Environment | None = None

    def prepare(self, environment: Environment) -> None:
        """Store the cache folder and where notes are shown. Raises ``UserError`` for a judge that cannot be asked."""
        self.grader.prepare(environment)
        with open_store(environment.cache, {}, self.prompt.version):
            pass  # fails now rather than after hours of editing if the store cannot be used
        self._environment = environment

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item. Identical items are judged once."""
        if self._environment is None:
            raise RuntimeError("prepare() comes before score()")
        texts = [self.prompt.render(item) for item in items]
        if not texts:
            return []
        judgements = self.grader.judge(list(dict.fromkeys(texts)), self.prompt, self._environment)
        return [self._score(judgements[text]) for text in texts]

    def _score(self, judgement: Judgement) -> Score:
        verdict = judgement.reply.verdict if judgement.reply else None
        value = None if verdict is None else float(verdict == "CORRECT")
        return Score(value=value, reason=judgement.reason, details=self._details(judgement))

    def _details(self, judgement: Judgement) -> dict[str, Any]:
        asked = {"model": self.grader.name, "prompt": self.prompt.version}
        if judgement.reply is None:
            return asked
        reply = judgement.reply
        left_out = {"text"} if reply.clock else {"text", "clock"}
        said = reply.model_dump(exclude=left_out) | {"reply": reply.text, "verdict": reply.verdict}
        return asked | said | {"known_before": judgement.known}

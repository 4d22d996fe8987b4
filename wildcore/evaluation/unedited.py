"""The unedited model's answers, kept on disk: the model is asked once, for all editors and all runs."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from wildcore.errors import Place, UserError
from wildcore.evaluation.questions import Answers, Question, generate_answers
from wildcore.inference.prompt_cache import PromptCache
from wildcore.models.loaded import LoadedModel
from wildcore.protocols import ReadyProtocol

ANSWERS = TypeAdapter(Answers)
DEPENDS_ON = ("wildcore", "torch", "transformers", "tokenizers")
"""Packages that may decode differently in another version. A change of their code without a change of version is not
noticed."""
SECONDS_TO_WAIT = 60.0


class UneditedAnswers:
    """Answers of one loaded model. A second process may use the same store at the same time.

    Raises ``UserError`` for a store that cannot be used.
    """

    def __init__(self, cache: Path, model: LoadedModel) -> None:
        self.model = model
        self.path = cache / "unedited-answers" / f"{_digest(_identity(model))}.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot be made ({error.strerror})",
                Place(self.path.parent),
                "name another cache folder by WILDCORE_CACHE",
            ) from error
        with self._usable(), closing(self._connect()) as store, store:
            store.execute("CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answers TEXT NOT NULL)")

    def answers(
        self, protocol: ReadyProtocol, questions: Sequence[Question], shared: PromptCache | None = None
    ) -> list[Answers]:
        """Return the answers in order: known ones from the store, the others from the model, which must be unedited."""
        keys = [_digest(_asked(protocol, question)) for question in questions]
        with self._usable(), closing(self._connect()) as store:
            known = {key: found for key in dict.fromkeys(keys) if (found := _look_up(store, key)) is not None}
            missing = {key: q for key, q in zip(keys, questions, strict=True) if key not in known}
            given = generate_answers(self.model, protocol, list(missing.values()), shared=shared)
            known |= dict(zip(missing, given, strict=True))
            with store:
                rows = [(key, ANSWERS.dump_json(known[key]).decode()) for key in missing]
                store.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
        return [known[key] for key in keys]

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"the kept answers of the unedited model cannot be used ({error})",
                about=Place(self.path),
                way_out="free some disk space, or remove the file, and they are asked anew",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT)


def _look_up(store: sqlite3.Connection, key: str) -> Answers | None:
    row = store.execute("SELECT answers FROM answers WHERE question = ?", (key,)).fetchone()
    return ANSWERS.validate_json(row[0]) if row else None


def _identity(model: LoadedModel) -> Mapping[str, Any]:
    of = model.identity
    return {
        "fingerprint": of.fingerprint,
        "end_of_sequence": sorted(model.end_of_sequence),
        "dtype": f"torch.{of.dtype}",
        "device": of.device,
        "versions": {name: version(name) for name in DEPENDS_ON},
    }


def _asked(protocol: ReadyProtocol, question: Question) -> Mapping[str, Any]:
    """Return everything that an answer depends on besides the model. The gold is included only if a module reads it.

    A module is identified also by its plugin's distribution and version, and by its code if that is installed in editable
    form, but not by the code of other distributions that it imports.
    """
    reads_gold = protocol.generator.reads_gold or protocol.truncator.reads_gold
    return {
        "prompt": question.prompt.model_dump(),
        "generator": protocol.definition.generator.model_dump(mode="json"),
        "truncator": protocol.definition.truncator.model_dump(mode="json"),
        "sources": dict(protocol.sources),
        "gold": question.gold.model_dump() if reads_gold else None,
        **({"thoughts": "removed"} if protocol.asks_in_chat else {}),
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

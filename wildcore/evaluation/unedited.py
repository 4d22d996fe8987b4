"""The unedited model's answers, kept on disk: the model is asked once, for all editors and all runs."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wildcore.evaluation.questions import Answers, Question, generate_answers
from wildcore.inference.prompt_cache import PromptCache
from wildcore.models.loaded import LoadedModel
from wildcore.protocols import ReadyProtocol
from wildcore.storage.checked_rows import CheckedRows

ANSWERS = TypeAdapter(Answers)
DEPENDS_ON = ("wildcore", "torch", "transformers", "tokenizers")
"""Packages that may decode differently in another version. A change of their code without a change of version is not
noticed."""


class UneditedAnswers:
    """Answers of one loaded model. A second process may use the same store at the same time.

    A damaged answer is asked anew. Raises ``UserError`` for a store that cannot be used.
    """

    def __init__(self, cache: Path, model: LoadedModel) -> None:
        self.model = model
        self.reused = 0
        """Number of answers that were also taken for an edited model's, because its patch leaves the prompt as it is."""
        self.path = cache / "unedited-answers" / f"{_digest(_identity(model))}.sqlite"
        self._kept = CheckedRows(
            cache,
            self.path,
            "answers",
            ("question", "answers"),
            "the kept answers of the unedited model",
            "free some disk space, name another cache folder by WILDCORE_CACHE, or remove the file; they are then asked anew",
        )
        with self._kept.opened():
            pass  # fails now rather than at the first question

    def answers(
        self, protocol: ReadyProtocol, questions: Sequence[Question], shared: PromptCache | None = None
    ) -> list[Answers]:
        """Return the answers in order: known ones from the store, the others from the model, which must be unedited."""
        keys = [_digest(_asked(protocol, question)) for question in questions]
        with self._kept.opened() as rows:
            known = {key: found for key in dict.fromkeys(keys) if (found := self._look_up(rows, key)) is not None}
            missing = {key: q for key, q in zip(keys, questions, strict=True) if key not in known}
            given = generate_answers(self.model, protocol, list(missing.values()), shared=shared)
            known |= dict(zip(missing, given, strict=True))
            self._kept.put(rows, [(key, ANSWERS.dump_json(known[key]).decode()) for key in missing])
        return [known[key] for key in keys]

    def notes(self) -> Iterator[str]:
        """Say how many kept answers were damaged, and how many were taken for an edited model's since the last call."""
        if self._kept.damaged:
            yield f"damaged answers of the unedited model, which were asked anew: {len(self._kept.damaged)} ({self.path})"
        reused, self.reused = self.reused, 0
        if reused:
            yield f"answers under a patch that leaves the prompt as it is, taken from the unedited model's: {reused}"

    def _look_up(self, rows: Connection, key: str) -> Answers | None:
        row = self._kept.get(rows, key)
        try:
            return ANSWERS.validate_json(row[1]) if row else None
        except ValidationError:  # damaged before it had a checksum
            self._kept.damaged.add(key)
            return None


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

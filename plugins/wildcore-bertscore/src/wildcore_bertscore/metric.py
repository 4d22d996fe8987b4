"""BERTScore, by the package bert-score."""

from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from bert_score.utils import bert_cos_score_idf

from wildcore import AnsweredProbe, Environment, Metric, Progress, Score
from wildcore.equivalence import canonical
from wildcore_bertscore.baseline import baseline
from wildcore_bertscore.encoder import Encoder, EncoderFiles, find_encoder, load_encoder
from wildcore_bertscore.parameters import BertScoreParams, Measure

COLUMN: dict[Measure, int] = {"precision": 0, "recall": 1, "f1": 2}
AT_ONCE = 16
"""Number of batches compared in one call: the package keeps the states of all texts of a call in memory."""

UNREADABLE = "the encoder can read no accepted answer"

Pair = tuple[str, str]
"""An answer and an accepted answer."""


class BertScore(Metric):
    """BERTScore of the answer and the best accepted answer (Zhang et al. 2020).

    An empty answer scores 0 before rescaling, as in the package. ``details`` hold what the parameters leave open: a hash of
    the encoder's files, the layer, and the package's version.
    """

    expensive = True

    def __init__(self, params: BertScoreParams) -> None:
        self._params = params
        self._files: EncoderFiles | None = None
        self._encoder: Encoder | None = None
        self._baseline = 0.0
        self._progress: Progress | None = None

    def prepare(self, environment: Environment) -> None:
        """Find the encoder, so that a wrong name is reported before the run; it is loaded for the first score."""
        self._progress = environment.progress
        self._find()

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item, at most 1. An item gets no value if the encoder can read none of its accepted answers."""
        if not items:
            return []
        items = [_in_one_form(item) for item in items]
        encoder = self._load()
        lengths = self._lengths(encoder, items)
        pairs = [(item.answer.text, gold) for item in items for gold in item.answers]
        readable = [pair for pair in dict.fromkeys(pairs) if all(lengths[text] for text in pair)]
        values = dict(zip(readable, self._compare(encoder, readable), strict=True))
        details = {"encoder": encoder.fingerprint, "layer": encoder.files.layer, "bert-score": version("bert-score")}
        return [self._score(item, lengths, values, details) for item in items]

    def _find(self) -> EncoderFiles:
        if self._files is None:
            params = self._params
            self._files = find_encoder(params.encoder, params.layer, params.device)
            if params.rescale:
                self._baseline = baseline(params.encoder, self._files.layer, params.measure)
        return self._files

    def _load(self) -> Encoder:
        if self._encoder is None:
            self._encoder = load_encoder(self._find())
        return self._encoder

    def _lengths(self, encoder: Encoder, items: Sequence[AnsweredProbe]) -> dict[str, int]:
        """Return the length of every text in tokens; note how many are longer than the encoder's limit."""
        lengths = {text: encoder.length(text) for item in items for text in (item.answer.text, *item.answers)}
        cut = sum(length > encoder.longest for length in lengths.values())
        if cut and self._progress:
            self._progress.note(
                f"bert-score: the encoder reads {encoder.longest} tokens; longer texts, which were cut: {cut}"
            )
        return lengths

    def _compare(self, encoder: Encoder, pairs: Sequence[Pair]) -> list[float]:
        """Return the raw value of each pair of non-empty texts."""
        step = AT_ONCE * self._params.batch_size
        parts = [pairs[start : start + step] for start in range(0, len(pairs), step)]
        if self._progress is None:
            return [value for part in parts for value in self._compare_at_once(encoder, part)]
        values: list[float] = []
        with self._progress.track("bert-score", len(pairs)) as advance:
            for part in parts:
                values += self._compare_at_once(encoder, part)
                advance(len(part))
        return values

    def _compare_at_once(self, encoder: Encoder, pairs: Sequence[Pair]) -> list[float]:
        tokenizer = encoder.tokenizer
        weights: dict[int, float] = defaultdict(lambda: 1.0, {tokenizer.cls_token_id: 0, tokenizer.sep_token_id: 0})
        found = bert_cos_score_idf(
            encoder.network,
            [gold for _, gold in pairs],
            [answer for answer, _ in pairs],
            tokenizer,
            weights,
            batch_size=self._params.batch_size,
            device=encoder.files.device,
        )
        values: list[float] = found[:, COLUMN[self._params.measure]].tolist()
        return values

    def _score(
        self, item: AnsweredProbe, lengths: dict[str, int], values: dict[Pair, float], details: dict[str, Any]
    ) -> Score:
        golds = [gold for gold in item.answers if lengths[gold]]
        if not golds:
            return Score(value=None, reason=UNREADABLE)
        best = max(values.get((item.answer.text, gold), 0.0) for gold in golds)
        # for equal texts it may be slightly above 1
        return Score(value=(min(best, 1.0) - self._baseline) / (1 - self._baseline), details=details)


def _in_one_form(item: AnsweredProbe) -> AnsweredProbe:
    """Return an item with its texts in Unicode's form NFC, so that texts that are equal in Unicode get the same score."""
    answer = item.answer.model_copy(update={"text": canonical(item.answer.text)})
    return item.model_copy(update={"answer": answer, "answers": tuple(map(canonical, item.answers))})

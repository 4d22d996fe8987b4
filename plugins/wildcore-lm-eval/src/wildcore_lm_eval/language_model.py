"""The edited model as lm-evaluation-harness asks it, under whatever patch is applied to it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.defaults import DEFAULT_MAX_LENGTH
from lm_eval.models.utils import has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch import Tensor

from wildcore import Prompt, UserError
from wildcore.inference import decode_tokens, map_target_logits
from wildcore.models import LoadedModel, TokenisedPair, at_least_float32, encode
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.tasks import generation_of

AT_ONCE = 8
"""Number of batches of prompts that are decoded in one call."""
MOST_LOGITS = 2**28
"""Most logits of targets in one batch: 1 GiB in float32. Long texts are read in smaller batches."""
BATCH_SIZE = 32
"""Batch size for a model that has none."""

NOT_FINITE = "the model's logits are not finite"
TOO_LONG = "the text to score is longer than the model's context"
NO_TOKEN = "the text to score has no token of its own after its context"

Scored = tuple[float, bool]
"""The log-likelihood of a text after its context, and whether the model would have generated it greedily."""
UNSCORED: Scored = (float("nan"), False)


class EditedModel(TemplateLM):  # type: ignore[misc]  # the harness is untyped here
    """A loaded model, with the patches that are applied to it, for the harness.

    Texts are tokenised and cut as the harness's own model class does it. The context of a request is the prompt: prompt
    patches rewrite it, and routed patches choose their route by it alone. A text that is scored as a whole has no prompt but
    the beginning-of-sequence token, or the token before the window in which it is read.

    ``problems`` counts for each task the requests that could not be answered, by reason; ``cut`` counts the contexts that
    were longer than the model's. ``advance`` is told of each answered request.
    """

    def __init__(
        self, model: LoadedModel, params: LmEvalParams, tasks: Mapping[str, Any], advance: Callable[[int], None]
    ) -> None:
        """Raises ``UserError`` for a tokenizer with neither a beginning- nor an end-of-sequence token."""
        super().__init__()
        self.model, self.params, self.tasks, self.advance = model, params, tasks, advance
        self.tokenizer = model.tokenizer
        lengths = [length for length in (params.max_length, model.max_length) if length is not None]
        self.max_length = min(lengths, default=DEFAULT_MAX_LENGTH)
        self._names: list[str] = []  # of the tasks whose requests are being scored
        self.problems: dict[str, Counter[str]] = {}
        self.cut: Counter[str] = Counter()
        if self.prefix_token_id is None:
            raise UserError(
                f"the tokenizer of {model.request.name} has neither a beginning- nor an end-of-sequence token to score texts "
                "after",
                "measurement lm-eval",
            )

    @property
    def eot_token_id(self) -> Any:
        """The id of the end-of-sequence token; None if there is none."""
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> Any:
        """The id that a text without context is scored after."""
        beginning = self.tokenizer.bos_token_id
        return self.eot_token_id if beginning is None else beginning

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Return the token ids of a text. Special tokens are added as by the tokenizer itself, unless the text already begins
        with the beginning-of-sequence token; one that closes the text is left out.
        """
        if add_special_tokens is None:
            add_special_tokens = not has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id))
        return list(encode(self.tokenizer, Prompt(text=string, special_tokens=add_special_tokens)))

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[Scored]:
        """Return for each request (context, continuation) how probable the continuation is after the context."""
        contexts = self.rewritten(requests)
        pairs = [(context, one.args[1]) for context, one in zip(contexts, requests, strict=True)]
        changed = [replace(one, arguments=pair) for pair, one in zip(pairs, requests, strict=True)]
        self._names = [one.task_name for one in requests]
        found: list[Scored] = super().loglikelihood(changed, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = True, **kwargs: Any
    ) -> list[Scored]:
        """Return for each request, given as token ids, how probable the continuation is; those that cannot be scored are
        counted.
        """
        results = [UNSCORED] * len(requests)
        places, rows = [], []
        for place, (_, context, continuation) in enumerate(requests):
            name = self._names[place]
            if not continuation:
                self._count(name, NO_TOKEN)
            elif len(continuation) > self.max_length:
                self._count(name, TOO_LONG)
            else:
                ids = (*context, *continuation)[-self.max_length - 1 :]  # the last token is predicted, not read
                self.cut[name] += len(ids) < len(context) + len(continuation)
                places.append(place)
                rows.append(TokenisedPair("", ids, (), len(ids) - len(continuation)))
        for place, scored in zip(places, self._scored(rows), strict=True):
            results[place] = scored
            if scored[0] != scored[0]:
                self._count(self._names[place], NOT_FINITE)
        return results

    def _scored(self, rows: Sequence[TokenisedPair]) -> list[Scored]:
        if not rows:
            return []

        def reduce(index: int, logits: Tensor) -> Scored:
            wanted = torch.tensor(rows[index].target_ids, device=logits.device)
            each = at_least_float32(logits).log_softmax(-1).gather(1, wanted[:, None])
            self.advance(1)
            return float(each.sum()), bool((logits.argmax(-1) == wanted).all())

        size, longest = self._batch_size, max(len(row.target_ids) for row in rows)
        fitting = max(1, min(size, MOST_LOGITS // ((longest + 1) * self.model.shape.vocabulary)))
        before, self.model.max_batch_size = self.model.max_batch_size, fitting
        try:
            return map_target_logits(self.model, rows, reduce)
        finally:
            self.model.max_batch_size = before

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Return the log-likelihood of each whole text, read in windows of the model's context that overlap by one token."""
        windows: list[tuple[Any, list[int], list[int]]] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            (text,) = request.args
            found = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1)
            for window in found:
                windows.append((None, *make_disjoint_window(window)))
                owners.append(owner)
        self._names = [requests[owner].task_name for owner in owners]
        totals = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += value
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Return for each request (context, arguments of generation) the greedy continuation up to a stop string."""
        contexts, size = self.rewritten(requests), AT_ONCE * self._batch_size
        answers: list[str] = []
        for start in range(0, len(requests), size):
            part = slice(start, start + size)
            answers += self._generated(requests[part], contexts[part])
            self.advance(len(requests[part]))
        return answers

    def _generated(self, requests: Sequence[Any], contexts: Sequence[str]) -> list[str]:
        arguments = [generation_of(one.args[1], self.params.max_gen_toks) for one in requests]
        limits = [int(one["max_gen_toks"]) for one in arguments]
        stops = [self._stops(one) for one in arguments]
        pairs = zip(requests, contexts, limits, strict=True)
        prompts = [self._cut(one.task_name, context, limit) for one, context, limit in pairs]
        seen: list[tuple[Sequence[int], Tensor]] = []

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            seen.append((tuple(rows), (logits.isnan() | (logits == float("inf"))).any(-1)))
            return logits.argmax(-1)

        def stop(row: int, text: str, count: int) -> bool:
            return any(term in text for term in stops[row])

        outputs = decode_tokens(self.model, prompts, limits, stop, choose)
        for row in {row for rows, bad in seen for row, is_bad in zip(rows, bad.tolist(), strict=True) if is_bad}:
            self._count(requests[row].task_name, NOT_FINITE)
        texts = [self.tokenizer.decode(output.token_ids, skip_special_tokens=True) for output in outputs]
        return [_until(text, terms) for text, terms in zip(texts, stops, strict=True)]

    def _stops(self, generation: Mapping[str, Any]) -> list[str]:
        """Return the stop strings of a request; the end-of-sequence token's own text is the last, as in the harness."""
        end = [] if self.eot_token_id is None else [self.tokenizer.decode(self.eot_token_id, skip_special_tokens=False)]
        return [term for term in (*(generation.get("until") or ()), *end) if term]

    def _cut(self, task: str, context: str, limit: int) -> list[int]:
        """Return the ids of a context, cut on the left so that ``limit`` tokens fit after it."""
        room = self.max_length - limit
        if room < 1:
            raise UserError(
                f"the task {task} generates up to {limit} tokens, and {self.model.request.name} reads {self.max_length} at once, "
                "question included",
                "measurement lm-eval",
                "give a YAML file that includes the task and sets max_gen_toks in generation_kwargs, or leave the task out",
            )
        ids = self.tok_encode(context)
        self.cut[task] += len(ids) > room
        return ids[-room:]

    def rewritten(self, requests: Sequence[Any]) -> list[str]:
        """Return the contexts of requests as the applied prompt patches change them. An empty context asks nothing."""
        contexts: list[str] = [one.args[0] for one in requests]
        if not self.model.prompt_patches:
            return contexts
        keys = [(context, self._question(one)) for context, one in zip(contexts, requests, strict=True)]
        asked = list(dict.fromkeys(key for key in keys if key[0]))
        prompts = [Prompt(text=context) for context, _ in asked]
        rewritten = self.model.rewrite_prompts(prompts, [question for _, question in asked])
        texts = {key: prompt.text for key, prompt in zip(asked, rewritten, strict=True)}
        return [texts.get(key, key[0]) for key in keys]

    def _question(self, request: Any) -> str:
        """Return the bare question of a request, by which prompt patches choose what to insert: the document's own field
        "question", else what the task writes of the document, without examples, else the whole context.
        """
        context: str = request.args[0]
        own = request.doc.get("question") if isinstance(request.doc, Mapping) else None
        for found in (own, self.tasks[request.task_name].doc_to_text(request.doc)):
            if isinstance(found, str) and found.strip() and found in context:
                return found
        return context

    @property
    def _batch_size(self) -> int:
        return self.model.max_batch_size or BATCH_SIZE

    def _count(self, task: str, problem: str) -> None:
        self.problems.setdefault(task, Counter())[problem] += 1


def _until(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of ``stops``."""
    for term in stops:
        text = text.partition(term)[0]
    return text

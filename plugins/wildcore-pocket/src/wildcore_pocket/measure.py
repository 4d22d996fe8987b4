"""Measures the pocket model's answers: greedy decoding up to the full stop, compared with the accepted answers.

This is the trainer's own measure and does not use wildcore.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from wildcore_pocket.corpus import FORMS, Entry

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

LONGEST_ANSWER = 24
BATCH = 256


def answers(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[str]:
    """The model's greedy answers, stripped and cut before the first full stop, new line or end-of-text token.

    Prompts with the same number of tokens are decoded together, so that no padding is needed.
    """
    encoded = [tokenizer(prompt).input_ids for prompt in prompts]
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(encoded):
        by_length[len(ids)].append(index)
    found = [""] * len(prompts)
    for indices in by_length.values():
        for start in range(0, len(indices), BATCH):
            rows = indices[start : start + BATCH]
            generated = _decode(model, [encoded[row] for row in rows])
            for row, ids in zip(rows, generated, strict=True):
                text = tokenizer.decode(ids, skip_special_tokens=True)
                found[row] = text.split(".")[0].split("\n")[0].strip()
    return found


@torch.no_grad()
def _decode(model: LlamaForCausalLM, rows: list[list[int]]) -> list[list[int]]:
    """Greedy continuation of rows of equal length, each up to its end-of-text token."""
    end = model.config.eos_token_id
    ids, cache, generated = torch.tensor(rows, device=model.device), None, []
    for _ in range(LONGEST_ANSWER):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, ids = output.past_key_values, output.logits[:, -1:].argmax(-1)
        generated.append(ids)
        if all(end in row for row in torch.cat(generated, 1).tolist()):
            break
    return [row[: row.index(end)] if end in row else row for row in torch.cat(generated, 1).tolist()]


def share_right(found: Sequence[str], accepted: Sequence[Sequence[str]]) -> float:
    """Share of answers that are among the accepted ones, ignoring case."""
    hits = [text.lower() in {name.lower() for name in names} for text, names in zip(found, accepted, strict=True)]
    return sum(hits) / len(hits)


def measure_recall(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, taught: Sequence[Entry]
) -> dict[str, float]:
    """For every form, the share of entries whose first phrasing is answered as stated in the corpus."""
    recall = {}
    for form, render in FORMS.items():
        asked = [(entry.statements if form == "statement" else entry.questions, entry.answer) for entry in taught]
        pairs = [(prompts[0], answer) for prompts, answer in asked if prompts]
        found = answers(model, tokenizer, [render(prompt) for prompt, _ in pairs])
        recall[f"{form} answered as the corpus states it"] = share_right(found, [[answer] for _, answer in pairs])
    return recall


def measure_cases(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    cases: Sequence[dict[str, Any]],
    form: str = "instruction",
) -> dict[str, float]:
    """The unedited model's answers to the edit cases, with every question in one form (a key of FORMS)."""
    render = FORMS[form]

    def share(pairs: list[tuple[str, list[str]]]) -> float:
        return share_right(
            answers(model, tokenizer, [render(prompt) for prompt, _ in pairs]), [names for _, names in pairs]
        )

    def probes(kind: str) -> list[tuple[str, list[str]]]:
        return [(probe["prompt"], probe["answers"]) for case in cases for probe in case[kind]]

    targets = [(case["prompt"], [case["target"], *case["aliases"]]) for case in cases]
    return {
        "edit prompts answered with the target": share(targets),
        "edit prompts answered with the stale answer": share([(case["prompt"], [case["stale"]]) for case in cases]),
        "rephrasings answered with the stale answer": share(
            [(prompt, [case["stale"]]) for case in cases for prompt in case["rephrasings"]]
        ),
        "locality probes right": share(probes("locality")),
        "portability probes right": share(probes("portability")),
    }

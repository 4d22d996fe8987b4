"""The training data of the hyper-network: edit cases, tokenised, in an order fixed by the seed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wildcore import EditCase, EditRequest, Probe, Refused, UserError
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore_mend.parameters import MendParams

FEWEST = 2
"""Fewest cases for training: one to learn from and one held out."""


@dataclass(frozen=True)
class Trial:
    """An edit and the questions to the edited model: the target again, and a question whose answer should stay."""

    edit: TokenisedPair
    target: TokenisedPair
    locality: TokenisedPair


@dataclass(frozen=True)
class Example:
    """A case: the edit, and the prompts from which each trial uses one."""

    edit: TokenisedPair
    targets: tuple[TokenisedPair, ...]
    localities: tuple[TokenisedPair, ...]

    def trial(self, generator: torch.Generator | None = None) -> Trial:
        """Return a trial: with prompts drawn at random, or, if ``generator`` is None, with the first of each."""
        return Trial(self.edit, _one_of(self.targets, generator), _one_of(self.localities, generator))


@dataclass(frozen=True)
class Examples:
    """The cases to learn from and those held out; ``left_out`` counts the others by reason."""

    learned: tuple[Example, ...]
    held_out: tuple[Example, ...]
    left_out: dict[str, int]


def examples(model: LoadedModel, cases: Sequence[EditCase], params: MendParams, seed: int) -> Examples:
    """Tokenise the cases that can be trained on and draw those to hold out.

    Raises ``UserError`` if fewer than two can be trained on, saying why the others cannot.
    """
    usable: list[Example] = []
    left_out: dict[str, int] = {}
    for case in cases:
        try:
            usable.append(_example(model, case, params))
        except Refused as reason:
            left_out[str(reason)] = left_out.get(str(reason), 0) + 1
    if len(usable) < FEWEST:
        problems = "; ".join(f"{count} left out: {reason}" for reason, count in left_out.items())
        raise UserError(
            f"mend can train on {len(usable)} of the {len(cases)} cases and needs at least {FEWEST}, better thousands",
            way_out=f"name a dataset with locality probes{f' ({problems})' if problems else ''}",
        )
    order = torch.randperm(len(usable), generator=generator_for(seed, "held out")).tolist()
    count = min(params.held_out, max(1, len(usable) // 10))
    held_out, learned = sorted(order[:count]), sorted(order[count:])
    return Examples(tuple(usable[i] for i in learned), tuple(usable[i] for i in held_out), left_out)


def generator_for(seed: int, *place: object) -> torch.Generator:
    """Return the generator of one place in a run, so that a resumed run draws the same numbers."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def trial_at(learned: Sequence[Example], step: int, seed: int) -> Trial:
    """Return the trial of a step: every epoch uses all examples in its own order."""
    epoch, place = divmod(step, len(learned))
    order = torch.randperm(len(learned), generator=generator_for(seed, "epoch", epoch))
    return learned[int(order[place])].trial(generator_for(seed, "step", step))


def hash_of(cases: Sequence[EditCase]) -> str:
    """Return a hash of the whole content of the cases, and of their order."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.model_dump_json().encode() + b"\n")
    return digest.hexdigest()[:16]


def number_of(request: EditRequest) -> int:
    """Return a number that identifies a request's prompt and target."""
    digest = hashlib.sha256(repr((request.prompt.strip(), request.target.strip())).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _example(model: LoadedModel, case: EditCase, params: MendParams) -> Example:
    """Tokenise a case. Raises ``Refused`` if it cannot be trained on."""
    edit = training_pair(model, case.request, params.close_target)
    rephrasings = _prompts(case, "generalization") if params.edit_loss == "rephrasing" else ()
    asked = [training_pair(model, _asked_by(case, prompt), params.close_target) for prompt in rephrasings]
    localities = [_answered(model, probe) for probe in case.probes if probe.kind == "locality"]
    if not localities:
        raise Refused("it has no locality probe")
    if any(len(row.token_ids) > (model.max_length or len(row.token_ids)) for row in (edit, *asked, *localities)):
        raise Refused("it is longer than the model's context")
    return Example(edit, tuple(asked or [edit]), tuple(localities))


def _prompts(case: EditCase, kind: str) -> tuple[str, ...]:
    return tuple(probe.prompt for probe in case.probes if probe.kind == kind)


def _asked_by(case: EditCase, prompt: str) -> EditRequest:
    return case.request.model_copy(update={"prompt": prompt})


def _answered(model: LoadedModel, probe: Probe) -> TokenisedPair:
    return training_pair(model, EditRequest(prompt=probe.prompt, target=probe.answers[0], separator=probe.separator))


def _one_of(rows: Sequence[TokenisedPair], generator: torch.Generator | None) -> TokenisedPair:
    return rows[0 if generator is None else int(torch.randint(len(rows), (1,), generator=generator))]

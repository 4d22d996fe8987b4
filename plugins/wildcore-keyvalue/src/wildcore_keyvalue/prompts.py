"""The texts on which an edit is computed: the edit prompt after sampled prefixes, with the subject's last token located in
each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wildcore import EditRequest, Prompt, TargetEnding
from wildcore.models import LoadedModel, TokenisedPair, edit_prompt, encode, require_target, subject_span, tokenise_pair


@dataclass(frozen=True)
class SubjectText:
    """A tokenised text and the index of the subject's last token in it."""

    joined: TokenisedPair
    subject_index: int


def require_target_and_subject(request: EditRequest) -> tuple[int, int]:
    """Return the character range of the subject in the prompt.

    Raises ``Refused`` if the target is empty, or the subject is not in the prompt.
    """
    require_target(request)
    return subject_span(request.prompt, request.subject)


def with_target(
    model: LoadedModel, request: EditRequest, prefixes: Sequence[str], ending: TargetEnding
) -> list[SubjectText]:
    """Return prefix + prompt + target for each prefix.

    Raises ``Refused`` if the target is empty, or the subject is not in the prompt.
    """
    span = require_target_and_subject(request)
    texts = []
    for prefix in prefixes:
        joined = tokenise_pair(model.tokenizer, edit_prompt(request, prefix), request.target, ending)
        texts.append(SubjectText(joined, joined.last_token_of((span[0] + len(prefix), span[1] + len(prefix)))))
    return texts


def without_target(model: LoadedModel, text: str, subject: str | None) -> SubjectText:
    """Return a text without a target. Raises ``Refused`` if the subject is not in it."""
    span = subject_span(text, subject)
    joined = tokenise_pair(model.tokenizer, Prompt(text=text), "")
    assert joined.token_ids == encode(model.tokenizer, Prompt(text=text))
    return SubjectText(joined, joined.last_token_of(span))

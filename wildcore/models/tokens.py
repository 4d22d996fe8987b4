"""From text to token ids: the separator of prompt and target, the subject's last token, and padding.

Positions are computed only here, from the character offsets that the tokenizer reports for the whole text. So a leading space
never becomes a token of its own by accident (as when a SentencePiece tokenizer is given " Paris" alone), a subject may occur
twice, and a subject's last piece may merge with the text after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wildcore.equivalence import find_last, missing_subject
from wildcore.errors import Parameter, Refused, UserError
from wildcore.models.checks import without_embedding
from wildcore.params import TargetEnding
from wildcore.scripts import ends_in_full_stop, own_stop
from wildcore.types import EditRequest, Prompt

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

IGNORE_INDEX = -100
"""Label of a position that a loss ignores (the convention of ``torch.nn.functional.cross_entropy``)."""


@dataclass(frozen=True)
class TokenisedPair:
    """A prompt and its target, tokenised together.

    ``spans[i]`` is the character range of token i in ``text``; (0, 0) for special tokens.
    """

    text: str
    token_ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    prompt_length: int
    """Number of tokens before the target's first token."""

    @property
    def target_ids(self) -> tuple[int, ...]:
        """Ids of the target's tokens."""
        return self.token_ids[self.prompt_length :]

    def last_token_of(self, span: tuple[int, int]) -> int:
        """Return the index of the token that holds the last character of a non-empty character range."""
        return max(index for index, (start, end) in enumerate(self.spans) if start < span[1] <= end)


def encode(tokenizer: Any, prompt: Prompt) -> tuple[int, ...]:
    """Return the token ids of a prompt, ready to be continued: a closing special token that a tokenizer adds is removed."""
    return _tokenise(tokenizer, prompt.text, prompt.special_tokens)[0]


def tokenise_pair(tokenizer: Any, prompt: Prompt, target: str, ending: TargetEnding = "none") -> TokenisedPair:
    """Tokenise ``prompt`` followed by ``target``, with one separator between them.

    The target's tokens are those that extend beyond the prompt's last character. ``ending`` closes the target with the full stop
    of its script or with the end-of-sequence token. Raises ``UserError`` for a tokenizer without one.
    """
    answer = target.strip()
    if ending == "stop" and not ends_in_full_stop(answer):
        answer += own_stop(answer)
    text = prompt.text + (prompt.separator_used if answer else "") + answer
    token_ids, spans = _tokenise(tokenizer, text, prompt.special_tokens)
    boundary = len(prompt.text)
    prompt_length = next((index for index, span in enumerate(spans) if span[1] > boundary), len(spans))
    if ending == "end-of-sequence":
        if tokenizer.eos_token_id is None:
            raise UserError(
                "this tokenizer has no such token",
                Parameter("close_target", ending),
                ("close by a full stop (", Parameter("close_target", "stop"), ")"),
            )
        token_ids, spans = (*token_ids, tokenizer.eos_token_id), (*spans, (len(text), len(text)))
    return TokenisedPair(text, token_ids, spans, prompt_length)


def training_pair(model: "LoadedModel", request: EditRequest, ending: TargetEnding = "none") -> TokenisedPair:
    """Tokenise a request's prompt and target for training on the target.

    Raises ``Refused`` for a request without a target, without any token before the target, or with a token for which the network
    has no embedding.
    """
    require_target(request)
    joined = tokenise_pair(model.tokenizer, edit_prompt(request), request.target, ending)
    require_embeddings(model, joined.token_ids)
    if joined.prompt_length == 0:
        raise Refused("no token stands before the target's first, so nothing can be asked for it")
    return joined


def edit_prompt(request: EditRequest, prefix: str = "") -> Prompt:
    """Return the bare prompt of an edit, after ``prefix``, with the separator of its script."""
    return Prompt(text=prefix + request.prompt, spaced=request.separator_used == " ")


def require_target(request: EditRequest) -> None:
    """Raise ``Refused`` for a request with an empty target, even if the end of the answer would be trained after it."""
    if not request.target.strip():
        raise Refused("the target is empty")


def require_fits_context(model: "LoadedModel", request: EditRequest) -> EditRequest:
    """Return ``request``. Raises ``Refused`` if its prompt and target are longer than the model's context, or hold a token
    for which the network has no embedding.
    """
    token_ids = tokenise_pair(model.tokenizer, edit_prompt(request), request.target).token_ids
    require_embeddings(model, token_ids)
    length = len(token_ids)
    if model.max_length is not None and length > model.max_length:
        raise Refused(f"its prompt and target are {length} tokens long, and the model reads {model.max_length}")
    return request


def require_embeddings(model: "LoadedModel", token_ids: Sequence[int]) -> None:
    """Raise ``Refused`` if the network has no embedding for one of the tokens, which it then cannot read."""
    rows = model.embeddings
    unknown = next((token for token in token_ids if token >= rows), None)
    if unknown is not None:
        raise Refused(without_embedding(model.tokenizer, unknown, rows))


def subject_span(text: str, subject: str | None) -> tuple[int, int]:
    """Return the character range of the subject's last occurrence in ``text``, without white space around it.

    The last occurrence is used because, under causal attention, it has read the others. Texts that are equal in Unicode are
    the same. Raises ``Refused`` if there is none, naming the characters that differ from a part that looks the same.
    """
    wanted = (subject or "").strip()
    if not wanted:
        raise Refused("the request names no subject")
    found = find_last(text, wanted)
    if found is None:
        raise Refused(f"the subject {wanted!r} does not occur in the prompt {text!r}{missing_subject(text, wanted)}")
    return found


def pad(
    rows: Sequence[Sequence[int]], value: int, side: str, device: torch.device, multiple_of: int = 1
) -> tuple[Tensor, Tensor]:
    """Return ids [rows, longest] padded with ``value`` on ``side`` ("left" or "right"), and the mask of real tokens.

    With ``multiple_of`` the rows are padded further, to the next multiple of it.
    """
    longest = max(len(row) for row in rows)
    longest += -longest % multiple_of
    ids = torch.full((len(rows), longest), value, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return ids.to(device), mask.to(device)


def target_labels(rows: Sequence[TokenisedPair], device: torch.device) -> Tensor:
    """Return labels [rows, longest] for right-padded rows: the target's ids at the positions that predict them, else
    ``IGNORE_INDEX``.

    Position t holds the id of token t + 1, so that ``logits[:, t]`` is compared with ``labels[:, t]``.
    """
    labels = torch.full((len(rows), max(len(row.token_ids) for row in rows)), IGNORE_INDEX, dtype=torch.long)
    for index, row in enumerate(rows):
        labels[index, row.prompt_length - 1 : len(row.token_ids) - 1] = torch.tensor(row.target_ids, dtype=torch.long)
    return labels.to(device)


def _tokenise(tokenizer: Any, text: str, special_tokens: bool) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    encoded = tokenizer(
        text, add_special_tokens=special_tokens, return_offsets_mapping=True, return_special_tokens_mask=True
    )
    ids = list(encoded["input_ids"])
    spans = [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
    special = encoded["special_tokens_mask"]
    end = len(ids)
    while special_tokens and end > 1 and special[end - 1] and spans[end - 1] == (0, 0):
        end -= 1
    return tuple(ids[:end]), tuple(spans[:end])

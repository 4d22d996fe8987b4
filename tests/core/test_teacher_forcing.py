"""Teacher forcing: the logits of targets, however near the end of the model's context they lie."""

import pytest
import torch

from wildcore.inference import map_target_logits
from wildcore.models import TokenisedPair
from wildcore.testing.networks import MAX_LENGTH, tiny_model


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_a_target_may_end_one_token_beyond_the_context(model_type: str) -> None:
    """Its last token is predicted, not read; gpt2 has no position for it."""
    model = tiny_model(model_type)
    ids = tuple(torch.randint(4, 100, (MAX_LENGTH + 1,), generator=torch.Generator().manual_seed(0)).tolist())
    rows = [
        TokenisedPair("", one, (), start) for one, start in ((ids, 1), (ids, MAX_LENGTH), (ids[:9], 4), (ids[:2], 1))
    ]
    with torch.no_grad():
        expected = [
            model.network(torch.tensor([row.token_ids[:-1]])).logits[0, row.prompt_length - 1 :] for row in rows
        ]
    for size in (None, 1, 3):
        model.max_batch_size = size
        found = map_target_logits(model, rows, lambda index, logits: logits.clone())
        for one, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-3, atol=1e-4)


def test_a_prompt_that_is_longer_than_the_context_is_not_shortened() -> None:
    """A row without a target has no token that need not be read."""
    model = tiny_model("gpt2")
    ids = (5,) * (MAX_LENGTH + 1)
    with pytest.raises((IndexError, RuntimeError)):
        map_target_logits(model, [TokenisedPair("", ids, (), len(ids))], lambda index, logits: logits)

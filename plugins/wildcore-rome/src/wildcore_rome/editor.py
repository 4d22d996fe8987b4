"""The rank-one edit.

With W the layer's MLP output projection, k its input and W k its output at the subject's last token, C the second moments of
its inputs and v the value that makes the model say the target (Meng et al. 2022, equation 2)::

    W' = W + (v - W k) u^T / (u . k)    with    u = C^-1 k_u / |C^-1 k_u|

ROME takes k_u as the mean over prefixed prompts and k of the bare prompt, two different keys in one formula; R-ROME (Gupta et
al. 2024, equation 3) takes the mean for both.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor
from wildcore_keyvalue.moments import second_moments, solve
from wildcore_keyvalue.prefixes import sampled_prefixes
from wildcore_keyvalue.prompts import SubjectText, with_target, without_target
from wildcore_keyvalue.traces import keys_and_values
from wildcore_keyvalue.values import OptimisedValue, ValueSettings, optimise_value

from wildcore import Editor, EditRequest, Environment
from wildcore.models import LoadedModel
from wildcore.patches import LowRank, WeightPatch
from wildcore_rome.parameters import RomeParams, UpdateKey


class Rome(Editor):
    """ROME and R-ROME, which differ in ``update_key`` only."""

    def __init__(self, params: RomeParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.prefixes: tuple[str, ...] = ("",)
        self.moments: Tensor | None = None

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Sample the prefixes and estimate the second moments, or take them from the cache."""
        params = self.params
        self.prefixes = sampled_prefixes(model, environment, params.prefix_lengths, params.prefix_top_k)
        if params.second_moments == "corpus":
            self.moments = second_moments(model, self.layer, params.corpus, params.moment_tokens, environment)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update for ``requests``: one after the other, each computed on the model that carries those before it."""
        steps: list[LowRank] = []
        name = model.mlp_output(self.layer).name
        with ExitStack() as earlier:
            for request in requests:
                steps.append(self._rank_one(model, request))
                if len(requests) > 1:
                    earlier.enter_context(WeightPatch({name: steps[-1]}).applied(model))
        left = torch.cat([step.left for step in steps], dim=1)
        return WeightPatch({name: LowRank(left, torch.cat([step.right for step in steps], dim=1))})

    def _rank_one(self, model: LoadedModel, request: EditRequest) -> LowRank:
        texts = with_target(model, request, self.prefixes, self.params.close_target)
        value = optimise_value(model, self.layer, texts, request, self._value_settings())
        keys, values = self._keys_and_values(model, request)
        direction = self._direction(_chosen(keys, self.params.direction_key))
        key, replaced = _chosen(keys, self.params.update_key), _chosen(values, self.params.update_key)
        return LowRank(self._left(value, key, replaced, direction)[:, None], direction[:, None])

    def _left(self, value: OptimisedValue, key: Tensor, replaced: Tensor, direction: Tensor) -> Tensor:
        return (value.value - replaced) / (key @ direction)

    def _keys_and_values(self, model: LoadedModel, request: EditRequest) -> tuple[Tensor, Tensor]:
        texts: list[SubjectText] = [
            without_target(model, prefix + request.prompt, request.subject) for prefix in self.prefixes
        ]
        return keys_and_values(model, self.layer, texts)

    def _direction(self, key: Tensor) -> Tensor:
        raw = key if self.moments is None else solve(self.moments, key[:, None], self.params.damping)[:, 0]
        return raw / raw.norm()

    def _value_settings(self) -> ValueSettings:
        params = self.params
        return ValueSettings(
            steps=params.steps,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            clamp_factor=params.clamp_factor,
            kl_factor=params.kl_factor,
            loss_threshold=params.loss_threshold,
            essence_position=params.essence_position,
        )


def _chosen(rows: Tensor, key: UpdateKey) -> Tensor:
    """Return the mean over all prefixes, or the row of the bare prompt, which comes first."""
    return rows.mean(0) if key == "prefixed" else rows[0]

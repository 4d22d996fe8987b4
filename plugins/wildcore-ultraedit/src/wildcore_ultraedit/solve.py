"""The update of a linear map, in float64.

With h_i the hidden state of token i, g_i the gradient, and hat for normalised, the value to write is
v_i = -eta |hat h_i|^2 hat g_i. The update D [outputs, inputs] is the regularised least squares solution of
D h_i = v_i (Gu et al. 2026)::

    D = V^T H (H^T H + I)^-1 = V^T (H H^T + I)^-1 H

with the tokens as rows of H [tokens, inputs] and V [tokens, outputs].
"""

import torch
from torch import Tensor

from wildcore.patches import Dense, LowRank
from wildcore_ultraedit.features import Features
from wildcore_ultraedit.statistics import Running, widened


def update(features: Features, statistics: Running, learning_rate: float) -> LowRank | Dense:
    """Return the change of a linear map, of the features' dtype, on their device."""
    return _least_squares(widened(features.hidden), values(features, statistics, learning_rate), features.hidden)


def values(features: Features, statistics: Running, learning_rate: float) -> Tensor:
    """Return the values to write for each token: [tokens, outputs]."""
    normalised = statistics.normalised(widened(features.joined))
    inputs = features.hidden.shape[1]
    hidden, gradients = normalised[:, :inputs], normalised[:, inputs:]
    return -learning_rate * hidden.square().sum(-1, keepdim=True) * gradients


def _least_squares(hidden: Tensor, values: Tensor, like: Tensor) -> LowRank | Dense:
    """Solve in as many unknowns as there are tokens or inputs, whichever are fewer; the result has the dtype and device of
    ``like``.
    """
    tokens, inputs = hidden.shape
    if tokens <= inputs:
        right = torch.linalg.solve(hidden @ hidden.T + _identity(tokens, hidden), hidden).T
        return LowRank(values.T.to(like), right.to(like))
    change = torch.linalg.solve(hidden.T @ hidden + _identity(inputs, hidden), hidden.T @ values).T
    return Dense(change.to(like))


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)

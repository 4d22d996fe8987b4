"""The update of several layers, with values for the MLP's output alone.

A layer's output is the sum of its input, its attention's output and its MLP's output. MEMIT finds a vector for the whole sum,
and the MLPs write all of it. PMET finds two, one added to the attention's output of the last layer L and one to its MLP's,
m^L, which together make the model say the target. The MLPs write only theirs (Li et al., AAAI 2024). Each layer l in order
writes::

    Delta_l = R K^T (lambda C + K K^T)^-1    with    R = (m* - m^L) / sqrt(number of layers from l on)

where m* is m^L plus its vector. The columns of K are the keys of all requests; C is the second moments of the layer's keys in
the unedited model. Keys and m^L are read anew for each layer, with the updates of the layers before it applied.
"""

from math import sqrt

from torch import Tensor
from wildcore_keyvalue.least_squares import LeastSquares
from wildcore_keyvalue.values import AfterFirstSuccess

from wildcore_pmet.parameters import PmetParams


class Pmet(LeastSquares):
    """PMET: the least-squares solve in several layers, for MLP values found together with the attention's."""

    place = "attention-and-mlp"

    def __init__(self, params: PmetParams) -> None:
        super().__init__(params)
        self.once_said = AfterFirstSuccess(params.target_factor_once_said, params.divergence_threshold)

    def share(self, layer: int, missing: Tensor) -> Tensor:
        """Return the part of the remaining difference ``missing`` that ``layer`` writes: [problems, width]."""
        return missing / sqrt(len(self.layers) - self.layers.index(layer))

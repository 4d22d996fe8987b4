"""The update with equality constraints.

Each layer l writes its share R of the remaining difference. C is the second moments of the layer's keys in the unedited model.
The update that writes R exactly for all keys K with the smallest change is (Gupta et al., Findings of EMNLP 2024)::

    Delta_l = R (K^T C^-1 K)^-1 K^T C^-1

For one key it equals ROME's. Values, and the shares of several layers, are those of MEMIT.
"""

from torch import Tensor
from wildcore_keyvalue.least_squares import LeastSquares

from wildcore_emmet.parameters import EmmetParams
from wildcore_emmet.solve import written_alone, written_together


class Emmet(LeastSquares):
    """EMMET."""

    def __init__(self, params: EmmetParams) -> None:
        super().__init__(params)
        self.ridge = params.ridge

    def solve_jointly(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factor [inputs, n] for keys [inputs, n].

        Raises ``UserError`` if the keys are too similar and there is no ridge.
        """
        return written_together(keys, self.solvers.get(layer), self.moment_weight, self.ridge)

    def solve_independently(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factors [inputs, n] for keys [inputs, n], each column an edit of its own."""
        return written_alone(keys, self.solvers.get(layer), self.moment_weight)

"""The update with equality constraints.

Each layer l writes its share R of what is still missing, and with C the second moments of the layer's keys in the unedited model
(Gupta et al., Findings of EMNLP 2024) the update that meets it for all keys K while it changes least is::

    Delta_l = R (K^T C^-1 K)^-1 K^T C^-1

For one key it is ROME's. Values, and the shares where there are several layers, are those of MEMIT.
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

    def together(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factor [inputs, n] for keys [inputs, n].

        Raises ``UserError`` where the keys are alike and there is no ridge.
        """
        return written_together(keys, self.solvers.get(layer), self.moment_weight, self.ridge)

    def alone(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factors [inputs, n] for keys [inputs, n], each column an edit of its own."""
        return written_alone(keys, self.solvers.get(layer), self.moment_weight)

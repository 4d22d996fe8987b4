"""The update of several layers.

Each layer l writes its share R of the remaining difference (Meng et al., ICLR 2023, algorithm 1)::

    Delta_l = R K^T (lambda C + K K^T)^-1

K has the keys of all requests as columns, C the second moments of the layer's keys in the unedited model.
"""

from wildcore_keyvalue.least_squares import LeastSquares


class Memit(LeastSquares):
    """MEMIT: the least-squares solve, in several layers."""

"""Options of a GrowingNeuralGasMixture: how its gas grows."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Literal

from skgmje._options import Options
from skgmje._sklearn import Interval, StrOptions

_SHARE = Interval(Real, 0, 1, closed="neither")
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")


class GasGrowth(Options):
    r"""How the gas of a :class:`GrowingNeuralGasMixture` grows.

    Parameters
    ----------
    mode : {'batch', 'sequential'}, default='batch'
        Whether the gas sees up to two samples per node at once, or single samples.

    winner_rate : float, default=0.2
        Rate :math:`\epsilon_b` of the nearest node.

    neighbor_rate : float, default=0.006
        Rate :math:`\epsilon_n` of its neighbours.

    max_age : int, default=50
        Largest age :math:`a_{max}` of an edge, in samples won by its ends.

    insertion_interval : int, default=100
        Number :math:`\lambda` of samples between two new nodes.

    error_split : float, default=0.5
        Factor :math:`\alpha` of the errors of the two nodes beside a new one.

    error_decay : float, default=0.995
        Factor d of all errors after each sample.

    utility_threshold : float or None, default=None
        If the largest error is so many times the smallest utility, that node is
        removed, so that a drifting stream is followed; 20 is a good value. None
        removes none. See [1]_.

    settle : bool, default=True
        Whether ``fit`` settles the nodes on all samples after the growth, see
        :func:`skgmje.neural_gas.refine_gas`.

    See Also
    --------
    skgmje.neural_gas.adapt_gas : The steps of the gas.

    References
    ----------
    .. [1] B. Fritzke, "A Self-Organizing Network That Can Follow Non-Stationary
       Distributions", 1997.

    Examples
    --------
    >>> from skgmje.mixture import GasGrowth, GrowingNeuralGasMixture
    >>> growth = GasGrowth(utility_threshold=20.0)
    >>> GrowingNeuralGasMixture(20, growth=growth)
    GrowingNeuralGasMixture(growth=GasGrowth(utility_threshold=20.0), max_nodes=20)
    """

    _parameter_constraints: dict = {
        "mode": [StrOptions({"batch", "sequential"})],
        "winner_rate": [_SHARE],
        "neighbor_rate": [_SHARE],
        "max_age": [_AT_LEAST_ONE],
        "insertion_interval": [_AT_LEAST_ONE],
        "error_split": [_SHARE],
        "error_decay": [_SHARE],
        "utility_threshold": [Interval(Real, 0, None, closed="neither"), None],
        "settle": ["boolean"],
    }

    def __init__(
        self,
        mode: Literal["batch", "sequential"] = "batch",
        *,
        winner_rate: float = 0.2,
        neighbor_rate: float = 0.006,
        max_age: int = 50,
        insertion_interval: int = 100,
        error_split: float = 0.5,
        error_decay: float = 0.995,
        utility_threshold: float | None = None,
        settle: bool = True,
    ) -> None:
        self.mode = mode
        self.winner_rate = winner_rate
        self.neighbor_rate = neighbor_rate
        self.max_age = max_age
        self.insertion_interval = insertion_interval
        self.error_split = error_split
        self.error_decay = error_decay
        self.utility_threshold = utility_threshold
        self.settle = settle


def rules_of(growth):
    """Return the parameters of :func:`skgmje.neural_gas.adapt_gas`, a dict."""
    params = growth.get_params(deep=False)
    del params["settle"]
    return params


GROWTHS = {name: partial(GasGrowth, name) for name in ("batch", "sequential")}

"""A mixture density network as a module."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn

from skgmje._backend import as_array_of
from skgmje._training._hardware import by_rows
from skgmje._typing import Array
from skgmje.gaussian._checks import check_layers
from skgmje.gaussian._heads import join_members, n_outputs, perceptrons, split_outputs
from skgmje.modules._generators import MixtureModule


class MixtureDensityNetwork(MixtureModule):
    r"""Perceptrons that map a context to a Gaussian mixture of targets.

    .. math::

        p(y | x) = \frac1M \sum_{m=1}^M \sum_{k=1}^K
        w_{mk}(x)\, N(y; \mu_{mk}(x), \Sigma_{mk}(x)), \qquad
        \Sigma_{mk}^{-1} = U_{mk}^T U_{mk}

    with :math:`U = \mathrm{diag}(1/s) (I + A)` and a strictly lower triangle A. All M
    members are one batched perceptron with SiLU units and a linear skip. The start
    suits standardized contexts and targets.

    Parameters
    ----------
    n_context, n_targets : int
        Numbers of features of a context, and of the mixture.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    n_members, n_components : int, default=1 and 5
        Number M of perceptrons, and K of components of each.

    hidden_layer_sizes : sequence of int, default=(64, 64)
        Widths of the hidden layers.

    covariance_type : {'full', 'diag'}, default='full'
        Whether the targets of a component may be correlated.

    min_scale : float, default=0.005
        Smallest standard deviation of a target in a component, given the
        targets before it.

    dtype : torch.dtype, default=torch.float32
        The data type of the parameters; mixtures are in double precision.

    References
    ----------
    .. [1] C. M. Bishop, "Mixture Density Networks", 1994.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import MixtureDensityNetwork
    >>> random_state = torch.Generator().manual_seed(0)
    >>> network = MixtureDensityNetwork(3, 2, random_state, n_members=4)
    >>> network(torch.zeros(6, 3))
    Mixture(batch_shape=(6,), n_components=20, n_features=2, covariance_type='full')
    >>> network.log_prob(torch.zeros(6, 3), torch.zeros(6, 2)).shape
    torch.Size([4, 6])
    """

    def __init__(
        self,
        n_context: int,
        n_targets: int,
        random_state: torch.Generator,
        *,
        n_members: int = 1,
        n_components: int = 5,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        covariance_type: Literal["full", "diag"] = "full",
        min_scale: float = 5e-3,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        self.n_targets = n_targets
        self.min_scale = min_scale
        n_out = n_outputs(n_components, n_targets, covariance_type)
        sizes = [n_context, *check_layers(hidden_layer_sizes), n_out]
        options = {"generator": random_state, "dtype": dtype}
        weights, biases = [], []
        for n_in, n_units in pairwise(sizes):
            shape = (n_members, n_in, n_units)
            weight = torch.randn(shape, **options)
            weights.append(weight * (1.2 / math.sqrt(n_in)))
            biases.append(torch.zeros((n_members, 1, n_units), dtype=dtype))
        biases[0] += 0.3 * torch.randn(biases[0].shape, **options)
        # Nearly constant mixtures, whose components stand apart.
        weights[-1] *= 0.1 / 1.2
        _spread_components(biases[-1], n_components, n_targets, random_state)
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        skip = torch.zeros((n_members, n_context, n_out), dtype=dtype)
        self.skip = nn.Parameter(skip)

    @torch.no_grad()
    def _start_at(self, slope, intercept, scale):
        """Set all means to a linear function of the context, apart by `scale`."""
        means, scales = _places(self.n_components, self.n_targets)
        bias, times = self.biases[-1], self.n_components
        self.skip[..., means] = slope.repeat(1, times)
        bias[..., means] *= scale.clamp(max=1.0).repeat(times)
        bias[..., means] += intercept.repeat(times)
        bias[..., scales] += scale.log().repeat(times)

    def heads(self, context: Array, drop: Callable[..., Any] | None = None) -> Any:
        """Evaluate the perceptrons.

        Parameters
        ----------
        context : tensor of shape ([n_members,] n_samples, n_context)
            Samples for all members, or samples for each.

        drop : callable, default=None
            Applied to the outputs of each hidden layer, such as dropout.

        Returns
        -------
        heads : Heads
            Tensors of shape (n_members, n_samples, n_components, ...).
        """
        context = as_array_of(context, self.skip)
        layers = list(self.weights), list(self.biases), self.skip
        if drop is None:
            outputs = by_rows(partial(perceptrons, *layers), context)
        else:
            # What is left out is drawn for all samples, the same in each process.
            outputs = perceptrons(*layers, context, drop)
        return split_outputs(outputs, self.n_components, self.n_targets, self.min_scale)

    def forward(self, context: Array | None) -> Any:
        return join_members(self.heads(context)).mixture()

    def log_prob(self, context: Array, y: Array) -> Array:
        """Compute the log-density under each member.

        Parameters
        ----------
        context : tensor of shape ([n_members,] n_samples, n_context)
            Samples for all members, or samples for each.

        y : tensor of shape ([n_members,] n_samples, n_targets)
            Their targets.

        Returns
        -------
        log_prob : tensor of shape (n_members, n_samples)
            In nats.
        """
        return self.heads(context).log_prob(as_array_of(y, self.skip))


def _spread_components(bias, n_components, n_targets, random_state):
    """Set the outputs' bias: means apart, standard deviations of 0.7."""
    places, scales = _places(n_components, n_targets)
    means = bias[..., places]
    if n_targets > 1:
        draws = torch.randn(means.shape, generator=random_state, dtype=bias.dtype)
        means += 0.7 * draws
    elif n_components > 1:
        means += torch.linspace(-1, 1, n_components, dtype=bias.dtype)
    bias[..., scales] = math.log(0.7)


def _places(n_components, n_targets):
    """Return where the means and the logarithms of the scales stand in the outputs."""
    end = n_components * (1 + n_targets)
    return slice(n_components, end), slice(end, end + n_components * n_targets)

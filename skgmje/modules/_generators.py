"""The base class of modules that make mixtures, and networks that make centers."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from skgmje._training._hardware import by_rows
from skgmje._typing import Array
from skgmje.gaussian import Mixture
from skgmje.gaussian._checks import check_layers


class MixtureModule(nn.Module, ABC):
    r"""A torch module whose forward pass returns a :class:`~skgmje.gaussian.Mixture`.

    .. math:: \text{context} \mapsto \{w_k, \mu_k, \Sigma_k\}_{k=1}^K

    To write one, implement :meth:`forward`; to let it follow the data by a rule, too,
    override :meth:`update`.

    Examples
    --------
    >>> import torch
    >>> from skgmje.gaussian import Mixture
    >>> from skgmje.modules import MixtureModule
    >>> class TwoPoints(MixtureModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.means = torch.nn.Parameter(torch.tensor([[-1.0], [1.0]]))
    ...     def forward(self, context=None):
    ...         half = torch.full((2,), 0.5)
    ...         return Mixture(half, self.means, torch.ones(2), "spherical")
    >>> TwoPoints()().log_prob(torch.zeros(1, 1)).item()
    -1.4189...
    """

    @abstractmethod
    def forward(self, context: Array | None = None) -> Mixture:
        """Return the mixture.

        Parameters
        ----------
        context : tensor of shape (n_samples, n_context) or None, default=None
            What the mixture depends on; ignored by one mixture for all samples.

        Returns
        -------
        mixture : Mixture
            One mixture, or one per sample of `context`.
        """

    def update(self, batch: Array, random_state: torch.Generator) -> None:
        """Adapt to a batch, after each gradient step, by a rule if there is one.

        Parameters
        ----------
        batch : tensor of shape (n_samples, n_features)
            The samples of the step.

        random_state : torch.Generator
            The source of randomness.
        """


def draw_parameters(layer, random_state):
    """Return a layer with parameters drawn as torch does, but not by a global state."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=random_state)
    return layer


def mlp(
    sizes: Sequence[int],
    random_state: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    zero_output: bool = False,
) -> nn.Sequential:
    r"""Return a multi-layer perceptron with ReLU units and a linear output.

    Weights and biases are uniform in :math:`\pm 1/\sqrt{n_{in}}`, as torch's own.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input, the hidden layers and the output.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    dtype : torch.dtype, default=torch.float32
        The data type of the parameters.

    zero_output : bool, default=False
        Whether the last layer starts at zero, so that the network does.

    Returns
    -------
    network : torch.nn.Sequential
        The perceptron.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import mlp
    >>> network = mlp([4, 16, 2], torch.Generator().manual_seed(0))
    >>> network(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """
    layers = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=dtype)
        layers += [draw_parameters(layer, random_state), nn.ReLU()]
    layers.pop()
    if zero_output:
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)


def normalized_relu(width, dtype=torch.float32):
    """Return what stands behind a linear map: a batch normalisation and ReLU units."""
    return [nn.BatchNorm1d(width, dtype=dtype), nn.ReLU()]


def hidden_layers(sizes, random_state, dtype=torch.float32, **params):
    """Return hidden layers: linear maps, batch normalisations and ReLU units."""
    linear = mlp(sizes, random_state, dtype=dtype, **params)[::2]
    return [p for m in linear for p in (m, *normalized_relu(m.out_features, dtype))]


class NoiseMap(nn.Module):
    r"""A map from noise that starts as cells of the data, and learns the rest.

    .. math:: g(u) = c_k + L_k u_{2..} + h\left(\frac{c_k - m}{s}, u_{2..}\right),
        \quad k = k(u_1)

    The first number of the noise chooses a cell k by the cells' shares of the samples;
    :math:`L_k L_k^T` is the covariance within; the perceptron h, all that is learned,
    starts at zero. So draws fill the space from the first step on. With one cell at the
    mean, the perceptron has to find all clusters.
    """

    def __init__(self, centers, shares, spread, hidden_layer_sizes, random_state):
        super().__init__()
        n_features, dtype = centers.shape[1], centers.dtype
        self.register_buffer("centers", centers.clone())
        self.register_buffer("spread", spread.clone())
        within = (shares[:, None] * spread.square().sum(dim=2)).sum(dim=0)
        unit = (within / shares.sum() + centers.var(dim=0, correction=0)).sqrt()
        self.register_buffer("bounds", (shares.cumsum(0) / shares.sum())[:-1])
        self.register_buffer("loc", centers.mean(dim=0))
        self.register_buffer("unit", torch.where(unit > 0, unit, 1.0))
        sizes = [2 * n_features, *hidden_layer_sizes, n_features]
        layers = hidden_layers(sizes, random_state, dtype=dtype, zero_output=True)
        self.network = nn.Sequential(*layers[:-2])

    def forward(self, noise):
        """Return one center for each sample of noise of n_features + 1 numbers."""
        place = torch.special.ndtr(noise[:, 0].contiguous())
        cell = torch.searchsorted(self.bounds, place)
        start, rest = self.centers[cell], noise[:, 1:]
        seen = torch.cat([(start - self.loc) / self.unit, rest], dim=1)
        spread = (self.spread[cell] @ rest[:, :, None])[:, :, 0]
        return start + spread + self.network(seen)


def draw_centers(network, n_centers, code_dim, random_state, like):
    """Map fresh standard-normal noise to centers, shape (n_centers, n_features)."""
    noise = torch.randn((n_centers, code_dim), generator=random_state, dtype=like.dtype)
    return by_rows(network, noise.to(like.device))


def own_network(network, given, dtype, **sizes):
    """Return a copy of a network of the user's, or what a callable builds of sizes."""
    if isinstance(network, nn.Module):
        network = copy.deepcopy(network)
    else:
        network = network(*sizes.values())
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"{given} built {type(network).__name__}; it must return a "
            f"torch.nn.Module when called with ({', '.join(sizes)})."
        )
    return network.to("cpu", dtype)


def output_width(network, given, X, what, width, remedy):
    """Return the width of what a network of the user's makes; raise if not `width`."""
    training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(X)
    except (RuntimeError, ValueError, TypeError) as error:
        output = error
    finally:
        network.train(training)
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) == 2 and shape[0] == len(X) and width in (None, shape[1]):
        return shape[1]
    found = f"shape {shape}" if torch.is_tensor(output) else f"an error ({output})"
    given_kind, wanted_kind = what
    wanted = f"(2, {'any width' if width is None else width})"
    raise ValueError(
        f"{given} maps {given_kind} of shape {tuple(X.shape)} to {found}, but "
        f"{wanted_kind} have shape {wanted}. {remedy}"
    )


def own_generator(network, code_dim, n_features, dtype):
    """Return a network of the user's that makes centers of noise."""
    given = f"network={network!r}"
    sizes = {"code_dim": code_dim, "n_features": n_features}
    network = own_network(network, given, dtype, **sizes)
    if not any(p.requires_grad for p in network.parameters()):
        raise ValueError(
            f"{given} has no parameters to learn. Give it layers, or use "
            "generator='codes'."
        )
    noise, what = torch.zeros(2, code_dim, dtype=dtype), ("noise", "centers")
    remedy = (
        f"Its input width is code_dim={code_dim}, its output width the number of "
        "features."
    )
    output_width(network, given, noise, what, n_features, remedy)
    return network


class _CenterGenerator(MixtureModule):
    """Equal spherical components around the centers a network makes.

    To write one, implement :meth:`centers`; weights and the one variance are
    parameters here, learned or not.
    """

    def __init__(self, n_components: int, variance: float, dtype: torch.dtype) -> None:
        super().__init__()
        log_variance = torch.tensor(math.log(variance), dtype=dtype)
        self.log_weights = nn.Parameter(torch.zeros(n_components, dtype=dtype))
        self.log_variance = nn.Parameter(log_variance)

    @abstractmethod
    def centers(self) -> Array:
        """Return the centers.

        Returns
        -------
        centers : tensor of shape (n_components, n_features)
            Decoded codes, or images of fresh noise.
        """

    def forward(self, context: Array | None = None) -> Mixture:
        variances = torch.exp(self.log_variance).expand(len(self.log_weights))
        weights = torch.softmax(self.log_weights, dim=0)
        return Mixture(weights, self.centers(), variances, "spherical")


class CodeGenerator(_CenterGenerator):
    r"""One learned code per component, decoded to its center.

    .. math:: \mu_k = c_k + g_\theta(u_k), \quad k = 1, \dots, K

    with codes :math:`u_k` that are learned together with the perceptron
    :math:`g_\theta`. If there is a base :math:`c`, the last layer starts at zero, and
    the centers there; without one they start as noise.

    Parameters
    ----------
    n_components, n_features : int
        Number K of components, and of features of a center.

    variance : float
        The components' variance, or where it starts.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    base : tensor of shape (n_components, n_features) or None, default=None
        The centers to start from.

    code_dim, hidden_layer_sizes : int and sequence of int, default=8 and (128, 128)
        Widths of a code and of the hidden layers.

    learn_weights, learn_variance : bool, default=False
        Whether weights and variance of the components are learned.

    dtype : torch.dtype, default=torch.float32
        The data type of the parameters.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import CodeGenerator
    >>> base = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> random_state = torch.Generator().manual_seed(0)
    >>> CodeGenerator(2, 2, 0.5, random_state, base=base)().means.tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(
        self,
        n_components: int,
        n_features: int,
        variance: float,
        random_state: torch.Generator,
        *,
        base: Array | None = None,
        code_dim: int = 8,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        learn_weights: bool = False,
        learn_variance: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(n_components, variance, dtype)
        self.log_weights.requires_grad_(learn_weights)
        self.log_variance.requires_grad_(learn_variance)
        shape, starts = (n_components, code_dim), base is not None
        codes = torch.randn(shape, generator=random_state, dtype=dtype)
        self.codes = nn.Parameter(codes)
        sizes = [code_dim, *check_layers(hidden_layer_sizes), n_features]
        self.network = mlp(sizes, random_state, dtype=dtype, zero_output=starts)
        start = torch.zeros(n_features, dtype=dtype) if base is None else base
        self.register_buffer("base", start.clone())

    def centers(self) -> Array:
        return self.base + by_rows(self.network, self.codes)


class NoiseGenerator(_CenterGenerator):
    r"""Fresh noise at every call, mapped to centers: an implicit generator.

    .. math:: \mu_k = g_\theta(u_k), \quad u_k \sim \mathcal{N}(0, I)

    What is learned is the map :math:`g_\theta`, from which any number of centers can
    be drawn.

    Parameters
    ----------
    n_components : int
        Number of centers drawn at every call.

    n_features, variance, random_state : int, float and torch.Generator
        As those of :class:`CodeGenerator`; the noise is the same whatever the device.

    network : torch.nn.Module or None, default=None
        The map from noise of shape (n, code_dim) to centers of shape
        (n, n_features). None is a perceptron.

    code_dim : int, default=8
        Width of the noise.

    hidden_layer_sizes, learn_variance, dtype : sequence of int, bool and torch.dtype
        As those of :class:`CodeGenerator`, of the perceptron.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import NoiseGenerator
    >>> random_state = torch.Generator().manual_seed(0)
    >>> generator = NoiseGenerator(5, 2, 0.5, random_state)
    >>> generator().means.shape
    torch.Size([5, 2])
    >>> torch.equal(generator().means, generator().means)
    False
    """

    def __init__(
        self,
        n_components: int,
        n_features: int,
        variance: float,
        random_state: torch.Generator,
        *,
        network: Any = None,
        code_dim: int = 8,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        learn_variance: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(n_components, variance, dtype)
        self.log_weights.requires_grad_(requires_grad=False)
        self.log_variance.requires_grad_(learn_variance)
        sizes = [code_dim, *check_layers(hidden_layer_sizes), n_features]
        self.network = network or mlp(sizes, random_state, dtype=dtype)
        self.code_dim = code_dim
        self.random_state = random_state

    def centers(self) -> Array:
        like, source = self.log_weights, self.random_state
        return draw_centers(self.network, len(like), self.code_dim, source, like)

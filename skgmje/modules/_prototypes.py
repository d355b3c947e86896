"""Components that are parameters, as a module."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from skgmje._backend import to_numpy
from skgmje._typing import Array
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.modules._generators import MixtureModule

# What has no logarithm is taken as this.
_SMALLEST = 1e-12


class Prototypes(MixtureModule):
    r"""Components that are parameters, the same for every context.

    .. math:: p(z) = \sum_k w_k N(z; \mu_k, \Sigma_k), \quad
        \Sigma_k^{-1} = U_k^T U_k, \quad U_k = \mathrm{diag}(1 / s_k)(I + A_k)

    with a strictly lower triangle A, and standard deviations :math:`s_{ki}` of
    feature i given those before it. They are learned by the gradient.

    Parameters
    ----------
    n_components, n_features : int
        Numbers of components and of features.

    random_state : torch.Generator
        Source of the first means, which are standard normal; on the CPU.

    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`.

    scale : float, default=1.0
        First standard deviation of every component.

    min_scale : float, default=0.001
        Smallest standard deviation of a feature, given those before it.

    dtype : torch.dtype, default=torch.float32
        The data type of the parameters.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import Prototypes
    >>> prototypes = Prototypes(4, 2, torch.Generator().manual_seed(0))
    >>> prototypes()
    Mixture(n_components=4, n_features=2, covariance_type='full')
    """

    def __init__(
        self,
        n_components: int,
        n_features: int,
        random_state: torch.Generator,
        *,
        covariance_type: Literal["full", "tied", "diag", "spherical"] = "full",
        scale: float = 1.0,
        min_scale: float = 1e-3,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        size = (n_components, n_features)
        kind = COVARIANCE_TYPES.get(covariance_type)
        shapes = kind and kind.parameter_shapes(kind.shape(*size))
        if not shapes:
            kinds = COVARIANCE_TYPES.items()
            known = [k for k, kind in kinds if kind.parameter_shapes(kind.shape(*size))]
            raise ValueError(
                f"covariance_type={covariance_type!r} is not known to prototypes. "
                f"Choose one of {sorted(known)}."
            )
        self.covariance_type = covariance_type
        self.min_scale = min_scale
        means = torch.randn(size, generator=random_state, dtype=dtype)
        flat, square = shapes
        log_scales = torch.full(flat, math.log(scale), dtype=dtype)
        self.logits = nn.Parameter(means.new_zeros(n_components))
        self.means = nn.Parameter(means)
        self.log_scales = nn.Parameter(log_scales)
        lower = square and nn.Parameter(means.new_zeros(square))
        self.register_parameter("lower", lower)

    @classmethod
    @torch.no_grad()
    def from_mixture(cls, mixture: Mixture, **params: Any) -> Prototypes:
        """Return prototypes that start as a mixture.

        Parameters
        ----------
        mixture : Mixture
            One mixture, of NumPy arrays or tensors.

        **params : dict
            `min_scale` and `dtype`.

        Returns
        -------
        prototypes : Prototypes
            On the CPU.
        """
        prototypes = cls(
            mixture.n_components,
            mixture.n_features,
            torch.Generator(),
            covariance_type=mixture.covariance_type,
            **params,
        )
        weights, means, covariances = (
            torch.tensor(to_numpy(array), dtype=torch.float64)
            for array in (mixture.weights, mixture.means, mixture.covariances)
        )
        kind = COVARIANCE_TYPES[prototypes.covariance_type]
        scales, lower = kind.parameters(kind.precisions_cholesky(covariances))
        least = prototypes.min_scale
        scales = (scales - least).clamp_min(_SMALLEST * least)
        prototypes.logits.copy_(torch.log(weights.clamp_min(_SMALLEST)))
        prototypes.means.copy_(means)
        prototypes.log_scales.copy_(torch.log(scales))
        if lower is not None:
            prototypes.lower.copy_(lower)
        return prototypes

    def forward(self, context: Array | None = None) -> Mixture:
        # Unlike a bound, a sum lets narrow components widen again.
        scales = torch.exp(self.log_scales) + self.min_scale
        kind = COVARIANCE_TYPES[self.covariance_type]
        covariances = kind.from_parameters(scales, self.lower)
        weights = torch.softmax(self.logits, dim=0)
        return Mixture(weights, self.means, covariances, self.covariance_type)

"""The registry of covariance types."""

from skgmje._backend import namespace
from skgmje.gaussian._dense import Full, FullKernel, Tied, TiedKernel
from skgmje.gaussian._diagonal import Diag, DiagKernel, Spherical, SphericalKernel
from skgmje.gaussian._low_rank import LowRank, LowRankKernel

COVARIANCE_TYPES = {
    "full": Full(),
    "tied": Tied(),
    "diag": Diag(),
    "spherical": Spherical(),
    "low-rank": LowRank(),
}


def common_type(first, second):
    """Return the narrowest type that can hold the matrices of both types."""
    candidates = COVARIANCE_TYPES[second].wider
    return next(name for name in COVARIANCE_TYPES[first].wider if name in candidates)


def widen(mixture, covariance_type):
    """Return the covariances of `mixture` in a type that can hold them."""
    if covariance_type == mixture.covariance_type:
        return mixture.covariances
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    return _WIDENED[covariance_type](
        kind, mixture.covariances, mixture.n_components, mixture.n_features
    )


def _as_full(kind, covariances, n_components, n_features):
    return kind.dense(covariances, n_components, n_features)


def _as_diag(kind, covariances, n_components, n_features):
    return kind.diagonal(covariances, n_components, n_features)


def _as_low_rank(kind, covariances, n_components, n_features):
    diagonal = kind.diagonal(covariances, n_components, n_features)
    xp = namespace(diagonal)
    return xp.zeros_like(diagonal)[..., None][..., :0], diagonal


_WIDENED = {"full": _as_full, "diag": _as_diag, "low-rank": _as_low_rank}


KERNELS = {
    "full": FullKernel,
    "tied": TiedKernel,
    "diag": DiagKernel,
    "spherical": SphericalKernel,
    "low-rank": LowRankKernel,
}


for _name, _kind in COVARIANCE_TYPES.items():
    type(_kind).loops = KERNELS[_name]

"""The registry of covariance types."""

from skgmje.gaussian._dense import Full, Tied
from skgmje.gaussian._diagonal import Diag, Spherical
from skgmje.gaussian._low_rank import LowRank

COVARIANCE_TYPES = {
    "full": Full(),
    "tied": Tied(),
    "diag": Diag(),
    "spherical": Spherical(),
    "low-rank": LowRank(),
}


def common_type(first, second):
    """Return the narrowest type that can hold the matrices of both types."""
    candidates = (second, *COVARIANCE_TYPES[second].wider)
    own = (first, *COVARIANCE_TYPES[first].wider)
    return next(name for name in own if name in candidates)


def simplest_type(first, second):
    """Return 'diag' if that holds the matrices of both types, else 'full'."""
    common = common_type(first, second)
    return "diag" if "diag" in (common, *COVARIANCE_TYPES[common].wider) else "full"


def widen(mixture, covariance_type):
    """Return the covariances of `mixture` in a type that can hold them."""
    if covariance_type == mixture.covariance_type:
        return mixture.covariances
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shape = mixture.n_components, mixture.n_features
    return COVARIANCE_TYPES[covariance_type].convert(kind, mixture.covariances, *shape)

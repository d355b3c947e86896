"""Densities that are given: what they must do, and their columns by themselves."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from skgmje.compose import TransformedDensity
from skgmje.compose._mass import mixture_or_none
from skgmje.outlier._union import UnionDensity


class Marginals(NamedTuple):
    """Log-densities of columns, where the density is a Gaussian mixture somewhere.

    Parameters
    ----------
    columns : list of Mixture
        Marginals of the mixture, one for each column.

    to_mixture : callable
        Takes rows to where the mixture is: gives their images, the logarithms of
        the columns' slopes or 0, and the logarithms of the other factor of the
        density, (n,) or 0.
    """

    columns: list
    to_mixture: object

    def log_prob(self, X):
        """Return log-densities of columns (n, d), and what is missing (n,)."""
        Z, log_slope, rest = self.to_mixture(X)
        parts = [p.log_prob(Z[:, [j]]) for j, p in enumerate(self.columns)]
        return np.stack(parts, axis=1) + log_slope, rest + np.zeros(len(Z))


class _Union:
    """Rows of a `UnionDensity`: each column has its own slope."""

    def __init__(self, density):
        self.mixture = density.mixture
        self._coordinates = density.coordinates

    def __call__(self, X):
        return *self._coordinates.forward(X), 0.0


class _Transformed:
    """Rows of a `TransformedDensity`: one log-determinant for all columns."""

    def __init__(self, density):
        self.mixture = mixture_or_none(_best(density.density_))
        self._bijection = density._bijection
        self._log_mass = np.log(density.image_mass_)

    def __call__(self, X):
        with np.errstate(all="ignore"):
            Z, log_det = self._bijection.forward(X)
        inside = np.isfinite(log_det) & np.isfinite(Z).all(axis=1)
        Z = np.where(inside[:, None], Z, 0.0).astype(np.float64)
        return Z, 0.0, np.where(inside, log_det - self._log_mass, -np.inf)


class _Plain:
    """Rows of anything else stay what they are."""

    def __init__(self, density):
        self.mixture = mixture_or_none(density)

    def __call__(self, X):
        return X.astype(np.float64, copy=False), 0.0, 0.0


def check_density(density, weight):
    """Raise if `density`, unless it is None, cannot be fitted or cannot score."""
    if density is None:
        return
    if not callable(getattr(density, "score_samples", None)):
        raise TypeError(
            f"density={density!r} has no method score_samples. Give an estimator of a "
            "density, for example GaussianMixture(), or None."
        )
    if weight is not None and not has_fit_parameter(density, "sample_weight"):
        raise TypeError(
            f"density={density!r} takes no sample_weight. Use one that does, for "
            "example skgmje.GaussianMixture(), or None."
        )


def find_marginals(density):
    """Return the marginals of a fitted density, or None if it has no mixture."""
    density = _best(density)
    to_mixture = MAPS.get(type(density), _Plain)(density)
    mixture = to_mixture.mixture
    if mixture is None:
        return None
    columns = [mixture.marginal([j]) for j in range(mixture.n_features)]
    return Marginals(columns, to_mixture)


def _best(density):
    """Return what a search has found."""
    return getattr(density, "best_estimator_", density)


MAPS = {UnionDensity: _Union, TransformedDensity: _Transformed}

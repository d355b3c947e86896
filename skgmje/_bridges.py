"""Bridges between fitted densities, mixtures and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skgmje.gaussian._checks import check_single
from skgmje.gaussian._covariance import COVARIANCE_TYPES, widen
from skgmje.gaussian._covariance_type import map_arrays
from skgmje.gaussian._mixture import Mixture


def find_estimator(estimator):
    """Return what a search has found, and what a pipeline of one step holds."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline) and len(estimator.steps) == 1:
            estimator = estimator[-1]
        else:
            return estimator


def find_last(estimator, X):
    """Return the last step of pipelines and searches, and samples as it sees them."""
    estimator = find_estimator(estimator)
    while isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X)
        estimator = find_estimator(estimator[-1])
    return estimator, X


def as_mixture(density: Any) -> Mixture:
    """Return a fitted density as a Gaussian mixture value.

    Parameters
    ----------
    density : Mixture or fitted estimator
        A mixture, an estimator with a ``mixture_`` attribute, scikit-learn's
        `GaussianMixture`, `BayesianGaussianMixture` (with its expected
        parameters plugged in; its own ``score_samples`` differs by a term of
        the posterior's width) or `KernelDensity` with ``kernel="gaussian"``
        (one component for each stored sample), torch's normal distributions and
        ``MixtureSameFamily`` of these, those of the package gmr, and the mixtures of
        TorchGMM. Also a search that has found one of these, and a pipeline of this
        one step.

    Returns
    -------
    mixture : Mixture
        Of NumPy arrays, or of tensors where the density holds tensors.

    Raises
    ------
    TypeError
        If `density` is no Gaussian mixture.

    ValueError
        If it is several, one for each sample.

    sklearn.exceptions.NotFittedError
        If the estimator has not been fitted.

    See Also
    --------
    to_sklearn : The way back.
    skgmje.Mixture.to_torch : The way to torch.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje import as_mixture
    >>> kde = KernelDensity(bandwidth=0.5).fit(np.array([[0.0], [1.0]]))
    >>> as_mixture(kde).n_components
    2
    """
    return check_single(as_mixtures(density))


def as_mixtures(density):
    """Return a fitted density as a mixture, or as it is one for each sample."""
    density = find_estimator(density)
    if isinstance(density, Mixture):
        return density
    if isinstance(density, SklearnGaussianMixture | BayesianGaussianMixture):
        check_is_fitted(density)
        arrays = density.weights_, density.means_, density.covariances_
        return Mixture(*arrays, density.covariance_type)
    if isinstance(density, KernelDensity):
        return _kernel_density_mixture(density)
    for names, read in READERS.items():
        if all(hasattr(density, name) for name in names):
            if getattr(density, names[0]) is None:
                raise NotFittedError(f"{density!r} has no {names[0]} yet. Fit it.")
            return read(density)
    # Of the class first: a property may raise what says why there is none.
    known = hasattr(type(density), "mixture_") or hasattr(density, "mixture_")
    if isinstance(density, BaseEstimator) and known:
        return density.mixture_
    raise TypeError(
        f"{density!r} is not one Gaussian mixture. Pass a Mixture, a fitted "
        "GaussianMixture, BayesianGaussianMixture, KernelDensity(kernel='gaussian'), "
        "a normal distribution or mixture of torch, gmr or TorchGMM, or a fitted "
        "skgmje estimator that has the attribute mixture_. Of a pipeline with "
        "transformers pass the last step, a mixture of transformed samples."
    )


def _torch_mixture(density):
    """Return the mixture that a normal distribution of torch, or one of them, is."""
    from torch import distributions

    if isinstance(density, distributions.MixtureSameFamily):
        weights = density.mixture_distribution.probs
        return Mixture(weights, *_torch_arrays(density.component_distribution))
    means, covariances, kind = _torch_arrays(density)
    axis = means.ndim - 1
    covariances = map_arrays(lambda array: array.unsqueeze(axis), covariances)
    means = means.unsqueeze(axis)
    return Mixture(means.new_ones(means.shape[:-1]), means, covariances, kind)


def _torch_arrays(parts):
    """Return means and covariances of normal distributions, and the type."""
    from torch import distributions

    if isinstance(parts, distributions.LowRankMultivariateNormal):
        return parts.loc, (parts.cov_factor, parts.cov_diag), "low-rank"
    if isinstance(parts, distributions.MultivariateNormal):
        return parts.loc, parts.covariance_matrix, "full"
    # A transformed normal distribution has a base as well, and is not normal.
    is_plain = not isinstance(parts, distributions.Independent)
    base, n_axes = parts if is_plain else parts.base_dist, len(parts.event_shape)
    if not isinstance(base, distributions.Normal) or n_axes > 1:
        raise TypeError(
            f"{parts!r} is no normal distribution of vectors. It, or components, "
            "must be Normal, Independent(Normal, 1), MultivariateNormal or "
            "LowRankMultivariateNormal."
        )
    means, scales = (a if n_axes else a[..., None] for a in (base.loc, base.scale))
    return means, scales**2, "diag"


def _torchgmm_mixture(density):
    """Return the mixture of a model of TorchGMM."""
    model = getattr(density, "model_", density)
    arrays = model.component_probs, model.means, model.covariances
    return Mixture(*arrays, model.covariance_type)


# Mixtures of others, known by their attributes: none of these packages is imported.
READERS = {
    ("event_shape", "batch_shape", "log_prob"): _torch_mixture,
    ("priors", "means", "covariances"): lambda gmm: Mixture(
        gmm.priors, gmm.means, gmm.covariances
    ),
    ("mean", "covariance", "to_probability_density"): lambda mvn: Mixture(
        [1.0], mvn.mean[None], mvn.covariance[None]
    ),
    ("component_probs", "precisions_cholesky"): _torchgmm_mixture,
    ("model_", "covariance_type", "trainer"): _torchgmm_mixture,
}


def _kernel_density_mixture(density):
    """Return the mixture that a fitted KernelDensity of Gaussian kernels is."""
    check_is_fitted(density)
    plain = density.metric in ("euclidean", "l2") or (
        density.metric in ("minkowski", "p") and not density.metric_params
    )
    if density.kernel != "gaussian" or not plain:
        raise TypeError(
            f"KernelDensity(kernel={density.kernel!r}, metric={density.metric!r}) is "
            "no Gaussian mixture. Use kernel='gaussian' and metric='euclidean'."
        )
    rows = np.asarray(density.tree_.data)
    weights = density.tree_.sample_weight
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights)
    variances = np.full(len(rows), float(density.bandwidth_) ** 2)
    return Mixture(weights / weights.sum(), rows, variances, "spherical")


def to_sklearn(mixture: Any) -> SklearnGaussianMixture:
    """Return a fitted scikit-learn `GaussianMixture` with the same density.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
        Whatever :func:`as_mixture` takes. Covariances of a type that
        scikit-learn lacks become full.

    Returns
    -------
    estimator : sklearn.mixture.GaussianMixture
        Ready to score and sample; ``lower_bound_`` is -inf, because no data
        were seen.

    See Also
    --------
    as_mixture : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture, to_sklearn
    >>> mixture = Mixture(np.array([1.0]), np.zeros((1, 2)), np.ones((1, 2)), "diag")
    >>> to_sklearn(mixture).score_samples(np.zeros((1, 2))).round(3).tolist()
    [-1.838]
    """
    mixture = as_mixture(mixture).to_numpy()
    name = COVARIANCE_TYPES[mixture.covariance_type].sklearn_name or "full"
    covariances, kind = widen(mixture, name), COVARIANCE_TYPES[name]
    estimator = SklearnGaussianMixture(mixture.n_components, covariance_type=name)
    # scikit-learn's estimators may be written into.
    estimator.weights_, estimator.means_ = mixture.weights.copy(), mixture.means.copy()
    estimator.covariances_ = np.array(covariances)
    estimator.precisions_cholesky_ = kind.precisions_cholesky(covariances)
    estimator.precisions_ = kind.precisions(covariances)
    estimator.converged_, estimator.n_iter_ = True, 0
    estimator.lower_bound_, estimator.lower_bounds_ = -np.inf, []
    estimator.n_features_in_ = mixture.n_features
    return estimator

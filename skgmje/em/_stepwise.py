"""Stepwise EM: statistics that forget."""

import numpy as np

from skgmje._backend import as_float
from skgmje.em._e_step import statistics_pass
from skgmje.em._em import make_prior, maximise
from skgmje.gaussian._arrays import map_arrays
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._loops import Statistics
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import merge_stats

# A component without any weight keeps its mean and covariance.
SMALLEST = 1e-12


def online_em(mixture, X, *, rate=0.05, reg_covar=1e-6, dead_share=0.1):
    r"""Let a mixture follow a batch by one step of stepwise EM.

    The sufficient statistics, which the mixture itself implies, fade:

    .. math:: n_k \leftarrow (1 - r) n_k + r \operatorname{mean}_i \gamma_{ik},

    and likewise the sums of :math:`\gamma x` and :math:`\gamma x x^T`, from
    which come means and covariances. A component that lost its weight is put on
    the least likely row, with the covariance of the component that explains it
    best.

    Parameters
    ----------
    mixture : Mixture
        The mixture so far, of NumPy arrays.

    X : ndarray of shape (n_samples, n_features)
        The batch; NaN means missing: of a feature without a value the mixture
        keeps what it knows.

    rate : float, default=0.05
        Rate r, from 0 to 1; 1 is a step of EM on the batch alone.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance.

    dead_share : float, default=0.1
        A component with less than this share of an equal weight is dead; 0 lets
        it be.

    Returns
    -------
    mixture : Mixture
        Of the same number of components, in double precision.

    References
    ----------
    .. [1] O. Cappe and E. Moulines, "On-line Expectation-Maximization Algorithm
       for Latent Data Models", 2009.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._mixture import Mixture
    >>> mixture = Mixture([1.0], [[0.0]], [[1.0]], "diag")
    >>> online_em(mixture, np.array([[1.0], [3.0]]), rate=0.5).means.item()
    1.0
    """
    mixture, X = _double(mixture), as_float(X)
    prior = make_prior(X.shape[1], 0.0, "pooled", reg_covar)
    kernel, fresh = statistics_pass(X, reg_covar=reg_covar)(mixture)
    old = _implied(mixture, kernel, prior.reg_covar)
    if rate == 0:
        stats = old
    else:
        fresh = _scaled_by(fresh, rate / fresh.weight)
        stats = merge_stats(kernel, _scaled_by(old, 1 - rate), fresh)
    kind = mixture.covariance_type
    mixture, _ = maximise(kernel, stats, prior, kind, drop=False)
    dead = np.flatnonzero(mixture.weights * mixture.n_components < dead_share)
    return _revive(mixture, X, dead[: len(X)]) if len(dead) else mixture


def _double(mixture):
    def as_float64(array):
        return np.asarray(array, np.float64)

    weights = as_float64(mixture.weights)
    return Mixture(
        weights / weights.sum(),
        as_float64(mixture.means),
        map_arrays(as_float64, mixture.covariances),
        mixture.covariance_type,
    )


def _implied(mixture, kernel, reg_covar):
    """Return the statistics of one row's weight whose M-step is the mixture."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    dense = kind.dense(mixture.covariances, *mixture.means.shape)
    counts = np.maximum(mixture.weights, SMALLEST)
    scatter = kernel.pack((dense - np.diag(reg_covar)) * counts[:, None, None])
    stats = Statistics(counts, mixture.means, scatter, 0.0, 1.0)
    return kernel.restate(stats)


def _scaled_by(stats, factor):
    return stats._replace(
        counts=stats.counts * factor,
        scatter=tuple(part * factor for part in stats.scatter),
        weight=stats.weight * factor,
    )


def _revive(mixture, X, dead):
    """Put dead components on the least likely rows, with an equal weight."""
    rows = X[np.argsort(mixture.log_prob(X, missing="marginal"))[: len(dead)]]
    rows = np.where(np.isnan(rows), mixture.mean, rows)
    source = np.arange(mixture.n_components)
    source[dead] = mixture.responsibilities(rows).argmax(axis=1)
    weights, means = mixture.weights.copy(), mixture.means.copy()
    weights[dead], means[dead] = 1 / len(weights), rows
    kind = mixture.covariance_type
    covariances = COVARIANCE_TYPES[kind].select(mixture.covariances, source)
    return Mixture(weights / weights.sum(), means, covariances, kind)


# A chunk enters the statistics with the step (1 + rows seen / its rows)^-0.7;
# stochastic approximation needs an exponent in (1/2, 1].
STEP_EXPONENT = 0.7


def blend(kernel, old, fresh, memory=np.inf):
    """Mix the statistics of a chunk into those of all earlier ones."""
    total = old.weight + fresh.weight
    step = (1 + old.weight / fresh.weight) ** -STEP_EXPONENT
    step = max(step, -np.expm1(-fresh.weight / memory))
    return merge_stats(
        kernel,
        _scaled(kernel.restate(old), (1 - step) * total / old.weight),
        _scaled(fresh, step * total / fresh.weight),
    )


def _scaled(stats, factor):
    return stats._replace(
        counts=stats.counts * factor,
        scatter=tuple(part * factor for part in stats.scatter),
        log_likelihood=stats.log_likelihood * factor,
        weight=stats.weight * factor,
    )

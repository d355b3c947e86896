"""Statistics of blocks and of chunks: distributed and stepwise EM."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, Literal

import numpy as np

from skgmje._backend import as_floats, from_tensor, to_numpy
from skgmje._settings import own_errors
from skgmje._typing import NDArray
from skgmje.em._em import Samples, e_step, make_kernel
from skgmje.em._missing import PASS_LIMIT, check_samples, has_missing
from skgmje.em._rules import check_reg_covar, check_rules
from skgmje.gaussian import _passes
from skgmje.gaussian._checks import check_sample_weight
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import Statistics
from skgmje.gaussian._mixture import Mixture


@own_errors
def block_stats(
    mixture: Mixture,
    X: NDArray[Any],
    *,
    center: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    temper: float = 1.0,
    missing: bool = False,
    reg_covar: float | NDArray[Any] = 0.0,
) -> Statistics:
    """Take the E-step of one block: its sufficient statistics under a mixture.

    A pure function of arrays that can be pickled: any engine may call it where
    the block is. Statistics of blocks are merged by :func:`merge_stats`.

    Parameters
    ----------
    mixture : Mixture
        The current mixture, of NumPy arrays.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    center : ndarray of shape (n_features,)
        A point near the middle of all samples, the same for all blocks.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    temper : float, default=1.0
        Power of the joint densities before they become responsibilities.

    missing : bool, default=False
        Whether NaN means missing; the same for all blocks.

    reg_covar : float or ndarray of shape (n_features,), default=0.0
        What the M-step will add to the variances: the missing entries of `X` have
        it from the last step already.

    Returns
    -------
    stats : Statistics
        Counts, means, second moments about them, and the log-likelihood.

    Raises
    ------
    ValueError
        If `X` has NaN, and they are not said to be missing; if samples are infinite, or
        a parameter or a weight has a value that it must not have.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture
    >>> from skgmje.em import block_stats, merge_stats
    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> blocks = [np.array([[1.0], [2.0]]), np.array([[6.0]])]
    >>> stats = [block_stats(mixture, X, center=np.zeros(1)) for X in blocks]
    >>> merge_stats(mixture, *stats).means
    array([[3.]])
    """
    X, sample_weight, center = as_floats(X, sample_weight, center)
    check_sample_weight(sample_weight, X, may_be_zero=True)
    check_rules(temper=temper)
    reg_covar = check_reg_covar(reg_covar, mixture.n_features)
    check_samples(X)
    center = to_numpy(center)
    if center.shape != tuple(X.shape[1:]) or not np.isfinite(center).all():
        raise ValueError(
            f"center={center} must be a point of {X.shape[1]} finite numbers, such as "
            "the mean of all samples."
        )
    if missing:
        X, sample_weight = map(from_tensor, (X, sample_weight))
    elif has_missing(X):
        raise ValueError(
            "X has missing values (NaN). Set missing=True, of all blocks, or remove "
            "such samples."
        )
    kernel = make_kernel(mixture, center, -1.0 if missing else PASS_LIMIT)
    fixed = mixture.covariance_type, missing, reg_covar
    return e_step(kernel, Samples(X, sample_weight, *fixed), temper)


@own_errors
def merge_stats(mixture: Mixture, *stats: Statistics) -> Statistics:
    """Merge statistics of blocks that were taken with the same mixture and center.

    Parameters
    ----------
    mixture : Mixture
        The mixture.

    *stats : Statistics
        Of neighbouring blocks.

    Returns
    -------
    stats : Statistics
        Of all their samples.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture
    >>> from skgmje.em import block_stats, merge_stats
    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> stats = block_stats(mixture, np.ones((5, 1)), center=np.zeros(1))
    >>> merge_stats(mixture, stats, stats).weight
    10
    """
    kernel = make_kernel(mixture, mixture.means[0])
    return reduce(partial(_passes.merge_stats, kernel), stats)


@own_errors
def score_block(
    mixture: Mixture,
    X: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    missing: Literal["raise", "marginal"] = "raise",
) -> NDArray[Any]:
    """Sum the log-densities of one block.

    Parameters
    ----------
    mixture : Mixture
        The mixture.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    missing : {'raise', 'marginal'}, default='raise'
        What to do about NaN.

    Returns
    -------
    sums : ndarray of shape (2,)
        The weighted sum of the log-densities in nats, and that of the weights.
        Those of blocks add up.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture
    >>> from skgmje.em import score_block
    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> score_block(mixture, np.zeros((2, 1))).round(3)
    array([-1.838,  2.   ])
    """
    log_prob = mixture.log_prob(X, missing=missing)
    if sample_weight is None:
        return np.array([log_prob.sum(dtype=np.float64), len(X)])
    weight = np.asarray(from_tensor(sample_weight), np.float64)
    check_sample_weight(weight, log_prob, may_be_zero=True)
    counts = weight > 0
    return np.array([log_prob[counts] @ weight[counts], weight.sum()])


# A component without any weight keeps its mean and covariance.
SMALLEST = 1e-12


def implied_stats(kernel, mixture, weight, reg_covar):
    """Return the statistics of samples of a total weight whose M-step is a mixture."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    dense = kind.dense(mixture.covariances, *mixture.means.shape)
    counts = np.maximum(mixture.weights * weight, SMALLEST)
    scatter = kernel.pack((dense - np.diag(reg_covar)) * counts[:, None, None])
    return Statistics(counts, mixture.means, scatter, 0.0, weight)


# A chunk enters by the step (1 + samples seen / its samples)^-0.7;
# stochastic approximation needs an exponent in (1/2, 1].
STEP_EXPONENT = 0.7


def blend(kernel, old, fresh, memory=np.inf):
    """Mix the statistics of a chunk into those of all earlier ones."""
    total = old.weight + fresh.weight
    step = (1 + old.weight / fresh.weight) ** -STEP_EXPONENT
    step = max(step, -np.expm1(-fresh.weight / memory))
    return _passes.merge_stats(
        kernel,
        scaled_stats(kernel.restate(old), (1 - step) * total / old.weight),
        scaled_stats(fresh, step * total / fresh.weight),
    )


def scaled_stats(stats, factor):
    """Return the statistics of samples whose weights are multiplied by a factor."""
    return stats._replace(
        counts=stats.counts * factor,
        scatter=tuple(part * factor for part in stats.scatter),
        log_likelihood=stats.log_likelihood * factor,
        weight=stats.weight * factor,
    )

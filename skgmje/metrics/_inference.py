"""How sure the parameters of a mixture are, and the number of its components."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._parallel import Runner, task_seed
from skgmje._typing import ArrayLike, RandomState
from skgmje._validation import check_count, check_numbers, check_rows
from skgmje._warnings import warn
from skgmje.em import expectation_maximization
from skgmje.em._covariance_models import is_open
from skgmje.em._select import fit_selected
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.mixture._gaussian_mixture import GaussianMixture, regularisation

# What is compared has to be at its optimum, whatever the tolerance of the estimator.
TOL, MAX_ITER = 1e-5, 1000


class MixtureBootstrap(NamedTuple):
    """What :func:`bootstrap_mixture` returns.

    Parameters
    ----------
    weights, means : ndarray of shape (n_resamples, n_components[, n_features])
        Weights and means of the components.

    covariances : ndarray of shape (n_resamples, n_components, n_features, n_features)
        Covariances as matrices, whatever the covariance type.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.metrics import MixtureBootstrap
    >>> means = np.array([[[0.0]], [[1.0]], [[2.0]]])
    >>> found = MixtureBootstrap(np.ones((3, 1)), means, np.ones((3, 1, 1, 1)))
    >>> found.interval(0.5).means.tolist()
    [[[0.5]], [[1.5]]]
    """

    weights: Any
    means: Any
    covariances: Any

    @property
    def standard_errors(self) -> Any:
        """Standard deviations over the resamples, a `MixtureBootstrap` without axis."""
        return MixtureBootstrap(*(part.std(axis=0, ddof=1) for part in self))

    def interval(self, confidence: float = 0.95) -> MixtureBootstrap:
        """Compute percentile intervals.

        Parameters
        ----------
        confidence : float, default=0.95
            Share of the resamples between the ends.

        Returns
        -------
        interval : MixtureBootstrap
            With the lower and the upper ends along the first axis.
        """
        if not 0 < confidence < 1:
            raise ValueError(
                f"confidence={confidence!r} must be a share between 0 and 1, such as "
                "0.95."
            )
        ends = 0.5 - 0.5 * confidence, 0.5 + 0.5 * confidence
        return MixtureBootstrap(*(np.quantile(part, ends, axis=0) for part in self))


def bootstrap_mixture(
    estimator: GaussianMixture,
    X: ArrayLike,
    *,
    n_resamples: int = 200,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    verbose: int = 0,
) -> MixtureBootstrap:
    """Bootstrap the parameters of a Gaussian mixture, components matched.

    Each resample of the samples is fitted from the solution of the estimator, with its
    settings, to the optimum. Its components are matched with those of the estimator
    by how they share out the samples.

    Parameters
    ----------
    estimator : GaussianMixture
        Fitted to `X`.

    X : array-like of shape (n_samples, n_features)
        The samples; NaN means missing.

    n_resamples : int, default=200
        Number of resamples; intervals need 1000 for their second digit.

    n_jobs : int, default=None
        Number of threads, -1 for all processors.

    random_state : int, RandomState instance or None, default=None
        Controls all that is random, whatever `n_jobs`.

    verbose : int, default=0
        Whether to tell the progress.

    Returns
    -------
    result : MixtureBootstrap
        Parameters of all resamples, their standard errors and intervals. Resamples
        in which a component has died are left out, with a warning.

    Raises
    ------
    TypeError
        If the estimator is no Gaussian mixture, or one with a background.

    ValueError
        If `n_resamples` is below 2.

    References
    ----------
    .. [1] A. O'Hagan, T. B. Murphy, L. Scrucca and I. C. Gormley, "Investigation of
       parameter uncertainty in clustering using a Gaussian mixture model via jackknife,
       bootstrap and weighted likelihood bootstrap", Computational Statistics 34, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture
    >>> from skgmje.metrics import bootstrap_mixture
    >>> X = np.random.default_rng(0).normal(size=(400, 1))
    >>> found = bootstrap_mixture(GaussianMixture().fit(X), X, random_state=0)
    >>> bool(abs(found.standard_errors.means[0, 0] - 0.05) < 0.01)
    True
    """
    _check_mixture(estimator, "bootstrap_mixture")
    check_is_fitted(estimator)
    check_count(n_resamples=n_resamples)
    if n_resamples < 2:
        raise ValueError(
            f"n_resamples={n_resamples} are too few for a standard error. Give 2 or "
            "more, such as 200."
        )
    start = estimator.mixture_
    X = check_rows(estimator, X, reset=False, allow_nan=True).astype(np.float64)
    settings = _settings(estimator, X)
    settings |= {"shrinkage": estimator.shrinkage_, "model": estimator.model_}
    seed = check_random_state(random_state).randint(2**31 - 1)
    tasks = [(X, start, settings, task_seed(seed, i)) for i in range(n_resamples)]
    run = Runner(n_jobs, verbose, "bootstrap_mixture")
    fits = [fit for fit in run(_resample, tasks, "resamples") if fit is not None]
    if len(fits) < n_resamples:
        lost = f"In {n_resamples - len(fits)} of {n_resamples} resamples a component"
        remedy = "Lower n_components, or increase shrinkage."
        if len(fits) < 2:
            raise ValueError(f"{lost} has died. {remedy}")
        warn(f"{lost} has died; they are left out. {remedy}", UserWarning)
    return MixtureBootstrap(*map(np.stack, zip(*fits, strict=True)))


def _check_mixture(estimator, function):
    """Raise unless an estimator is what a function goes on from."""
    if not isinstance(estimator, GaussianMixture):
        raise TypeError(
            f"{function} takes a GaussianMixture of skgmje, and got {estimator!r}. "
            "Give one, of a search its best_estimator_."
        )


def _settings(estimator, X):
    """Return how an estimator's EM goes on to the optimum."""
    return {
        "shrinkage_target": estimator.shrinkage_target,
        "reg_covar": regularisation(estimator.reg_covar, X, None),
        "tol": min(estimator.tol, TOL),
        "max_iter": max(estimator.max_iter, MAX_ITER),
    }


def _resample(X, start, settings, seed):
    """Return weights, means and covariances of a resample; None if one has died."""
    shares = np.full(len(X), 1 / len(X))
    counts = np.random.default_rng(seed).multinomial(len(X), shares)
    kept = counts > 0
    given = {"sample_weight": counts[kept].astype(np.float64), **settings}
    mixture = expectation_maximization(X[kept], start, **given).mixture
    if mixture.n_components < start.n_components:
        return None
    resp = [m.responsibilities(X, missing="marginal") for m in (start, mixture)]
    order = linear_sum_assignment(resp[0].T @ resp[1], maximize=True)[1]
    kind, shape = COVARIANCE_TYPES[mixture.covariance_type], mixture.means.shape
    dense = np.broadcast_to(kind.dense(mixture.covariances, *shape), (*shape, shape[1]))
    return mixture.weights[order], mixture.means[order], dense[order]


class LikelihoodRatioTest(NamedTuple):
    """Outcome of a parametric bootstrap."""

    statistic: float
    p_value: float
    simulated: Any


def likelihood_ratio_test(
    estimator: GaussianMixture,
    X: ArrayLike,
    *,
    n_resamples: int = 199,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    verbose: int = 0,
) -> Any:
    """Test a number of components against one more, by a parametric bootstrap.

    The likelihood ratio has no known distribution here, so it is simulated: samples
    are drawn from the mixture fitted with fewer components, and both numbers are
    fitted to them [1]_.

    Parameters
    ----------
    estimator : GaussianMixture
        Settings of the fits: `n_components`, a number, is the hypothesis K, against
        K + 1. Of several `n_init` starts the best counts.

    X : array-like of shape (n_samples, n_features)
        The samples, complete.

    n_resamples : int, default=199
        Number of simulated sets of samples.

    n_jobs, random_state, verbose : int, seed and int
        As those of :func:`bootstrap_mixture`.

    Returns
    -------
    result : named tuple
        The `statistic`, twice the gain of the log-likelihood by one component more, in
        nats; the `p_value`, the share of simulated statistics, and the one, that are as
        large, which speaks for one more if small; and the `simulated` statistics.

    Raises
    ------
    ValueError
        If a setting of the estimator is 'auto': the hypothesis has to be one; if there
        is a background, or if an entry is missing.

    TypeError
        If the estimator is no :class:`GaussianMixture`.

    References
    ----------
    .. [1] G. J. McLachlan, "On bootstrapping the likelihood ratio test statistic for
       the number of components in a normal mixture", Applied Statistics 36, 1987.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture
    >>> from skgmje.metrics import likelihood_ratio_test
    >>> X = np.random.default_rng(0).normal(size=(60, 1))
    >>> X[:30] += 6
    >>> test = {"n_resamples": 19, "random_state": 0}
    >>> likelihood_ratio_test(GaussianMixture(1), X, **test).p_value
    0.05
    """
    _check_mixture(estimator, "likelihood_ratio_test")
    check_count(n_resamples=n_resamples)
    if estimator.background:
        raise ValueError(
            "background=True: the test is of Gaussian mixtures, without a background. "
            "Set background=False."
        )
    names = "n_components", "covariance_type", "shrinkage"
    setting = tuple(getattr(estimator, name) for name in names)
    for name, value in zip(names, setting, strict=True):
        if is_open(value):
            raise ValueError(
                f"{name}={value!r} is no hypothesis to test. Set it to a value, for "
                "example that of a fit."
            )
    how = {"ensure_min_samples": setting[0] + 1, "ensure_all_finite": "allow-nan"}
    X = check_numbers(X, "X", **how)
    if np.isnan(X).any():
        raise ValueError(
            "X has NaN, and samples are simulated without. Leave out samples with "
            "missing entries, or fill them by GaussianMixture.impute."
        )
    how = _settings(estimator, X) | {
        "rank": estimator.rank,
        "annealing": estimator.annealing,
        "n_init": estimator.n_init,
    }
    seed = check_random_state(random_state).randint(2**31 - 1)
    statistic, null = _likelihood_ratio(X, setting, how, seed)
    seeds = [task_seed(seed, i) for i in range(n_resamples)]
    tasks = [(null, len(X), setting, how, own) for own in seeds]
    run = Runner(n_jobs, verbose, "likelihood_ratio_test")
    simulated = np.array(run(_simulate, tasks, "simulated sets"))
    p_value = (1 + np.count_nonzero(simulated >= statistic)) / (1 + n_resamples)
    return LikelihoodRatioTest(statistic, float(p_value), simulated)


def _likelihood_ratio(X, setting, how, seed):
    """Return twice the gain by one component more, and the mixture without it."""
    n_components, *rest = setting
    totals, mixtures = [], []
    for size in (n_components, n_components + 1):
        random_state = np.random.RandomState(seed)
        found = fit_selected(X, (size, *rest), random_state, **how)
        mixtures.append(found.result.mixture)
        totals.append(float(mixtures[-1].log_prob(X).sum()))
    return 2 * (totals[1] - totals[0]), mixtures[0]


def _simulate(null, n_samples, setting, how, seed):
    """Return the statistic of samples drawn from the mixture without a component."""
    X = null.sample(n_samples, np.random.default_rng(seed))[0]
    return _likelihood_ratio(X, setting, how, seed)[0]

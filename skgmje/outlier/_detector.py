"""Outliers by density, and conformal p-values."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._bridges import find_estimator
from skgmje._callbacks import EstimatorMixin, FitTask
from skgmje._interrupt import fit_whole
from skgmje._sklearn import Interval, StrOptions, _fit_context, _safe_indexing
from skgmje._standardize import drop_weightless
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    as_array,
    as_given,
    check_rows,
    check_weights,
    mean_score,
)
from skgmje.compose._image_mass import mixture_or_none
from skgmje.compose._transformed import TransformedDensity, check_density
from skgmje.outlier._union import UnionDensity, fit_union

# Share of outliers that contamination="auto" stands for.
AUTO_CONTAMINATION = 0.1

# What scores of one sample may differ by, relative to them: its place in a batch
# changes the last digits.
ROUNDING = 1e-9


def rounding(scores):
    """Return what finite scores may differ by for the same sample, zero of others."""
    size = np.where(np.isfinite(scores), np.abs(scores), 0.0)
    return ROUNDING * np.where(np.isfinite(scores), np.maximum(size, 1.0), 0.0)


def threshold(scores, weight, contamination):
    """Return the score that a share of the samples, by weight, lies below."""
    share = AUTO_CONTAMINATION if contamination == "auto" else contamination
    order = np.argsort(scores)
    mass = np.ones(len(scores)) if weight is None else weight[order]
    below = np.cumsum(mass, dtype=np.float64)
    # The product may be a little less than the whole number that it should be.
    wanted = share * below[-1] * (1 + 1e-12)
    first = np.searchsorted(below, wanted, side="right")
    ranked = scores[order]
    finite = np.flatnonzero(np.isfinite(ranked))
    if not len(finite):
        raise ValueError(
            "The density gives none of the samples to fit a finite score. Use another "
            "density."
        )
    score = ranked[max(min(first, len(ranked) - 1), finite[0])]
    return float(score - rounding(score))


class Marginals:
    """Log-densities of the columns of a density that is a Gaussian mixture."""

    def __init__(self, density, mixture):
        self.density = density
        self.columns = [mixture.marginal([j]) for j in range(mixture.n_features)]

    def log_prob(self, X):
        """Return log-densities of columns (n, d), and what is missing (n,)."""
        Z, log_slope, rest = self.to_mixture(as_array(X))
        parts = [p.log_prob(Z[:, [j]]) for j, p in enumerate(self.columns)]
        return np.stack(parts, axis=1) + log_slope, rest + np.zeros(len(Z))

    def to_mixture(self, X):
        """Return samples of the mixture, log-slopes of columns, and of all of them."""
        return X.astype(np.float64, copy=False), 0.0, 0.0


class UnionMarginals(Marginals):
    """Those of a `UnionDensity`: each column has its own slope."""

    def to_mixture(self, X):
        return *self.density.coordinates.forward(X), 0.0


class TransformedMarginals(Marginals):
    """Those of a `TransformedDensity`: one log-determinant for all columns."""

    def to_mixture(self, X):
        with np.errstate(all="ignore"):
            Z, log_det = self.density._bijection.forward(X)
        inside = np.isfinite(log_det) & np.isfinite(Z).all(axis=1)
        Z = np.where(inside[:, None], Z, 0.0).astype(np.float64)
        log_mass = np.log(self.density.image_mass_)
        return Z, 0.0, np.where(inside, log_det - log_mass, -np.inf)


def find_marginals(density):
    """Return the marginals of a fitted density, or None if it has no mixture."""
    density = find_estimator(density)
    if isinstance(density, UnionDensity):
        return UnionMarginals(density, density.mixture)
    is_transformed = type(density) is TransformedDensity
    mixture = mixture_or_none(density.density_ if is_transformed else density)
    if mixture is None:
        return None
    return (TransformedMarginals if is_transformed else Marginals)(density, mixture)


# Samples whose columns' densities exist at a time.
CHUNK_ROWS = 2**13


class DensityOutlierDetector(EstimatorMixin, OutlierMixin, BaseEstimator):
    r"""Outliers by the log-density of a Gaussian mixture, tempered by its marginals.

    The score of a sample, higher for more normal ones, is

    .. math:: s(x) = w \sum_j \log p_j(x_j) + (1 - w) \log p(x)

    with the marginals :math:`p_j` of the density p, which a Gaussian mixture has in
    closed form. A flexible density learns the outliers that it is fitted with, as
    clusters of their own; its marginals hardly do.

    Parameters
    ----------
    density : estimator, default=None
        Any density with ``fit`` and ``score_samples``, ours or scikit-learn's. None
        is a mixture of up to 32 components, three times over, of columns made nearly
        normal; see the notes.

    contamination : 'auto' or float, default='auto'
        Share of outliers among the samples to fit, in (0, 0.5]. It sets only the
        threshold `offset_`; 'auto' is 0.1, which is a convention.

    marginal_weight : float, default=0.75
        The weight w, in [0, 1]. 0 is the density alone, 1 takes columns for
        independent. If the samples to fit are known to be clean, 0.6 is better; the
        density alone is best where outliers differ only in how columns depend on
        each other.

    max_samples : int, default=10000
        Samples that the default density learns from, drawn without replacement; all of
        them if fewer. A given `density` gets all.

    random_state : int, RandomState instance or None, default=None
        Controls samples drawn and starts of the default density.

    Attributes
    ----------
    density_ : object
        The fitted density.

    marginal_weight_ : float
        The weight in effect: 0 if `density_` is no Gaussian mixture.

    offset_ : float
        The threshold: samples with a smaller score are outliers.

    baseline_ : ndarray of shape (n_features,)
        Medians over up to `max_samples` samples of the columns' log-densities, if
        known.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    conformal_p_values : How surely a sample is an outlier.
    skgmje.metrics.conditional_surprise : Which value does not fit the others.
    sklearn.ensemble.IsolationForest : Needs no density.

    Notes
    -----
    The default density standardizes the columns, takes the power of Yeo and Johnson
    that makes each most nearly normal (none for fewer than 20 values), Jacobian
    included, and the logarithm beyond 20 standard deviations: far samples have finite
    scores, lower ones the farther. The mixture is the union of three MAP-EM fits from
    k-means, with full covariances, one component for 20 distinct samples, and one broad
    component of the weight of one sample. Of more than 64 columns no power is taken, of
    more than 100 covariances are diagonal: where so many depend strongly on each other
    ``density=GaussianMixture(), marginal_weight=0`` is better. In a constant column
    another value counts by its distance, in the typical scale of the others.

    Marginals are known of whatever :func:`skgmje.as_mixture` takes, and of
    :class:`~skgmje.compose.TransformedDensity` of these, there in the transformer's
    columns. Other densities are scored by ``score_samples`` alone.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import DensityOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> detector = DensityOutlierDetector(random_state=0).fit(X)
    >>> detector.predict([[0.0, 0.0], [9.0, 0.0]])
    array([ 1, -1])

    >>> detector.explain([[9.0, 0.0]]).argmin(axis=1)  # Which column it is
    array([0])
    """

    density_: Any
    marginal_weight_: float
    offset_: float
    baseline_: NDArray[Any]

    # Made of the density, and so in no file.
    _derived = ("_marginals",)

    _parameter_constraints: dict = {
        "density": "no_validation",
        "contamination": [
            StrOptions({"auto"}),
            Interval(Real, 0, 0.5, closed="right"),
        ],
        "marginal_weight": [Interval(Real, 0, 1, closed="both")],
        "max_samples": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        density: Any = None,
        *,
        contamination: Literal["auto"] | float = "auto",
        marginal_weight: float = 0.75,
        max_samples: int = 10_000,
        random_state: RandomState = None,
    ) -> None:
        self.density = density
        self.contamination = contamination
        self.marginal_weight = marginal_weight
        self.max_samples = max_samples
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the density, and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, most of them normal.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : DensityOutlierDetector
            The fitted detector.

        Raises
        ------
        TypeError
            If `density` has no ``score_samples``, or takes no `sample_weight`.
        """
        with FitTask(self, X, y, sample_weight, n_steps=1) as task:
            rows = check_rows(self, X, reset=True, min_samples=2)
            weight = check_weights(sample_weight, rows)
            if self.density is None:
                X, weight = drop_weightless(rows, weight)
                random_state = check_random_state(self.random_state)
                self.density_ = fit_union(X, weight, self.max_samples, random_state)
                task.step("fit-density")
            else:
                X, given = as_given(self, X, rows), f"density={self.density!r}"
                check_density(self.density, given, weight, takes_pipelines=True)
                X, weight = drop_weightless(X, weight)
                weights = {} if sample_weight is None else {"sample_weight": weight}
                density = clone(self.density)
                with task.part(density, "fit-density"):
                    self.density_ = task.learn(object, fit_whole, density, X, **weights)
            task.end(self._judge, X, weight)
        return self

    def _judge(self, X, weight):
        """Set the threshold by the scores of the samples."""
        self._rebuild()
        vars(self).pop("baseline_", None)
        self.marginal_weight_ = 0.0
        if self._marginals is not None:
            self.marginal_weight_ = float(self.marginal_weight)
            step = -(-len(X) // self.max_samples)
            part = _safe_indexing(X, slice(None, None, step))
            self.baseline_ = np.median(self._each_chunk(part, self._terms), axis=0)
        scores = self._each_chunk(X, self._score)
        self.offset_ = threshold(scores, weight, self.contamination)

    def _rebuild(self):
        self._marginals = find_marginals(self.density_)

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the score of each sample; the lower, the more of an outlier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In nats, but no log-density unless ``marginal_weight_`` is 0. Of the
            default density they are finite for any finite sample.
        """
        return self._each_chunk(self._check_predict(X), self._score)

    def log_density(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the log-density of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            The ``score_samples`` of the fitted density: of the default one in nats, in
            the units of `X`, normalised; of very skewed columns some mass, a sample's
            share or two, may lie beyond the largest number.
        """
        return self._each_chunk(self._check_predict(X), self._log_density)

    def score(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean log-density of the samples, to choose a density by.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`log_density`.
        """
        return mean_score(self.log_density(X), sample_weight)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Compute how far above the threshold the score of each sample is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``, negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict which samples are outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for outliers, 1 for others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: ArrayLike) -> NDArray[Any]:
        r"""Compute what each column says about each sample.

        .. math:: c_j(x) = \log p_j(x_j) - b_j

        with the median :math:`b_j` over samples to fit, `baseline_`. Negative
        numbers make the sample an outlier. They do not depend on the units.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        parts : ndarray of shape (n_samples, n_features)
            In nats. The rest, ``score_samples(X) - parts.sum(axis=1)``, is a constant
            and, with the weight ``1 - marginal_weight_``, the log-density over the
            product of the marginals: what columns say of each other. Of a
            `TransformedDensity` columns are the transformer's.

        Raises
        ------
        TypeError
            If the density is no Gaussian mixture.
        """
        X = self._check_predict(X)
        if self._marginals is None:
            raise TypeError(
                f"The marginals of {self.density_!r}, which is no Gaussian mixture, "
                "are not known. Use density=None, or one that skgmje.as_mixture takes."
            )
        return self._each_chunk(X, self._terms) - self.baseline_

    def _check_predict(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        is_ours = isinstance(self.density_, UnionDensity)
        return rows if is_ours else as_given(self, X, rows)

    def _each_chunk(self, X, function):
        """Apply `function` to some samples at a time."""
        chunks = (slice(i, i + CHUNK_ROWS) for i in range(0, len(X), CHUNK_ROWS))
        return np.concatenate([function(_safe_indexing(X, rows)) for rows in chunks])

    def _terms(self, X):
        return self._marginals.log_prob(X)[0]

    def _log_density(self, X):
        log_prob = np.asarray(self.density_.score_samples(X), np.float64)
        if np.isnan(log_prob).any():
            raise ValueError(
                f"{self.density_!r} gives {np.isnan(log_prob).sum()} samples a score "
                "of NaN. Use another density, or drop these samples."
            )
        return log_prob

    def _score(self, X):
        # A weight of zero times -inf would be NaN.
        share, score = self.marginal_weight_, 0.0
        if share < 1:
            score = (1 - share) * self._log_density(X)
        if share > 0:
            terms, rest = self._marginals.log_prob(X)
            score = score + share * (terms.sum(axis=1) + rest)
        return score


def conformal_p_values(
    detector: Any,
    X_calibration: ArrayLike,
    X: ArrayLike,
    *,
    randomize: bool = False,
    random_state: RandomState = None,
) -> NDArray[Any]:
    r"""Compute p-values of the hypothesis that samples are like those of calibration.

    .. math:: p(x) = \frac{1 + \#\{i : s_i \le s(x)\}}{m + 1}

    with the scores :math:`s_i` of m calibration samples, which the detector has not
    been fitted on. If x is exchangeable with them, :math:`P(p \le t) \le t` for
    every t, whatever the detector and the distribution; on average over the
    calibration samples, not given them.

    Parameters
    ----------
    detector : fitted estimator
        Anything with ``score_samples`` that is higher for more normal samples: this
        library's and scikit-learn's detectors, and densities.

    X_calibration : array-like of shape (m, n_features)
        Normal samples, held out from the detector's fit. The smallest p-value is
        1 / (m + 1).

    X : array-like of shape (n_samples, n_features)
        Samples in question.

    randomize : bool, default=False
        What ties count. By default all of them count, which is valid and a little
        too large. Otherwise a uniform random share of them and of x itself counts,
        and p is exactly uniform under the hypothesis.

    random_state : int, RandomState instance or None, default=None
        Source of these shares.

    Returns
    -------
    p_values : ndarray of shape (n_samples,)
        In (0, 1].

    Raises
    ------
    TypeError
        If the detector has no ``score_samples``.

    ValueError
        If a score is NaN.

    See Also
    --------
    DensityOutlierDetector : A detector to calibrate.
    scipy.stats.false_discovery_control : Adjusts p-values of many samples.

    References
    ----------
    .. [1] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for
       outliers with conformal p-values", 2023.

    Examples
    --------
    Of 200 samples, 20 are outliers. Calling samples outliers as long as at most a tenth
    of those called is expected to be wrong, by Benjamini and Hochberg:

    >>> import numpy as np
    >>> from scipy.stats import false_discovery_control
    >>> from skgmje import DensityOutlierDetector
    >>> from skgmje.outlier import conformal_p_values
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 3))
    >>> detector = DensityOutlierDetector(random_state=0).fit(X[:1000])
    >>> X_new = np.vstack([rng.normal(size=(180, 3)), rng.normal(6, 1, (20, 3))])
    >>> p_values = conformal_p_values(detector, X[1000:], X_new)
    >>> found = np.flatnonzero(false_discovery_control(p_values) <= 0.1)
    >>> int(np.sum(found >= 180)), int(np.sum(found < 180)) <= 4
    (20, True)
    """
    if not callable(getattr(detector, "score_samples", None)):
        raise TypeError(
            f"detector={detector!r} has no method score_samples. Give a fitted "
            "detector or density, for example DensityOutlierDetector().fit(X)."
        )
    check_is_fitted(detector)
    known = np.sort(_checked_scores(detector, X_calibration, "X_calibration"))
    scores = _checked_scores(detector, X, "X")
    slack = rounding(scores)
    up_to = np.searchsorted(known, scores + slack, side="right")
    if not randomize:
        return (1 + up_to) / (len(known) + 1)
    below = np.searchsorted(known, scores - slack, side="left")
    # In (0, 1], so that no p-value is zero.
    share = 1 - check_random_state(random_state).uniform(size=len(scores))
    return (below + share * (1 + up_to - below)) / (len(known) + 1)


def _checked_scores(detector, X, name):
    scores = np.asarray(detector.score_samples(X), np.float64)
    n_missing = int(np.isnan(scores).sum())
    if n_missing:
        raise ValueError(
            f"{n_missing} of {len(scores)} scores of {name} are NaN. Drop those "
            "samples, or use a detector that can score them."
        )
    return scores

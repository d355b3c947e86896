"""Predict methods of conditional densities, and checks of their samples."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from skgmje._backend import as_generator, from_tensor
from skgmje._callbacks import EstimatorMixin
from skgmje._sklearn import _safe_indexing
from skgmje._standardize import location_scale
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    check_magnitude,
    check_numbers,
    check_rows,
    check_values,
    check_weights,
    mean_score,
    naming_words,
    refuse_blocks,
    refuse_dates,
    tie_shares,
    warn_about_ties,
)
from skgmje._warnings import warn
from skgmje.gaussian import Mixture, Region

# Draws that find the border of the region of several targets, for each sample.
REGION_DRAWS = 2000


# Samples whose mixtures exist at a time.
CHUNK_ROWS = 4096


class Uncertainty(NamedTuple):
    r"""Where the spread of a conditional density comes from.

    .. math:: \operatorname{Cov}(y | x) = \sum_k w_k V_k
        + \sum_k w_k (m_k - m)(m_k - m)^T

    Parameters
    ----------
    within : ndarray of shape (n_samples, n_targets, n_targets)
        Mean covariance of the components: the noise (aleatoric).

    between : ndarray of shape (n_samples, n_targets, n_targets)
        Covariance of the components' means: which branch, or which member of
        an ensemble.

    entropy : ndarray of shape (n_samples,)
        Entropy of the components' weights, in nats.
    """

    within: NDArray[Any]
    between: NDArray[Any]
    entropy: NDArray[Any]


class MixturePredictionMixin(EstimatorMixin):
    """Predict methods of what has one Gaussian mixture for each sample.

    A subclass has ``_check_predict(X)``, and ``_mixture_of(X)`` of what that returns.
    """

    def _like_targets(self, values):
        """Return values (n_samples, n_targets, ...) in the layout of the targets."""
        return values

    def _chunks(self, X):
        """Yield the mixtures of some samples at a time, and which they are."""
        X = self._check_predict(X)
        for start in range(0, len(X), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield self._mixture_of(_safe_indexing(X, rows)), rows

    def _each_chunk(self, X, function):
        """Apply `function` to mixtures of some samples at a time; join the results."""
        return np.concatenate([function(*chunk) for chunk in self._chunks(X)])

    def predict_mixture(self, X: ArrayLike) -> Mixture:
        """Return the conditional density of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        mixture : Mixture
            One for each sample, over the targets, in the units of `y`.
        """
        return self._mixture_of(self._check_predict(X))

    def predict(
        self,
        X: ArrayLike,
        return_std: bool = False,  # noqa: FBT001, FBT002 - as in scikit-learn
        return_cov: bool = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Predict the conditional mean, and the spread if wanted.

        Where the density has several branches, the mean may lie between them: see
        :meth:`predict_mixture`. Of embedders the targets are target embeddings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        return_std : bool, default=False
            Whether to return standard deviations too.

        return_cov : bool, default=False
            Whether to return covariances of the targets instead; not both.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Conditional means.

        std : ndarray of the shape of `mean`
            Conditional standard deviations; only with `return_std`.

        cov : ndarray of shape (n_samples, n_targets, n_targets)
            Conditional covariances; only with `return_cov`.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std=True and return_cov=True exclude each other. Standard "
                "deviations are the roots of the covariances' diagonals."
            )
        if not (return_std or return_cov):
            return self._like_targets(self._each_chunk(X, lambda m, rows: m.mean))
        moments = self._each_chunk(
            X, lambda m, rows: np.concatenate([m.mean[..., None], m.covariance], -1)
        )
        mean, covariance = self._like_targets(moments[..., 0]), moments[..., 1:]
        if return_cov:
            return mean, covariance
        variance = np.diagonal(covariance, axis1=-2, axis2=-1)
        return mean, np.sqrt(self._like_targets(variance))


class ConditionalDensityMixin(MixturePredictionMixin):
    """Checks and predict methods of estimators of p(y|x)."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        tags.input_tags.allow_nan = self._takes_missing()
        return tags

    def _takes_missing(self):
        """Return whether contexts may be missing."""
        return False

    def _check_fit(self, X, y, sample_weight):
        """Return contexts, 2-d targets, weights, units, and which samples count."""
        refuse_blocks(self, X)
        refuse_dates(X)
        refuse_dates(y, "y")
        with naming_words(X), naming_words(y):
            X, y = validate_data(
                self,
                from_tensor(X),
                from_tensor(y),
                dtype=[np.float64, np.float32],
                multi_output=True,
                y_numeric=True,
                ensure_min_samples=2,
                ensure_all_finite="allow-nan" if self._takes_missing() else True,
            )
        y = np.asarray(y, np.float64)
        check_magnitude(X)
        check_magnitude(y, "y")
        self._y_ndim, Y = y.ndim, y.reshape(len(y), -1)
        self.n_outputs_ = Y.shape[1]
        vars(self).pop("calibration_levels_", None)
        sample_weight, kept = check_weights(sample_weight, X), np.arange(len(X))
        if sample_weight is not None:
            kept = np.flatnonzero(sample_weight > 0)
            if len(kept) < 2:
                raise ValueError(
                    "sample_weight: only one sample has a positive weight, which tells "
                    "nothing of the spread. Give at least two."
                )
            X, Y, sample_weight = X[kept], Y[kept], np.float64(sample_weight[kept])
        check_values(self, X)
        remedy = "Compare models by CRPS, see skgmje.metrics."
        warn_about_ties(self, *tie_shares(Y), "target", remedy)
        units = location_scale(X, sample_weight), location_scale(Y, sample_weight)
        return X, Y, sample_weight, units, kept

    def _check_predict(self, X):
        check_is_fitted(self)
        return check_rows(self, X, reset=False, allow_nan=self._takes_missing())

    def _warn(self, text, category=ConvergenceWarning):
        """Warn of what went wrong in ``fit``, if anything."""
        if text:
            warn(f"{type(self).__name__}: {text.strip()}", category)

    def _check_targets(self, X, y):
        """Return targets of shape (n_samples, n_targets) that belong to `X`."""
        y = check_numbers(y, "y", ensure_2d=False)
        y = y.reshape(len(y), -1)
        check_consistent_length(X, y)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y.shape[1]} columns, but the estimator was fitted with "
                f"{self.n_outputs_}. Pass the same targets."
            )
        return y

    def _like_targets(self, values):
        """Drop the axis of the targets if `y` had none, shape (n_samples, 1, ...)."""
        return values[:, 0] if self._y_ndim == 1 else values

    def predict_mode(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the most probable target, the highest point of the density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        mode : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Conditional modes.
        """
        return self._like_targets(self._each_chunk(X, lambda m, rows: m.mode()))

    def predict_quantile(
        self, X: ArrayLike, quantiles: ArrayLike = 0.5
    ) -> NDArray[Any]:
        """Predict quantiles of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        quantiles : float or array-like of shape (n_quantiles,), default=0.5
            Probabilities strictly between zero and one.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The quantiles; with an array of them a last axis of n_quantiles.
        """
        levels = _check_levels(quantiles)

        def columns_of(mixture, rows):
            parts = [mixture.marginal([j]) for j in range(self.n_outputs_)]
            columns = [
                np.stack([part.quantile(level) for level in levels], axis=-1)
                for part in parts
            ]
            return np.stack(columns, axis=1)

        values = self._like_targets(self._each_chunk(X, columns_of))
        return values[..., 0] if np.ndim(quantiles) == 0 else values

    def predict_interval(
        self, X: ArrayLike, coverage: float = 0.9
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Predict the central interval of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        coverage : float, default=0.9
            Probability of the interval, strictly between zero and one.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Ends of the intervals; equal probabilities are left out on both sides.
        """
        check_coverage(coverage)
        tail = (1 - coverage) / 2
        values = self.predict_quantile(X, [tail, 1 - tail])
        return values[..., 0], values[..., 1]

    def predict_region(
        self, X: ArrayLike, coverage: float = 0.9, *, random_state: RandomState = None
    ) -> Region:
        """Predict the smallest region of the targets that has a probability.

        Of one target it is an interval for each branch, while the central interval
        spans what lies between; several targets have one region in common.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        coverage : float, default=0.9
            Probability of the region, strictly between zero and one: that of the
            predicted density, or after :meth:`calibrate` that of new observations.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness of the draws that find the border of several targets.

        Returns
        -------
        region : Region
            ``region.intervals`` is a list of arrays (n_intervals, 2), one for each
            sample, if there is one target; ``region.contains(Y)`` says which targets,
            shape (n_samples, n_targets), lie inside.

        Raises
        ------
        ValueError
            If the samples of :meth:`calibrate` are too few for so high a `coverage`.
        """
        check_coverage(coverage)
        level = coverage
        if hasattr(self, "calibration_levels_"):
            n = len(self.calibration_levels_)
            rank = math.ceil((n + 1) * coverage)
            if rank > n:
                # Rounding may lift it above a whole number.
                needed = math.ceil(round(coverage / (1 - coverage), 9))
                raise ValueError(
                    f"coverage={coverage!r} cannot be promised by the {n} samples of "
                    f"calibrate: it takes {needed}."
                )
            # The border itself has to lie between zero and one.
            level = np.clip(self.calibration_levels_[rank - 1], 1e-9, 1 - 1e-9)
        draws = {"n_samples": REGION_DRAWS, "random_state": random_state}
        return self.predict_mixture(X).region(float(level), **draws)

    def calibrate(
        self, X: ArrayLike, y: ArrayLike, *, random_state: RandomState = None
    ) -> Self:
        """Make regions cover what they say, by samples that were not fitted.

        Split-conformal prediction: :meth:`predict_region` then takes the quantile of
        the probabilities of the regions on whose borders these targets lie. It holds
        for any density, if samples are exchangeable.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts that :meth:`fit` has not seen.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness, as in :meth:`predict_region`.

        Returns
        -------
        self : estimator
            With the sorted ``calibration_levels_``, until it is fitted anew.
        """
        check_is_fitted(self)
        y = self._check_targets(X, y)
        draws = {"n_samples": REGION_DRAWS, "random_state": as_generator(random_state)}
        levels = self._each_chunk(X, lambda m, rows: m.exceedance(y[rows], **draws))
        self.calibration_levels_ = np.sort(levels)
        return self

    def predict_uncertainty(self, X: ArrayLike) -> Uncertainty:
        """Tell the noise of a target from the choice between branches.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        uncertainty : Uncertainty
            Named tuple of ``within``, ``between`` and ``entropy``; the first two
            add up to the covariance.
        """
        parts = []
        for m, _ in self._chunks(X):
            information = -np.log(np.where(m.weights > 0, m.weights, 1.0))
            entropy = np.sum(m.weights * information, axis=-1)
            parts.append((m.within_covariance, m.between_covariance, entropy))
        return Uncertainty(*map(np.concatenate, zip(*parts, strict=True)))

    def sample_y(
        self, X: ArrayLike, n_samples: int = 1, random_state: RandomState = None
    ) -> NDArray[Any]:
        """Draw targets.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Contexts.

        n_samples : int, default=1
            Number of draws for each row.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means that of the estimator.

        Returns
        -------
        y : ndarray of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_targets, n_samples)
            Draws, in the layout of scikit-learn's Gaussian processes.
        """
        source = self.random_state if random_state is None else random_state
        source = as_generator(source)

        def draw(mixture, rows):
            return np.moveaxis(mixture.sample(n_samples, source)[0], 0, -1)

        return self._like_targets(self._each_chunk(X, draw))

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> NDArray[Any]:
        """Compute the conditional log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            ``log p(y | x)`` in nats, in the units of `y`.
        """
        y = self._check_targets(X, y)
        return self._each_chunk(X, lambda m, rows: m.log_prob(y[rows]))

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean conditional log-likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`log_prob`, in nats. For R squared use
            ``scoring="r2"``.
        """
        return mean_score(self.log_prob(X, y), sample_weight)


def check_coverage(coverage):
    """Raise if a coverage is no probability between zero and one."""
    if not (isinstance(coverage, Real) and 0 < coverage < 1):
        raise ValueError(
            f"coverage={coverage!r} must lie strictly between 0 and 1, such as 0.9."
        )


def _check_levels(quantiles):
    """Return probabilities of shape (n_quantiles,)."""
    try:
        levels = np.asarray(quantiles, np.float64)
    except (TypeError, ValueError):
        levels = np.empty(0)
    inside = levels.size and np.all((levels > 0) & (levels < 1))
    if levels.ndim > 1 or not inside:
        raise ValueError(
            f"quantiles={quantiles!r} must be a number strictly between 0 and 1, or "
            "a list of such numbers."
        )
    return levels.reshape(-1)

"""Columns replaced by residuals given the others, by kernel ridge regression."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._sklearn import Interval
from skgmje._standardize import drop_weightless, standardization
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje._validation import check_rows, check_weights
from skgmje.compose._marginal_gaussianizer import CoordinatesMixin, MarginalGaussianizer

# Bandwidths, in roots of the number of features, and pseudo-counts of the prior.
BANDWIDTHS = (0.7, 1.4, 2.8)
RIDGES = (0.01, 0.1, 1.0, 10.0)

# Prior precisions, per ridge, of the kernel's jitter, slopes and the constant.
_JITTER, _SLOPES, _CONSTANT = 1e-6, 1e-2, 1e-6

# Samples whose features exist at a time.
_CHUNK_ROWS = 4096

# A sample that decides its own prediction has a residual that says nothing.
_LEAST_FREEDOM = 0.05
_LOWEST_EXPONENT = -80.0


class KernelRidge(NamedTuple):
    """A regression, linear in kernels of landmarks, slopes and a constant."""

    landmarks: Any
    bandwidth: float
    ridge: float
    coef: Any
    residuals: Any
    error: float

    def predict(self, X):
        """Return predictions for samples, shape (n_samples,)."""
        kernel = self.landmarks, self.bandwidth
        return np.concatenate([_features(x, *kernel) @ self.coef for x in _chunks(X)])


def fit_kernel_ridge(X, y, landmarks, sample_weight=None, bandwidths=BANDWIDTHS):
    """Fit the regression of least leave-one-out error."""
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    best = None
    for factor in bandwidths:
        bandwidth = factor * np.sqrt(X.shape[1])
        parts = [_features(x, landmarks, bandwidth) for x in _chunks(X)]
        values, basis = _diagonalise(parts, weight, landmarks, bandwidth)
        for i, part in enumerate(parts):
            parts[i] = part @ basis
        design = np.concatenate(parts)
        moments = (weight * y) @ design
        shrunk = 1 / (values[:, None] + np.array(RIDGES))
        fitted = design @ (moments[:, None] * shrunk)
        np.multiply(design, design, out=design)
        freedom = 1 - weight[:, None] * (design @ shrunk)
        residuals = (y[:, None] - fitted) / np.maximum(freedom, _LEAST_FREEDOM)
        errors = weight @ residuals**2 / weight.sum()
        i = int(errors.argmin())
        if best is None or errors[i] < best.error:
            coef, error = basis @ (moments * shrunk[:, i]), float(errors[i])
            found = RIDGES[i], coef, residuals[:, i], error
            best = KernelRidge(landmarks, bandwidth, *found)
    return best


def _diagonalise(parts, weight, landmarks, bandwidth):
    """Return the basis in which prior and data are both diagonal."""
    n_landmarks, n_features = landmarks.shape
    prior = np.diag(np.full(n_landmarks + n_features + 1, _SLOPES))
    prior[-1, -1] = _CONSTANT
    kernel = _features(landmarks, landmarks, bandwidth)[:, :n_landmarks]
    prior[:n_landmarks, :n_landmarks] = kernel + _JITTER * np.eye(n_landmarks)
    gram = 0.0
    for part, share in zip(parts, _chunks(weight), strict=True):
        gram = gram + (part.T * share) @ part
    inverse = np.linalg.inv(np.linalg.cholesky(prior))
    values, vectors = np.linalg.eigh(inverse @ gram @ inverse.T)
    return np.maximum(values, 0.0), inverse.T @ vectors


def _features(X, landmarks, bandwidth):
    """Return kernels, the inputs and a constant."""
    n_landmarks = len(landmarks)
    out = np.empty((len(X), n_landmarks + X.shape[1] + 1))
    kernel = out[:, :n_landmarks]
    np.matmul(X, landmarks.T, out=kernel)
    kernel -= 0.5 * (X**2).sum(axis=1)[:, None]
    kernel -= 0.5 * (landmarks**2).sum(axis=1)
    kernel /= bandwidth**2
    np.maximum(kernel, _LOWEST_EXPONENT, out=kernel)
    np.exp(kernel, out=kernel)
    out[:, n_landmarks:-1] = X
    out[:, -1] = 1.0
    return out


def _chunks(X):
    """Return the samples in parts; of none, one that is empty."""
    return np.split(X, range(_CHUNK_ROWS, len(X), _CHUNK_ROWS))


# Screening looks at so many samples, landmarks and bandwidths.
_SCREENED_ROWS, _SCREENED_LANDMARKS, _SCREENED_BANDWIDTH = 1500, 150, 1.4

# A copy of another column has no residual, only rounding.
_LEAST_SCALE = 1e-3


class RemovedColumn(NamedTuple):
    """A column that others predict."""

    column: int
    inputs: Any
    regression: Any
    scale: float
    gain: float


class ResidualCoordinates(CoordinatesMixin, BaseEstimator):
    r"""Replace columns by their residuals given the other columns.

    .. math:: r_j = (z_j - g_j(x_{\text{rest}})) / s_j, \qquad
        \log |\det dr / dx| = \log |\det dz / dx| - \sum_j \log s_j

    A column is taken out where a kernel ridge regression on the others predicts
    it better than a linear one by `min_gain` nats, the most predictable first; the
    next one is predicted without it. So the Jacobian is triangular, and its
    determinant that of the scales. A smooth surface in many columns is hard for
    a mixture; in these coordinates it is flat.

    Training samples are no fair samples to fit a density to: their residuals are too
    small. :attr:`residuals_` are those of regressions fitted without the sample, in
    closed form, and inside of :class:`TransformedDensity` the density is fitted
    to them.

    Parameters
    ----------
    max_columns : int, default=3
        Columns to replace at most.

    min_gain : float, default=0.15
        Half the logarithm of the ratio of the linear residual variance to that of
        the kernel regression, which a column must exceed.

    n_landmarks : int, default=800
        Samples that kernels stand on, at most half of all.

    gaussianize : bool, default=False
        Whether z are the normal scores of :class:`MarginalGaussianizer` instead of
        the columns in standard units. The regressions' inputs are always those.

    random_state : int, RandomState instance or None, default=0
        Decides the landmarks and the samples of the screening.

    Attributes
    ----------
    removed_ : list of int
        The columns that were replaced, in the order of their replacement.

    gains_ : ndarray of shape (n_removed,)
        What each of them gained, in nats.

    residuals_ : ndarray of shape (n_samples, n_removed)
        Leave-one-out residuals of the training samples, in units of :math:`s_j`.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    TransformedDensity : Counts the Jacobian of this and other transformers.
    MarginalGaussianizer : Normal scores of each column.

    References
    ----------
    .. [1] G. Wahba, "Spline Models for Observational Data", 1990, section 4.2.

    Examples
    --------
    The second column is a sine of the first, and some noise of 0.1:

    >>> import numpy as np
    >>> from skgmje import GaussianMixture, TransformedDensity
    >>> from skgmje.compose import ResidualCoordinates
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(0, 6, size=(600, 1))
    >>> X = np.hstack([x, np.sin(x) + 0.1 * rng.normal(size=(600, 1))])
    >>> coordinates = ResidualCoordinates().fit(X)
    >>> coordinates.removed_
    [1]
    >>> round(GaussianMixture().fit(X).score(X), 1)
    -2.5
    >>> round(TransformedDensity(coordinates, GaussianMixture()).fit(X).score(X), 1)
    -1.0
    """

    removed_: list[int]
    gains_: NDArray[Any]
    residuals_: NDArray[Any]

    _parameter_constraints: dict = {
        "max_columns": [Interval(Integral, 0, None, closed="left")],
        "min_gain": [Interval(Real, 0, None, closed="left")],
        "n_landmarks": [Interval(Integral, 1, None, closed="left")],
        "gaussianize": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        max_columns: int = 3,
        min_gain: float = 0.15,
        n_landmarks: int = 800,
        gaussianize: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        self.max_columns = max_columns
        self.min_gain = min_gain
        self.n_landmarks = n_landmarks
        self.gaussianize = gaussianize
        self.random_state = random_state

    def _fit(self, X, sample_weight, gaussianizer=None):
        """Fit, perhaps with normal scores that are fitted to the samples already."""
        self.n_features_in_ = X.shape[1]
        given = check_weights(sample_weight, X)
        rows, weight = drop_weightless(X.astype(np.float64, copy=False), given)
        weight = np.ones(len(rows)) if weight is None else weight
        self._units = standardization(rows, weight, per_feature=True)
        self._columns = gaussianizer
        if self.gaussianize and gaussianizer is None:
            self._columns = MarginalGaussianizer().fit(rows, sample_weight=weight)
        self._steps, self.residuals_ = self._remove(rows, weight)
        self.removed_ = [step.column for step in self._steps]
        self.gains_ = np.array([step.gain for step in self._steps])
        if len(rows) < len(X):
            # Samples of weight zero were left out anyhow.
            all_rows = self._forward(X)[0][:, self.removed_].astype(np.float64)
            all_rows[given > 0] = self.residuals_
            self.residuals_ = all_rows
        return self

    def _remove(self, rows, weight):
        """Take out columns one by one; return the steps and the residuals."""
        inputs, Z = self._units.forward(rows), self._first(rows)[0]
        order = check_random_state(self.random_state).permutation(len(rows))
        left, steps, residuals = list(range(rows.shape[1])), [], []
        while len(steps) < self.max_columns and len(left) > 1:
            step = self._next(inputs, Z, weight, left, order)
            if step is None:
                break
            residuals.append(step.regression.residuals / step.scale)
            regression = step.regression._replace(residuals=None)
            steps.append(step._replace(regression=regression))
            left.remove(step.column)
        return steps, np.reshape(residuals, (len(steps), len(rows))).T

    def _first(self, X):
        """Return the columns before regressions are subtracted, and their log-det."""
        if self._columns is not None:
            return self._columns._forward(X)
        log_det = -np.log(self._units.scale).sum()
        return self._units.forward(X), np.full(len(X), log_det)

    def _next(self, inputs, Z, weight, left, order):
        """Return the next column to replace, if one is predictable enough."""
        some = order[:_SCREENED_ROWS]
        n_landmarks = max(1, min(_SCREENED_LANDMARKS, len(some) // 2))
        best_gain, best = self.min_gain, None
        for column in left:
            others = [k for k in left if k != column]
            target = Z[some, column]
            if not np.ptp(target):
                continue
            linear = _linear_error(Z[np.ix_(some, others)], target, weight[some])
            X = inputs[np.ix_(some, others)]
            data = X, target, X[:n_landmarks], weight[some]
            found = fit_kernel_ridge(*data, (_SCREENED_BANDWIDTH,))
            ratio = (linear + _LEAST_SCALE**2) / (found.error + _LEAST_SCALE**2)
            gain = 0.5 * np.log(ratio)
            if gain >= best_gain:
                best_gain, best = gain, (column, others, data, found)
        if best is None:
            return None
        column, others, data, found = best
        rest = [factor for factor in BANDWIDTHS if factor != _SCREENED_BANDWIDTH]
        found = min(found, fit_kernel_ridge(*data, rest), key=lambda fit: fit.error)
        X = inputs[:, others]
        landmarks = X[order[: max(1, min(self.n_landmarks, len(X) // 2))]]
        factor = found.bandwidth / np.sqrt(len(others))
        regression = fit_kernel_ridge(X, Z[:, column], landmarks, weight, (factor,))
        scale = max(np.sqrt(regression.error), _LEAST_SCALE)
        return RemovedColumn(column, others, regression, float(scale), float(best_gain))

    def inverse_transform(self, Z: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        Z = check_rows(self, Z, reset=False)
        scores = Z.astype(np.float64)
        X = self._first_inverse(scores)
        # Inputs of the last one removed are all known, those of the first one last.
        for step in reversed(self._steps):
            inputs = self._units.forward(X)[:, step.inputs]
            value = scores[:, step.column] * step.scale
            scores[:, step.column] = value + step.regression.predict(inputs)
            X[:, step.column] = self._first_inverse(scores)[:, step.column]
        return X.astype(Z.dtype, copy=False)

    def _first_inverse(self, scores):
        if self._columns is not None:
            return self._columns.inverse_transform(scores)
        return self._units.inverse(scores)

    def _forward(self, X, residuals=None):
        """Return coordinates and log-determinants of checked samples."""
        rows = X.astype(np.float64, copy=False)
        Z, log_det = self._first(rows)
        if residuals is None:
            inputs = self._units.forward(rows)
            for step in self._steps:
                guess = step.regression.predict(inputs[:, step.inputs])
                Z[:, step.column] = (Z[:, step.column] - guess) / step.scale
        else:
            Z[:, self.removed_] = residuals
        log_det = log_det - sum(np.log(step.scale) for step in self._steps)
        return Z.astype(X.dtype, copy=False), log_det

    def _forward_left_out(self, X):
        """Return the leave-one-out coordinates of the training samples."""
        return self._forward(X, self.residuals_)


def _linear_error(X, y, weight):
    """Return the mean squared error of least squares, without bias."""
    design = np.column_stack([X, np.ones(len(X))])
    root = np.sqrt(weight)
    coef = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    freedom = max(1.0, weight.sum() * (1 - design.shape[1] / len(y)))
    return float(weight @ (y - design @ coef) ** 2 / freedom)

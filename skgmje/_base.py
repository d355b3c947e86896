"""What every estimator of a mixture shares, and the bridges to scikit-learn.

Private names of scikit-learn are imported here only, so that a rename there
costs one line here.
"""

from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from skgmje._backend import from_tensor, to_numpy
from skgmje._estimator import EstimatorMixin
from skgmje._row_blocks import LARGEST, check_magnitude, refuse_blocks
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

__all__ = [
    "Integral",
    "Interval",
    "LARGEST",
    "MixtureMixin",
    "PathLike",
    "Real",
    "StrOptions",
    "_fit_context",
    "as_mixture",
    "check_magnitude",
    "check_rows",
    "check_weights",
    "mean_score",
    "mixture_attributes",
    "to_sklearn",
    "validate_parameter_constraints",
]

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


class MixtureMixin(EstimatorMixin):
    """Fitted attributes of an estimator that is one Gaussian mixture."""

    # What files leave out, because it follows from the rest.
    _derived = ("_mixture",)

    def _set_mixture(self, mixture):
        """Store `mixture` under scikit-learn's names, as float64 arrays."""
        vars(self).update(mixture_attributes(mixture))
        self._mixture = self._parameters(), Mixture(*self._parameters())

    def _parameters(self):
        return self.weights_, self.means_, self.covariances_, self._kind()

    def _kind(self):
        return getattr(self, "covariance_type_", None) or self.covariance_type

    @property
    def mixture_(self):
        """The fitted density as a :class:`skgmje.gaussian.Mixture`."""
        check_is_fitted(self, "means_")
        parameters = self._parameters()
        known, value = vars(self).get("_mixture", ((None,) * 4, None))
        if all(a is b for a, b in zip(parameters, known, strict=True)):
            return value
        # It comes from a file, or somebody has set fitted attributes by hand.
        self._mixture = parameters, Mixture(*parameters)
        return self._mixture[1]

    @property
    def precisions_cholesky_(self):
        """Cholesky factors of the precisions, in scikit-learn's layout."""
        *_, covariances, kind = self._checked_parameters()
        return COVARIANCE_TYPES[kind].precisions_cholesky(covariances)

    @precisions_cholesky_.setter
    def precisions_cholesky_(self, value):
        # By hand, as scikit-learn allows: the factor says what the covariance is.
        factor = np.asarray(value, np.float64)
        if self._kind() in ("full", "tied"):
            factor = factor @ np.swapaxes(factor, -1, -2)
        else:
            factor = factor**2
        self.precisions_ = factor

    @property
    def precisions_(self):
        """Inverse covariances, in scikit-learn's layout (dense for low-rank)."""
        *_, covariances, kind = self._checked_parameters()
        return COVARIANCE_TYPES[kind].precisions(covariances)

    @precisions_.setter
    def precisions_(self, value):
        kind = COVARIANCE_TYPES[self._kind()]
        inverse = kind.precisions(np.asarray(value, np.float64))
        if self._kind() in ("full", "tied"):
            inverse = 0.5 * (inverse + np.swapaxes(inverse, -1, -2))
        self.covariances_ = inverse

    def _checked_parameters(self):
        check_is_fitted(self, "means_")
        return self._parameters()

    def _rebuild(self):
        """Check what a file says; called when the attributes are set."""
        if {part.dtype.kind for part in (self.weights_, self.means_)} != {"f"}:
            raise ValueError("weights_ and means_ must hold floating-point numbers")
        self.mixture_._rebuild()
        if self.mixture_.n_features != self.n_features_in_:
            raise ValueError(
                f"means_ has {self.mixture_.n_features} features, and n_features_in_ "
                f"is {self.n_features_in_}"
            )


def mixture_attributes(mixture):
    """Return the parameters of `mixture` under scikit-learn's names, a dict."""
    covariances = mixture.covariances
    if isinstance(covariances, tuple):
        covariances = tuple(to_numpy(part) for part in covariances)
    else:
        covariances = to_numpy(covariances)
    return {
        "weights_": to_numpy(mixture.weights),
        "means_": to_numpy(mixture.means),
        "covariances_": covariances,
        "covariance_type_": mixture.covariance_type,
    }


def check_rows(estimator, X, *, reset, allow_nan=False, min_samples=1, fitting=None):
    """Return `X` as a float array of rows that the hot loops can square.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` is set or checked.

    X : array-like of shape (n_samples, n_features)
        The rows; float64 and float32 are kept. A torch tensor becomes an array,
        because the hot loops are NumPy's, also under array-API dispatch.

    reset : bool
        True in ``fit``.

    allow_nan : bool, default=False
        Whether NaN means missing.

    min_samples : int, default=1
        Smallest number of rows.

    fitting : bool, default=None
        Whether the rows are learned from; None means `reset`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Checked rows.

    Raises
    ------
    ValueError
        For NaN where it has no meaning, infinity, or entries whose squares
        overflow.

    TypeError
        For rows that an engine holds.
    """
    if reset or not _are_plain_rows(estimator, X, min_samples):
        refuse_blocks(estimator, X)
        X = validate_data(
            estimator,
            from_tensor(X),
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_min_samples=min_samples,
            ensure_all_finite="allow-nan" if allow_nan else True,
        )
    if fitting or (fitting is None and reset):
        check_magnitude(X)
    return X


def _are_plain_rows(estimator, X, min_samples):
    """Tell at once whether validation would find nothing to do, nothing to say.

    It takes longer than the density of a row does.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in _FLOATS:
        return False
    if len(X) < max(1, min_samples) or hasattr(estimator, "feature_names_in_"):
        return False
    if X.shape[1] != getattr(estimator, "n_features_in_", None):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def check_weights(sample_weight, X):
    """Return row weights as floats, or None if none are given.

    Those in single precision stay so: a copy of very many would cost memory.

    Raises
    ------
    ValueError
        If a weight is negative or all are zero.
    """
    if sample_weight is None:
        return None
    sample_weight = from_tensor(sample_weight)
    if not np.asarray(sample_weight).any():
        raise ValueError(
            "sample_weight: all weights are zero; give at least one row a "
            "positive weight."
        )
    is_single = getattr(sample_weight, "dtype", None) == np.float32
    dtype = np.float32 if is_single else np.float64
    return _check_sample_weight(sample_weight, X, dtype=dtype, ensure_non_negative=True)


def mean_score(log_prob, sample_weight):
    """Return the weighted mean of log-densities; rows of weight zero do not count.

    Zero times the -inf of a row far away would be NaN.
    """
    weight = check_weights(sample_weight, log_prob)
    if weight is None:
        return float(log_prob.mean())
    counts = weight > 0
    return float(np.average(log_prob[counts], weights=weight[counts]))


def as_mixture(density):
    """Return a fitted density as a Gaussian mixture value.

    Parameters
    ----------
    density : Mixture or fitted estimator
        A mixture, an estimator with a ``mixture_`` attribute, scikit-learn's
        `GaussianMixture`, `BayesianGaussianMixture` (with its expected
        parameters plugged in; its own ``score_samples`` differs by a term of
        the posterior's width) or `KernelDensity` with ``kernel="gaussian"``
        (one component for each stored row).

    Returns
    -------
    mixture : Mixture
        NumPy arrays.

    Raises
    ------
    TypeError
        If `density` is not one Gaussian mixture.

    sklearn.exceptions.NotFittedError
        If the estimator has not been fitted.

    See Also
    --------
    to_sklearn : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje import as_mixture
    >>> kde = KernelDensity(bandwidth=0.5).fit(np.array([[0.0], [1.0]]))
    >>> as_mixture(kde).n_components
    2
    """
    if isinstance(density, Mixture):
        return density
    if isinstance(density, SklearnGaussianMixture | BayesianGaussianMixture):
        check_is_fitted(density)
        return Mixture(
            density.weights_,
            density.means_,
            density.covariances_,
            density.covariance_type,
        )
    if isinstance(density, KernelDensity):
        return _kernel_density_mixture(density)
    if isinstance(density, BaseEstimator) and hasattr(type(density), "mixture_"):
        return density.mixture_
    raise TypeError(
        f"{density!r} is not one Gaussian mixture. Pass a Mixture, a fitted "
        "GaussianMixture, BayesianGaussianMixture, KernelDensity(kernel='gaussian') "
        "or a fitted skgmje estimator that has the attribute mixture_; of a search "
        "its best_estimator_, of a pipeline its last step."
    )


def _kernel_density_mixture(density):
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


def to_sklearn(mixture):
    """Return a fitted scikit-learn `GaussianMixture` with the same density.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
        Whatever :func:`as_mixture` takes. Low-rank covariances become full.

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
    mixture = as_mixture(mixture)
    kind = mixture.covariance_type
    covariances = mixture.covariances
    if kind == "low-rank":
        covariances = COVARIANCE_TYPES[kind].dense(
            covariances, mixture.n_components, mixture.n_features
        )
        kind = "full"
    covariances = to_numpy(covariances)
    estimator = SklearnGaussianMixture(mixture.n_components, covariance_type=kind)
    estimator.weights_ = to_numpy(mixture.weights)
    estimator.means_ = to_numpy(mixture.means)
    estimator.covariances_ = covariances
    estimator.precisions_cholesky_ = COVARIANCE_TYPES[kind].precisions_cholesky(
        covariances
    )
    estimator.precisions_ = COVARIANCE_TYPES[kind].precisions(covariances)
    estimator.converged_, estimator.n_iter_ = True, 0
    estimator.lower_bound_, estimator.lower_bounds_ = -np.inf, []
    estimator.n_features_in_ = mixture.n_features
    return estimator


def boosted_nodes(model):
    """Return the nodes of boosted trees, and what their sum starts from.

    Parameters
    ----------
    model : HistGradientBoostingRegressor
        Fitted to numbers, without missing ones.

    Returns
    -------
    trees : list of ndarray
        Structured arrays of the nodes, one for each tree.

    start : float
        The prediction without trees.
    """
    trees = [tree.nodes for (tree,) in model._predictors]
    return trees, float(np.ravel(model._baseline_prediction)[0])

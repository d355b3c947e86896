"""Classification by a Gaussian mixture of each class, with and without labels."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from skgmje._backend import as_generator, from_tensor
from skgmje._callbacks import FitTask
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import TypeOptions, check_rows, check_values, check_weights
from skgmje._warnings import warn
from skgmje.em._covariance_models import MODELS, SYNONYMS
from skgmje.em._labelled import (
    ClassFit,
    ClassMixture,
    ClassSetting,
    Labelled,
    class_folds,
    select_classes,
)
from skgmje.em._missing import missing_moments
from skgmje.mixture._base import AMOUNT, AUTO, COUNT, NoisyDensityMixin
from skgmje.mixture._few_samples import least_count
from skgmje.mixture._fit_rows import regularisation

# The parameters that may be chosen by samples left out.
SETTINGS = ("n_components_per_class", *ClassSetting._fields[1:])

# What rounding may take from the number of samples of a class.
ROUNDING = 1e-6


class MixtureClassifier(ClassifierMixin, NoisyDensityMixin, BaseEstimator):
    r"""Classification by a Gaussian mixture of each class; labels may be missing.

    Mixture discriminant analysis [1]_, and its semi-supervised form in one: the density
    of samples and labels,

    .. math:: p(x, y) = \sum_{k \in y} w_k\, N(x; m_k, \Sigma_k),

    is fitted by EM, in which samples with a label stay with the components of their
    class, and the others are shared out among all.

    Parameters
    ----------
    n_components_per_class : int or 'auto', default=1
        Number of components of each class.

    covariance_type : str, default='auto'
        Shape of the covariances: 'full', 'tied', 'diag', 'spherical', 'low-rank',
        'auto', or a model of three letters as for
        :class:`GaussianMixture`, such as 'VEV'. One component per class and 'tied' is
        linear discriminant analysis, 'full' the quadratic one, 'diag' naive Bayes.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count of the pooled within-covariance, in samples, that covariances
        shrink to.

    unlabelled_weight : float or 'auto', default='auto'
        Weight of each sample without a label, in [0, 1]; 0 leaves them out. 'auto'
        chooses 0 unless a larger one predicts labels as well that are left out.

    reg_covar : float or 'auto', default='auto'
        Added to the diagonal of every covariance, in squared units of `X`;
        'auto' is a millionth of each feature's variance.

    rank : int, default=4
        Number of factors of 'low-rank' covariances, at most n_features.

    tol : float, default=1e-3
        Stop when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of EM iterations.

    random_state : int, RandomState instance or None, default=None
        Controls folds, k-means of several components, and :meth:`sample`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.

    component_classes_ : ndarray of shape (n_components,)
        Index of the class in `classes_` that each component belongs to.

    n_components_, weights_, means_, covariances_, covariance_type_, shrinkage_
        The components, as those of :class:`GaussianMixture`; weights of a class add up
        to its share.

    unlabelled_weight_ : float
        The weight of a sample without a label, chosen if it was 'auto'.

    mixture_ : Mixture
        The density of samples, whatever their class.

    converged_ : bool
        Whether EM converged.

    n_iter_ : int
        Number of iterations.

    lower_bounds_ : list of float
        Mean of log p(x, y), and of log p(x) where there is no label, before each
        M-step, in nats.

    cv_results_ : dict
        The settings that were compared, if there were several, and the means over
        samples left out of their log-likelihood, which chooses settings, of
        log p(y | x), which chooses the weight of samples without a label, and of hits.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    GaussianMixture : Clusters, without any label.
    sklearn.discriminant_analysis.LinearDiscriminantAnalysis : One tied Gaussian each.
    sklearn.semi_supervised.LabelSpreading : Labels along a graph of neighbours.

    References
    ----------
    .. [1] T. Hastie and R. Tibshirani, "Discriminant analysis by Gaussian mixtures",
       Journal of the Royal Statistical Society B 58(1), 1996.
    .. [2] K. Nigam, A. McCallum, S. Thrun and T. Mitchell, "Text classification from
       labeled and unlabeled documents using EM", Machine Learning 39, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skgmje import MixtureClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> known = np.isin(np.arange(len(y)), [0, 1, 60, 61, 140, 141])
    >>> labels = np.where(known, y, -1)  # -1: no label
    >>> classifier = MixtureClassifier(random_state=0).fit(X, labels)
    >>> bool(classifier.score(X[~known], y[~known]) > 0.8)
    True
    """

    _missing = "marginal"

    classes_: NDArray[Any]
    component_classes_: NDArray[Any]
    unlabelled_weight_: float
    converged_: bool
    n_iter_: int
    lower_bounds_: list[float]
    cv_results_: dict[str, Any]

    _parameter_constraints: dict = {
        "n_components_per_class": [COUNT, AUTO],
        "covariance_type": [TypeOptions(), StrOptions({*MODELS, *SYNONYMS})],
        "shrinkage": [AMOUNT, AUTO],
        "unlabelled_weight": [Interval(Real, 0, 1, closed="both"), AUTO],
        "reg_covar": [AMOUNT, AUTO],
        "rank": [COUNT],
        "tol": [AMOUNT],
        "max_iter": [COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components_per_class: int | Literal["auto"] = 1,
        *,
        covariance_type: str = "auto",
        shrinkage: float | Literal["auto"] = "auto",
        unlabelled_weight: float | Literal["auto"] = "auto",
        reg_covar: float | Literal["auto"] = "auto",
        rank: int = 4,
        tol: float = 1e-3,
        max_iter: int = 100,
        random_state: RandomState = None,
    ) -> None:
        self.n_components_per_class = n_components_per_class
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.unlabelled_weight = unlabelled_weight
        self.reg_covar = reg_covar
        self.rank = rank
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the mixtures of all classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        y : array-like of shape (n_samples,)
            Their labels; -1, None, NaN or pandas' NA means that there is none. Labels
            that are -1 and 1 only are two classes, with a warning.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        with FitTask(self, X, y, sample_weight, n_steps=self.max_iter) as task:
            data, classes = self._check_labelled(X, y, sample_weight)
            random_state = check_random_state(self.random_state)
            data = data._replace(fold=class_folds(data.X, data.codes, random_state))
            asked = ClassSetting(*(getattr(self, name) for name in SETTINGS))
            fit = ClassFit(
                regularisation(self.reg_covar, data.X, data.weight),
                min(self.rank, data.X.shape[1]),
                missing_moments(data.X, data.weight),
                self.tol,
                self.max_iter,
                random_state.randint(2**31 - 1),
            )
            setting, table = select_classes(data, asked, fit)
            model = fit(data, setting, lambda n_iter: task.step("iteration"))
            task.end(self._store, classes, model, setting, table)
        self._warn(model, data)
        return self

    def _check_labelled(self, X, y, sample_weight):
        """Return checked samples that count, with codes of labels, and the labels."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None. Give labels, -1 where there is none."
            )
        X = check_rows(self, X, reset=True, allow_nan=True)
        y = column_or_1d(_as_array(y), warn=True)
        check_consistent_length(X, y)
        weight = check_weights(sample_weight, X)
        weight = np.ones(len(X)) if weight is None else weight.astype(np.float64)
        check_values(self, X[weight > 0])
        counts = (weight > 0) & ~np.isnan(X).all(axis=1)
        X, y, weight = X[counts], y[counts], weight[counts]
        known = _known(y)
        if not known.any():
            raise ValueError(
                f"y has no label of a sample with values and a positive weight: all "
                f"{len(y)} are -1, None or NaN. Give each class one at least, or use "
                "GaussianMixture, which needs none."
            )
        labels = _of_one_type(y[known])
        check_classification_targets(labels)
        codes = np.full(len(y), -1)
        classes, codes[known] = np.unique(labels, return_inverse=True)
        return Labelled(X, codes, weight, codes), classes

    def _store(self, classes, model, setting, table):
        self._set_mixture(model.mixture)
        self.classes_, self.component_classes_ = classes, model.owners
        self.shrinkage_ = float(setting.shrinkage)
        self.unlabelled_weight_ = float(setting.unlabelled_weight)
        self.converged_, self.n_iter_ = model.converged, len(model.bounds)
        self.lower_bounds_ = list(model.bounds)
        vars(self).pop("cv_results_", None)
        if table:
            scores = np.array([*table.values()]).T
            self.cv_results_ = {
                "params": [dict(zip(SETTINGS, key, strict=True)) for key in table],
                "mean_test_log_likelihood": scores[0],
                "mean_test_log_proba": scores[1],
                "mean_test_accuracy": scores[2],
            }

    def _warn(self, model, data):
        """Say once, with figures, what a user should know of a fit."""
        problems, used = [], data.weigh(self.unlabelled_weight_).weight
        if not model.converged:
            problems.append(
                f"EM did not converge in {self.n_iter_} iterations (tol={self.tol:g}). "
                "Increase max_iter or tol."
            )
        if model.added:
            problems.append(
                f"A covariance was singular: {model.added:.2g} was added to the "
                "diagonals. Set shrinkage='auto' or a larger number, or give classes "
                "more samples."
            )
        if problems:
            warn(" ".join(problems), ConvergenceWarning)
        counts = model.mixture.weights * max(used.sum(), np.count_nonzero(used))
        least = least_count(model.mixture, self.shrinkage_)
        few = np.unique(model.owners[counts < least - ROUNDING])
        if len(few) and self.shrinkage == 0 and not model.added:
            warn(
                f"Classes {self.classes_[few[:5]].tolist()} have components of fewer "
                f"than {least} samples (the least {counts.min():.2g}), which is what a "
                f"covariance of {data.X.shape[1]} features needs. Set shrinkage='auto' "
                "or a larger number, covariance_type='tied', or give more labels.",
                UserWarning,
            )
        untried = not ((data.fold >= 0) & (data.codes >= 0)).any()
        if untried and self.unlabelled_weight == "auto" and (data.codes < 0).any():
            warn(
                "No class has two different samples with a label, of which one can be "
                "left out: samples without a label are not used. Set "
                "unlabelled_weight=1 to use them, or give more labels.",
                UserWarning,
            )

    @property
    def _n_labels(self):
        return len(self.classes_)

    def _responsibilities(self, rows):
        resp = super()._responsibilities(rows)
        members = self.component_classes_ == np.arange(self._n_labels)[:, None]
        return resp @ members.T.astype(resp.dtype)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Find the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Entries of `classes_`.
        """
        check_is_fitted(self)
        return self._each_chunk(X, self._classes_of, dtype=self.classes_.dtype)

    def _classes_of(self, rows):
        return self.classes_[self._clusters(rows)]

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the probability of each class for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to one.
        """
        check_is_fitted(self)
        return self._each_chunk(
            X, self._responsibilities, (self._n_labels,), np.float64
        )

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`, in nats; exact where :meth:`predict_proba`
            underflows.
        """
        check_is_fitted(self)
        return self._each_chunk(X, self._log_proba, (self._n_labels,), np.float64)

    def _log_proba(self, rows):
        """Return log-probabilities of classes; beyond all densities those of limits."""
        model = ClassMixture(self.mixture_, self.component_classes_)
        logs = model.class_log_prob(rows, self._n_labels)
        total = np.logaddexp.reduce(logs, axis=1, keepdims=True)
        far = ~np.isfinite(total[:, 0])
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = logs - total
            logs[far] = np.log(self._responsibilities(rows[far]))
        return logs

    def sample(
        self, n_samples: int = 1, y: Any = None, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw samples with labels, or samples of one class.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        y : label, default=None
            The class to draw of, an entry of `classes_`; None means all, in their
            proportions.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the
            estimator, so that equal calls give equal samples if it is an int.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, in no particular order.

        y : ndarray of shape (n_samples,)
            Their labels.

        Raises
        ------
        ValueError
            If `y` is no class.
        """
        check_is_fitted(self)
        mixture, classes = self.mixture_, self.component_classes_
        if y is not None:
            mixture, classes = self._of_class(y)
        source = self.random_state if random_state is None else random_state
        X, component = mixture.sample(n_samples, as_generator(source))
        return X, self.classes_[classes[component]]

    def _of_class(self, label):
        """Return the mixture of one class, and the classes of its components."""
        own = np.flatnonzero(self.classes_[self.component_classes_] == label)
        if not len(own):
            raise ValueError(
                f"y={label!r} is no class; the classes are {self.classes_.tolist()}. "
                "Give one of them, or None for all."
            )
        mixture = self.mixture_
        return mixture.select(own), self.component_classes_[own]


def _as_array(y):
    """Return labels as an array in which numbers, and what is none, are no words."""
    y = from_tensor(y)
    if isinstance(getattr(y, "dtype", None), np.dtype):
        return y
    given = np.asarray(y, dtype=object)
    words = not hasattr(y, "dtype") and all(isinstance(v, str) for v in given.flat)
    return np.asarray(y) if words else given


def _known(y):
    """Return which labels are given; -1 and 1 alone are two classes."""
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y", allow_nan=True)
    none, minus = np.zeros((2, len(y)), bool)
    if y.dtype.kind in "iuf":
        none, minus = np.isnan(y), y == -1
    elif y.dtype.kind == "O":
        none = np.array([_is_none(v) for v in y], bool)
        minus[~none] = [v == -1 for v in y[~none]]
    known = ~(none | minus)
    if minus.any() and {*y[known].tolist()} == {1}:
        warn(
            "y has no values but -1 and 1: they are taken as two classes, although -1 "
            "means no label beside other values. Call the classes 0 and 1, or others, "
            "if they are classes.",
            UserWarning,
        )
        return ~none
    return known


def _is_none(value):
    """Return whether a value is None or NaN, or pandas' NA, which is neither."""
    # Comparisons with NA have no truth; it is known by name, as pandas may be absent.
    name = type(value).__name__
    return value is None or name in ("NAType", "NaTType") or value != value


def _of_one_type(labels):
    """Return labels of objects as numbers, if they are, and raise if some are words."""
    if labels.dtype.kind != "O":
        return labels
    words = [isinstance(value, str) for value in labels]
    if any(words) and not all(words):
        found = labels[words.index(True)], labels[words.index(False)]
        raise ValueError(
            f"y has words and others as labels, such as {found[0]!r} and {found[1]!r}. "
            "Make all words, or all numbers; -1, None and NaN mean that there is none."
        )
    if all(isinstance(value, (Real, np.bool_)) for value in labels):
        return np.array(labels.tolist())
    return labels

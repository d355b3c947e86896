"""A transformer that fills in missing values from a Gaussian mixture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.base import (
    BaseEstimator,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skgmje._bridges import as_mixture
from skgmje._callbacks import EstimatorMixin, FitTask
from skgmje._interrupt import fit_whole
from skgmje._sklearn import (
    StrOptions,
    _fit_context,
    _get_output_config,
    _safe_indexing,
)
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    check_count,
    check_rows,
    check_values,
    check_weights,
    name_columns,
    odd_columns,
)
from skgmje._warnings import warn
from skgmje.em._em import expectation_maximization
from skgmje.em._missing import missing_moments
from skgmje.em._select import N_COMPONENTS, kmeans_labels, select_mixture
from skgmje.em._start import start_mixture
from skgmje.gaussian._mixture import Mixture
from skgmje.impute._filling import STRATEGIES, fill_draws, fill_spreads
from skgmje.mixture._gaussian_mixture import regularisation

# What names of indicators begin with.
_FLAG = "missingindicator_"

# Averages of so many starts fill in better than the likeliest of them, and better than
# averages of several sizes.
N_STARTS = 4

# Samples that are drawn to learn from, if there are more.
MAX_SAMPLES = 10_000

# More components are worth their time in up to so many columns only; and one of fewer
# samples for each column scores well and fills in badly.
MOST_COMPONENTS, MANY_COLUMNS, ROWS_PER_COLUMN = 32, 24, 3

# Components are compared long before the last digits of their likelihood.
ROUGH = {"tol": 1e-2, "max_iter": 30}


class MixtureImputer(
    EstimatorMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    r"""Fill in missing values from a Gaussian mixture, and tell how uncertain they are.

    What is missing of a sample has, given what is there, a Gaussian mixture for its
    density,

    .. math:: p(x_m \mid x_o) = \sum_k w_k(x_o)\,
        N(x_m;\, \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}),\,
        \Sigma_{k,mm} - \Sigma_{k,mo} \Sigma_{k,oo}^{-1} \Sigma_{k,om})

    whose mean, mode or draws are filled in. The mixture is fitted to the incomplete
    samples by exact EM.

    Parameters
    ----------
    density : 'auto' or estimator, default='auto'
        An estimator of one Gaussian mixture that learns from incomplete samples, such
        as ``GaussianMixture(3, shrinkage=5)``. 'auto' averages mixtures of full,
        shrunken covariances from four starts, of as many components as held-out
        likelihood prefers; of more than 10,000 samples it learns from so many.

    strategy : {'mean', 'sample', 'mode'}, default='mean'
        What :meth:`transform` fills in. The mean has the smallest squared error, but
        a table of means varies and correlates as no sample does; 'sample' draws. A
        draw depends on `random_state` and on the sample, not on its place.

    add_indicator : bool, default=False
        Whether :meth:`transform` appends a column of zeros and ones for each feature
        that had missing values in :meth:`fit`, 1 being missing.

    keep_empty_features : bool, default=False
        Whether columns without any value in :meth:`fit`, of which nothing can be
        known, are filled with 0. Otherwise they are left out, with a warning.

    random_state : int, RandomState instance or None, default=None
        Controls starts, folds and draws. Draws are settled in :meth:`fit`: equal calls
        give equal draws.

    Attributes
    ----------
    density_ : Mixture or estimator
        The fitted density of the columns that have values.

    mixture_ : Mixture
        The same as a value.

    indicator_features_ : ndarray of int
        Features that had missing values in :meth:`fit`.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    pool_estimates : Estimates of several imputed tables as one.
    skgmje.mixture.GaussianMixture.impute : Means, from a density fitted already.
    sklearn.impute.IterativeImputer : One regression for each column, in turns.

    Notes
    -----
    Values are taken to be missing at random: whether an entry is missing may depend
    on what is there, not on the entry itself.

    A sample without any value gets the mean of the density, or a draw from it. A
    constant column is filled with its value. With ``set_output(transform="pandas")``
    or ``"polars"`` frames keep their index, and columns their types; of integers
    those in which something was filled in become floats. The imputer keeps the
    samples it was fitted to, for :meth:`sample_imputations`.

    References
    ----------
    .. [1] Z. Ghahramani and M. I. Jordan, "Supervised learning from incomplete
       data via an EM approach", 1994.
    .. [2] D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.impute import MixtureImputer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1)) + 0.1 * rng.normal(size=(200, 3))
    >>> X[::4, 1] = np.nan
    >>> imputer = MixtureImputer(random_state=0).fit(X)
    >>> imputer.transform([[1.0, np.nan, 1.0]]).round(1)
    array([[1., 1., 1.]])
    >>> imputer.uncertainty([[1.0, np.nan, 1.0]]).round(1)
    array([[0. , 0.1, 0. ]])
    """

    density_: Any
    mixture_: Any
    indicator_features_: NDArray[Any]

    _parameter_constraints: dict = {
        "density": "no_validation",
        "strategy": [StrOptions(set(STRATEGIES))],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        density: Any = "auto",
        *,
        strategy: Literal["mean", "sample", "mode"] = "mean",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.density = density
        self.strategy = strategy
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : MixtureImputer
            The fitted imputer.

        Raises
        ------
        TypeError
            If `density` is no Gaussian mixture, or takes no missing values where some
            are missing, or no `sample_weight`.

        ValueError
            If there are categories, infinite entries, or no value at all.
        """
        with FitTask(self, X, y, sample_weight, n_steps=1) as task:
            rows = self._check_rows(X, reset=True)
            weight = check_weights(sample_weight, rows)
            if weight is not None:
                rows, weight = rows[weight > 0], weight[weight > 0].astype(np.float64)
            valued = ~np.isnan(rows).all(axis=0)
            self._tell_of_columns(rows, valued)
            some = ~np.isnan(rows).all(axis=1)
            given = rows[some][:, valued].astype(np.float64)
            weights = {} if weight is None else {"sample_weight": weight[some]}
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            density = self._start_density(given, weights, seed)
            with task.part(density, "fit-density"):
                found = task.learn(object, fit_whole, density, given, **weights)
            task.end(self._store, found, rows, valued, (given, weights), seed)
        return self

    def _check_rows(self, X, *, reset):
        """Return checked samples, which may have gaps but no categories."""
        odd = odd_columns(X, ("categor", "enum"), str | bytes)
        if odd:
            raise ValueError(
                f"Columns {odd[:5]} hold categories or words, and MixtureImputer fills "
                "in numbers. Leave such columns to "
                "SimpleImputer(strategy='most_frequent') by a ColumnTransformer, or "
                "encode them first."
            )
        least = 2 if reset else 1
        return check_rows(self, X, reset=reset, allow_nan=True, min_samples=least)

    def _tell_of_columns(self, rows, valued):
        """Warn of columns of which little can be known, or raise if it is all."""
        # Numbers that all differ stand for columns of which is told here.
        known = np.where(valued, rows, np.arange(len(rows))[:, None])
        check_values(self, known if valued.any() else rows)
        names = super().get_feature_names_out()
        flags = _FLAG + names[np.isnan(rows).any(axis=0)]
        twice = [flag for flag in flags if flag in names]
        if self.add_indicator and twice:
            raise ValueError(
                f"add_indicator=True would make a second column {twice[0]!r}. Rename "
                "that of X, or set add_indicator=False."
            )
        if not (valued.all() or self.keep_empty_features):
            warn(
                f"X has no value in {name_columns(self, ~valued)}, which the output "
                "leaves out. Drop such a column, or set keep_empty_features=True, "
                "which fills it with 0."
            )

    def _start_density(self, X, weights, seed):
        """Return the density to fit, or raise if it cannot learn from such samples."""
        density = self.density
        if isinstance(density, str) and density == "auto":
            return AutomaticMixture(random_state=seed)
        if isinstance(density, str) or not hasattr(density, "fit"):
            raise TypeError(
                f"density={density!r} is no estimator. Give 'auto', or one such as "
                "GaussianMixture(3, shrinkage=5)."
            )
        if np.isnan(X).any() and not get_tags(density).input_tags.allow_nan:
            raise TypeError(
                f"density={density!r} takes no missing values (NaN), and X has some. "
                "Give 'auto', or a GaussianMixture, or fit to complete samples."
            )
        if weights and not has_fit_parameter(density, "sample_weight"):
            raise TypeError(
                f"density={density!r} takes no sample_weight. Give 'auto', or a "
                "GaussianMixture, or fit without weights."
            )
        return seeded(density, seed)

    def _store(self, density, rows, valued, data, seed):
        self.mixture_ = as_mixture(density)
        self.density_, self._seed = density, int(seed)
        self.indicator_features_ = np.flatnonzero(np.isnan(rows).any(axis=0))
        self._valued, (X, self._fit_weights) = valued, data
        # Files hold no NaN.
        self._fit_holes, self._fit_X = np.isnan(X), np.nan_to_num(X)
        self._levels = np.nanmin(X, axis=0)
        self._constant = self._levels == np.nanmax(X, axis=0)

    def _fill(self, rows, strategy, mixture=None, place=0):
        """Return samples filled in, of the columns that have values."""
        X = rows[:, self._valued]
        levels = self._levels.astype(X.dtype)
        X = np.where(np.isnan(X) & self._constant, levels, X)
        mixture = self.mixture_ if mixture is None else mixture
        return strategy(mixture, X, self._seed + place)

    def _ask(self, X):
        """Return checked samples to fill in."""
        check_is_fitted(self)
        return self._check_rows(X, reset=False)

    def _place(self, filled, rows, empty=0.0):
        """Return columns in their places, with those that had no value if wanted."""
        if not self.keep_empty_features:
            return filled.astype(rows.dtype, copy=False)
        out = np.where(np.isnan(rows), np.asarray(empty, rows.dtype), rows)
        out[:, self._valued] = filled
        return out

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Fill in missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_out)
            The samples without NaN, and indicators with `add_indicator`.
        """
        rows = self._ask(X)
        filled = self._fill(rows, STRATEGIES[self.strategy])
        out = self._place(filled, rows)
        if self.add_indicator:
            holes = np.isnan(rows[:, self.indicator_features_])
            out = np.hstack([out, holes.astype(out.dtype)])
        return self._like_frame(out, rows, X)

    def _like_frame(self, out, rows, X):
        """Return a frame whose columns have the types of `X`, if it was asked for."""
        wanted = _get_output_config("transform", self)["dense"]
        if not (hasattr(X, "columns") and type(X).__module__.startswith(wanted)):
            return out
        every = np.ones_like(self._valued)
        kept = np.flatnonzero(every if self.keep_empty_features else self._valued)
        # By place: names need not be words, and scikit-learn gives them.
        columns, floats = {str(i): column for i, column in enumerate(out.T)}, {}
        for i, j in enumerate(kept):
            given = _safe_indexing(X, int(j), axis=1)
            if not np.isnan(rows[:, j]).any():
                # As a float a large integer would be another one.
                columns[str(i)] = given
            elif "float" in str(given.dtype).lower():
                floats[str(i)] = given.dtype
        if wanted == "polars":
            return type(X)(columns).cast(floats)
        return type(X)(columns, index=X.index).astype(floats)

    def sample_imputations(
        self, X: ArrayLike, n_imputations: int = 20, *, proper: bool = True
    ) -> NDArray[Any]:
        """Draw several imputed tables, whose estimates :func:`pool_estimates` pools.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        n_imputations : int, default=20
            Number of tables.

        proper : bool, default=True
            Whether each table is drawn from a density of its own, fitted to the samples
            of :meth:`fit` with random weights, exponential ones: the Bayesian
            bootstrap. The number of components that ``density="auto"`` has found
            stays; a given `density` is fitted as it is, so numbers are quicker than
            ``"auto"`` among its settings. Otherwise all are drawn from the fitted
            density, as if it were known exactly: intervals are too narrow.

        Returns
        -------
        tables : ndarray of shape (n_imputations, n_samples, n_features_out)
            The imputed tables, without indicators. The first are the same whatever
            `n_imputations`.

        Raises
        ------
        TypeError
            If `density` takes no `sample_weight` and draws are to be proper.

        ValueError
            If `n_imputations` is no positive integer.
        """
        check_count(n_imputations=n_imputations)
        if proper and not has_fit_parameter(self.density_, "sample_weight"):
            raise TypeError(
                f"density={self.density!r} takes no sample_weight, which proper draws "
                "need. Give 'auto', or a GaussianMixture, or set proper=False."
            )
        rows, tables = self._ask(X), []
        for place in range(n_imputations):
            mixture = self._resample(place) if proper else self.mixture_
            filled = self._fill(rows, fill_draws, mixture, place)
            tables.append(self._place(filled, rows))
        return np.stack(tables)

    def _resample(self, place):
        """Return the mixture of a Bayesian bootstrap."""
        generator = np.random.default_rng([self._seed, place])
        weight = generator.standard_exponential(len(self._fit_X))
        weight *= self._fit_weights.get("sample_weight", 1.0)
        weight *= len(weight) / weight.sum()
        density = self.density_
        if isinstance(density, AutomaticMixture):
            density = AutomaticMixture(density.n_components_, n_starts=1)
        density = seeded(density, int(generator.integers(2**31 - 1)))
        X = np.where(self._fit_holes, np.nan, self._fit_X)
        return as_mixture(fit_whole(density, X, sample_weight=weight))

    def uncertainty(self, X: ArrayLike) -> NDArray[Any]:
        """Compute how uncertain each entry is that :meth:`transform` fills in.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        Returns
        -------
        std : ndarray of shape (n_samples, n_features_out)
            Standard deviation of each missing entry given what is there of its sample,
            in the units of `X`, without indicators; 0 for entries that are there, and
            infinite in columns that had no value in :meth:`fit`. It is that of the
            fitted density, as if this were known exactly.
        """
        rows = self._ask(X)
        mixed = self._fill(rows, fill_spreads)
        holes = np.isnan(rows)
        std = np.where(holes[:, self._valued], mixed, 0.0)
        std[:, self._constant] = 0.0
        gone = np.where(holes, np.nan, 0.0).astype(rows.dtype)
        return self._place(std, gone, np.inf)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Return the names of the columns of the output.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of `X`, if it has none of its own.

        Returns
        -------
        names : ndarray of str
            Those of `X` that are kept, then ``missingindicator_`` and the name for
            each indicator.
        """
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        kept = names if self.keep_empty_features else names[self._valued]
        if not self.add_indicator:
            return kept
        return np.append(kept, _FLAG + names[self.indicator_features_])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = self.strategy == "sample"
        return tags


def seeded(density, seed):
    """Return a clone of an estimator that draws the same numbers again."""
    density = clone(density)
    if "random_state" in density.get_params():
        density.set_params(random_state=seed)
    return density


class AutomaticMixture(BaseEstimator):
    """Mixtures of full, shrunken covariances from several starts, as one mixture."""

    def __init__(self, n_components="auto", n_starts=N_STARTS, random_state=None):
        self.n_components = n_components
        self.n_starts = n_starts
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        """Choose the number of components, and fit."""
        random_state = check_random_state(self.random_state)
        weight = sample_weight
        if len(X) > MAX_SAMPLES:
            rows = random_state.permutation(len(X))[:MAX_SAMPLES]
            X, weight = X[rows], None if weight is None else weight[rows]
        data = {"sample_weight": weight, "random_state": random_state}
        prior = {
            "shrinkage": float(X.shape[1]),
            "reg_covar": regularisation("auto", X, weight),
        }
        size = self.n_components
        if size == "auto":
            grid = [k for k in N_COMPONENTS if k <= most_components(*X.shape)]
            how = {"covariance_type": "full", "n_components_grid": grid, **ROUGH}
            size = select_mixture(X, **how, **prior, **data).n_components
        first = {"sample_weight": weight, "moments": missing_moments(X, weight)}
        fits = []
        for _ in range(self.n_starts if size > 1 else 1):
            labels = kmeans_labels(X, size, scale=True, **data)
            start = start_mixture(X, labels, "full", **first, **prior)
            fit = expectation_maximization(X, start, sample_weight=weight, **prior)
            fits.append(fit.mixture)
        self.n_components_ = size
        self.mixture_ = Mixture.mix(fits, np.full(len(fits), 1 / len(fits)))
        return self


def most_components(n_samples, n_features):
    """Return the largest number of components to try."""
    most = MOST_COMPONENTS * min(1.0, (MANY_COLUMNS / n_features) ** 2)
    return max(1.0, min(most, n_samples / (ROWS_PER_COLUMN * n_features)))

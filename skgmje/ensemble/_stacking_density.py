"""A density that averages many, with weights by held-out likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator, to_numpy
from skgmje._callbacks import DensityEstimatorMixin, FitTask
from skgmje._parallel import Runner
from skgmje._sklearn import StrOptions, _fit_context, _safe_indexing
from skgmje._standardize import distinct, drop_weightless
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    TIE_SHARE,
    as_given,
    as_scores,
    check_count,
    check_rows,
    check_weights,
    column_numbers,
    like_rows,
    name_estimators,
    tie_shares,
    warn_about_ties,
)
from skgmje._warnings import warn
from skgmje.compose._transformed import check_density
from skgmje.compose._transformed_mixture import ClosedFormsMixin
from skgmje.ensemble._held_out import (
    Fitted,
    Table,
    distinct_rows,
    given_folds,
    is_splitter,
    make_folds,
    warn_about_failures,
)
from skgmje.ensemble._recipe import EFFORTS, SPACES, GivenCandidates, Recipe
from skgmje.ensemble._stacked_mixture import MixturePart, group_members, stack_members
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import NoMixtureError

# An atom is one value that holds at least so much of a column.
ATOM_SHARE = 0.01

# Noise is at least so wide, in standard deviations.
_LEAST_WIDTH = 0.01


def _dequantize(X, ties, atoms, random_state):
    """Spread the values of columns with ties by uniform noise."""
    X = X.copy()
    wanted = ((ties > TIE_SHARE) | (atoms > max(ATOM_SHARE, 2 / len(X)))) & (atoms < 1)
    for j in np.flatnonzero(wanted):
        gap = float(np.median(np.diff(np.unique(X[:, j]))))
        width = max(gap, _LEAST_WIDTH * float(X[:, j].std()))
        X[:, j] += random_state.uniform(-0.5 * width, 0.5 * width, len(X))
    return X, np.flatnonzero(wanted).tolist()


def _indices(fold):
    """Return the indices of the samples to fit and to score, none of weight zero."""
    train, test = map(np.flatnonzero, fold)
    if not (len(train) and len(test)):
        raise ValueError(
            "cv gives a fold whose samples to fit, or to hold out, have no weight. "
            "Give fewer folds, or weights that are positive in each."
        )
    return train, test


class StackingDensity(ClosedFormsMixin, DensityEstimatorMixin, BaseEstimator):
    r"""Average many densities, with the weights that held-out samples ask for.

    .. math:: p(x) = \sum_m a_m\, p_m(x), \qquad
        a = \arg\max_{a \in \Delta} \sum_i \log \sum_m a_m\, p_m^{(-i)}(x_i)

    where :math:`p_m^{(-i)}` was fitted without the fold of sample i, transformers and
    all. The weights lie on the simplex :math:`\Delta`; members that are not worth one
    are dropped, the others fitted again to all samples.

    By default the members are Gaussian mixtures of many sizes with shrunken
    covariances, with and without annealing, in three coordinate systems: as they
    are, in normal scores of each column, and with predictable columns replaced by
    residuals. With `estimators`, they are any densities of yours.

    Parameters
    ----------
    estimators : sequence of estimator or (str, estimator), default=None
        Densities to stack instead, each with ``fit`` and ``score_samples``: ours,
        scikit-learn's, or yours. Without a name they get that of their class, as in
        :func:`~sklearn.pipeline.make_pipeline`.

    effort : {'fast', 'thorough'}, default='fast'
        How many settings and starts are tried: 'thorough' takes three times as long
        and gains up to 0.1 nats. Not used with `estimators`.

    spaces : tuple of str, default=("identity", "marginal", "residual")
        Coordinates to try. Without "residual", :meth:`marginal` and
        :meth:`condition` have closed forms. Not used with `estimators`.

    cv : int, splitter or iterable, default=None
        Which samples are held out. None means one split from 2500 samples on, three
        folds from 500 on, else five; with `groups`, three or five, as far as there are
        groups. Copies of a sample are held out together, except by a splitter.

    dequantize : bool, default=False
        Whether columns with ties are spread by uniform noise, as wide as the median
        gap between their values. The density is then one of the spread columns.

    n_jobs : int, default=None
        Processes (threads in a context of :func:`joblib.parallel_config`, and inside
        a worker process). The result is the same, to the bit.

    random_state : int, RandomState instance or None, default=None
        Controls folds, starts, noise and :meth:`sample`.

    verbose : int, default=0
        Print how far the fits are.

    Attributes
    ----------
    members_ : list of (str, estimator)
        Names and fitted densities of what has a weight; of the recipe by coordinates,
        components, shrinkage and annealing.

    weights_ : ndarray of shape (n_members,)
        Their weights, summing to one.

    cv_results_ : dict
        Names, weights and held-out log-likelihoods of all candidates, NaN for folds
        after those that made them hopeless. None if there was one candidate.

    tie_share_ : ndarray of shape (`n_features_in_`,)
        Share of the values of each column that repeat others.

    dequantized_columns_ : list of int
        Columns that were spread by noise.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    skgmje.mixture.GaussianMixture : One mixture, of settings chosen by likelihood.
    skgmje.compose.TransformedDensity : A density behind a transformer; a member.
    sklearn.ensemble.StackingRegressor : Stacks of predictions.

    Notes
    -----
    Samples that are split at random are assumed to be independent. Where they come in
    groups (several measurements of one thing) or in time, weights go to members that
    remember them: pass `groups`, or a splitter such as
    :class:`~sklearn.model_selection.TimeSeriesSplit` as `cv`.

    Fewer than 50 samples get one or two components in the columns as they are, fewer
    than 12 a Gaussian. Below ten samples for each column, diagonal covariances are
    tried too. A member that fails, or gives NaN or an infinite density, is dropped with
    a warning that names it.

    References
    ----------
    .. [1] P. Smyth and D. Wolpert, "Linearly combining density estimators via
       stacking", 1999.
    .. [2] N. Ueda and R. Nakano, "Deterministic annealing EM algorithm", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture, StackingDensity
    >>> rng = np.random.default_rng(0)
    >>> X = np.exp(rng.normal(size=(400, 2)))
    >>> density = StackingDensity(random_state=0).fit(X)
    >>> density.score(X) > GaussianMixture(8, random_state=0).fit(X).score(X)
    True
    """

    members_: list[Any]
    weights_: NDArray[Any]
    cv_results_: dict[str, Any]
    tie_share_: NDArray[Any]
    dequantized_columns_: list[int]

    _parameter_constraints: dict = {
        "estimators": [list, tuple, None],
        "effort": [StrOptions(set(EFFORTS))],
        "spaces": [tuple, list],
        "cv": ["cv_object"],
        "dequantize": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What files leave out, because it follows from the rest.
    _derived = ("_stack", "_mixtures")

    def __init__(
        self,
        estimators: Any = None,
        *,
        effort: Literal["fast", "thorough"] = "fast",
        spaces: tuple[str, ...] = ("identity", "marginal", "residual"),
        cv: Any = None,
        dequantize: bool = False,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.effort = effort
        self.spaces = spaces
        self.cv = cv
        self.dequantize = dequantize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # The members validate their own parameters.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Choose the members, their weights, and fit them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        groups : array-like of shape (n_samples,), default=None
            Samples with the same entry are held out together.

        Returns
        -------
        self : StackingDensity
            The fitted estimator.

        Raises
        ------
        TypeError
            If an estimator is no density, or takes no `sample_weight`.

        ValueError
            If there is one group only, all members fail, or all samples that were held
            out have the density zero.
        """
        with FitTask(self, X, y, sample_weight, n_steps=2) as task:
            given = X
            X, weight, groups = self._check_fit(X, sample_weight, groups)
            random_state = check_random_state(self.random_state)
            data = X, weight, groups, random_state, as_given(self, given, X)
            X, weight, find_folds = self._training_samples(*data)
            shifted = groups is not None or is_splitter(self.cv)
            library = self._library(random_state, shifted)
            candidates, weights = library.candidates(X), np.ones(1)
            self.cv_results_ = None
            if len(candidates) > 1:
                folds = [*map(_indices, find_folds())]
                found = self._select(library, X, weight, folds, candidates)
                candidates, weights = found
            task.step("selection")
            fitted = task.learn(Fitted, library.fit, X, weight, candidates, weights)
            if not task.when:
                warn_about_failures(fitted.failed, len(candidates))
            task.end(self._store, fitted)
        return self

    def _store(self, fitted):
        self.members_, self.weights_ = fitted.members, fitted.weights
        self._groups = group_members(self.members_)
        self._rebuild()

    def _check_fit(self, X, sample_weight, groups):
        unknown = sorted(set(self.spaces) - set(SPACES))
        if unknown or not self.spaces:
            raise ValueError(
                f"spaces={self.spaces!r} must name at least one of {list(SPACES)}, and "
                "nothing else."
            )
        X = check_rows(self, X, reset=True, min_samples=2)
        weight = check_weights(sample_weight, X)
        if groups is not None:
            check_consistent_length(X, groups)
            groups = np.unique(to_numpy(groups), return_inverse=True)[1].ravel()
        if self.estimators is not None:
            if not len(self.estimators):
                raise ValueError(
                    f"estimators={self.estimators!r} is empty. Give at least one "
                    "density, or None for the recipe."
                )
            for name, estimator in name_estimators(self.estimators):
                check_density(
                    estimator, f"estimators: {name!r}, {estimator!r},", weight
                )
        return X.astype(np.float64, copy=False), weight, groups

    def _training_samples(self, X, weight, groups, random_state, given):
        """Return samples to learn from, their weights, and how to find their folds."""
        folds = given_folds(self.cv, X, groups) if is_splitter(self.cv) else None
        kinds = None if groups is None else groups[:, None]
        if folds is not None:
            kinds = np.concatenate(folds).T.astype(float)
        kept = np.arange(len(X)) if weight is None else np.flatnonzero(weight)
        counted, weight = drop_weightless(X, weight)
        together = None
        if self.estimators is None and not self.dequantize:
            part = None if kinds is None else kinds[kept]
            first, weight = distinct_rows(counted, weight, part)
            kept = kept[first]
        else:
            together = distinct(counted)[1]
        rows = self._spread_ties(counted, X[kept], random_state)
        if self.estimators is not None and given is not X:
            is_spread = bool(self.dequantized_columns_)
            rows = like_rows(rows, given) if is_spread else _safe_indexing(given, kept)
        if folds is not None:
            return rows, weight, lambda: [fold[:, kept] for fold in folds]
        if groups is not None:
            groups = np.unique(groups[kept], return_inverse=True)[1].ravel()
        how = {"groups": groups, "together": together}
        find = partial(make_folds, len(kept), self.cv, random_state, **how)
        return rows, weight, find

    def _spread_ties(self, X, rows, random_state):
        """Look for ties in X, and spread those of `rows` if that is wanted."""
        ties, atoms = tie_shares(X)
        self.tie_share_, self.dequantized_columns_ = ties, []
        if self.dequantize:
            spread = _dequantize(rows, ties, atoms, random_state)
            rows, self.dequantized_columns_ = spread
            return rows
        constant = np.flatnonzero(atoms == 1).tolist()
        if constant:
            warn(
                f"StackingDensity: the columns {constant} are constant; their density "
                "is that of the regularisation, a Gaussian of a standard deviation of "
                "0.003 in their own units. Drop them."
            )
        remedy = "Set dequantize=True, which spreads them, or drop these columns."
        warn_about_ties(self, ties, atoms, "columns", remedy)
        return rows

    def _library(self, random_state, shifted):
        seed = random_state.randint(2**31 - 1)
        run = Runner(self.n_jobs, self.verbose, type(self).__name__)
        if self.estimators is not None:
            return GivenCandidates(self.estimators, seed, run)
        return Recipe(EFFORTS[self.effort], tuple(self.spaces), shifted, seed, run)

    def _select(self, library, X, weight, folds, candidates):
        """Return the candidates that are worth a weight, and the weights."""
        table = Table(candidates, folds, weight)
        n_first = table.rounds(library.enough_rows)
        for part in (slice(0, n_first), slice(n_first, len(folds))):
            if not folds[part]:
                break
            alive = table.alive()
            some = [candidates[i] for i in alive]
            scores = library.held_out(X, weight, folds[part], some, part.start)
            table.add(alive, scores)
        warn_about_failures(table.failed, len(candidates))
        weights = table.chosen_weights()
        self.cv_results_ = table.results(weights)
        keep = np.flatnonzero(weights)
        return [candidates[i] for i in keep], weights[keep]

    def _rebuild(self):
        """Make what a file leaves out."""
        self._stack, self._mixtures = stack_members(
            self.members_, self.weights_, self._groups
        )

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        return as_scores(self._stack.log_prob(as_given(self, X, rows)), rows)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the posterior probability of each member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_members)
            Share of each member in the density; rows sum to one.
        """
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        X = as_given(self, X, rows)
        known = [
            part.forward(X) if isinstance(part, MixturePart) else None
            for part in self._stack.parts
        ]
        columns = []
        for i, mixture in zip(self._groups, self._mixtures, strict=True):
            if mixture is None:
                columns.append(self._stack.parts[i].log_prob(X))
            else:
                Z, log_det = known[i]
                columns.append(mixture.log_prob(Z) + log_det)
        joint = np.stack(columns, axis=1) + np.log(self.weights_)
        # Where all densities are zero, weights are all that is known.
        joint[joint.max(axis=1) == -np.inf] = np.log(self.weights_)
        proba = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        return proba.astype(rows.dtype, copy=False)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Find the member that gives each sample the largest share of its density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        member : ndarray of shape (n_samples,)
            Index into :attr:`members_`.
        """
        return self.predict_proba(X).argmax(axis=1)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw samples from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, in no particular order.

        y : ndarray of shape (n_samples,)
            The coordinate system or estimator that each sample comes from.

        Raises
        ------
        TypeError
            If a member cannot sample with a seed.
        """
        check_is_fitted(self)
        check_count(n_samples=n_samples)
        source = self.random_state if random_state is None else random_state
        return self._stack.sample(n_samples, as_generator(source))

    def marginal(self, indices: int | slice | str | Sequence[int]) -> Any:
        check_is_fitted(self)
        return self._stack.marginal(column_numbers(self, indices))

    def condition(
        self, indices: int | slice | str | Sequence[int], values: ArrayLike
    ) -> Any:
        check_is_fitted(self)
        return self._stack.condition(column_numbers(self, indices, values), values)

    @property
    def mixture_(self) -> Mixture:
        """The stack as one mixture, if all members are in the same coordinates.

        Otherwise it is no Gaussian mixture, which raises TypeError.
        """
        check_is_fitted(self)
        try:
            return self._stack.as_mixture()
        except TypeError as error:
            raise NoMixtureError(*error.args) from error

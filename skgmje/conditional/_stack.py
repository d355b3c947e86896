"""The stacked conditional density estimator."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupKFold
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from skgmje._backend import check_torch, to_numpy
from skgmje._callbacks import FitTask
from skgmje._parallel import Runner
from skgmje._sklearn import Interval, StrOptions, _fit_context, _safe_indexing
from skgmje._standardize import Standardization, distinct
from skgmje._typing import ArrayLike, RandomState, Self
from skgmje._validation import as_given, tie_shares
from skgmje.conditional._base import ConditionalDensityMixin
from skgmje.conditional._members import FEWEST_ROWS, Samples
from skgmje.conditional._models import copies, deal
from skgmje.conditional._network_sources import MixtureNetwork
from skgmje.conditional._stack_model import StackedConditional, Stacking, check_members
from skgmje.gaussian._checks import check_layers
from skgmje.metrics._scores import crps, interval_coverage

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")

# Of the interval whose coverage of held-out samples is told.
COVERAGE = 0.9

# Samples of one context, on average, from which whole folds of them are left out.
SHARED_CONTEXTS = 2


class StackingConditionalDensity(
    ConditionalDensityMixin, RegressorMixin, BaseEstimator
):
    r"""Conditional density p(y|x) by networks that see what regressors say.

    The members, regressors that are strong on tables, predict each training sample
    without having seen it. An ensemble of mixture density networks gets contexts and
    predictions, starts from the members' best blend, and learns what is left: how wide,
    how skewed, how many branches. The fit ends in a linear pool of densities and one
    width, chosen by held-out samples. The prediction is one Gaussian mixture for each
    sample.

    .. math:: p(y | x) = \sum_j v_j\, p_j(y | x, f_1(x), \dots, f_E(x)), \qquad
        v = \arg\min_v \Big[ -\frac1n \sum_i \log p^{(-i)}(y_i | x_i)
        + \lambda \frac{\mathrm{CRPS}(v)}{\min_j \mathrm{CRPS}_j} \Big]

    Parameters
    ----------
    estimators : sequence of str, regressor or (str, regressor), default=four words
        The members, by default all that have a word. 'gp': a Gaussian process, held out
        in closed form; for skewed targets also one of their logarithm. 'trees':
        extremely randomised trees, held out by their samples. 'boosting': boosted
        trees, and 'network': mixture density networks on the contexts alone, held out
        by folds; up to four columns of contexts and targets, a 'joint' mixture pools
        with them. Regressors of your own see the contexts as they came, all of whose
        columns must be numbers, and are held out by folds. Those that tell more than a
        mean, by ``predict_mixture(X)``, ``predict_quantiles(X, levels)``,
        ``predict_bars(X)`` (edges and probabilities) or ``pred_dist(X)`` (an object
        with ``ppf``), are asked for it, and so are scikit-learn's of a quantile.
        Without a name they get that of their class, as in
        :func:`~sklearn.pipeline.make_pipeline`. Empty or None: networks on the contexts
        alone.

    n_components : int, default=5
        Number of components of each network.

    n_members : int, default=10
        Number of networks that see the predictions, rounded to a multiple of the
        folds.

    hidden_layer_sizes : tuple of int, default=(64, 64)
        Hidden layers of each network.

    covariance_type : {'full', 'diag'}, default='full'
        Covariances of several targets in a network's component.

    max_iter : int or 'auto', default='auto'
        Largest number of gradient steps of the networks.

    min_scale : float, default=0.005
        Smallest standard deviation of a network's component, in those of `y`.

    crps_weight : float, default=3.0
        Weight of the CRPS in the choice of the pool; zero rates spikes highest.

    recalibrate : bool, default=True
        Whether one factor of all widths is chosen by held-out likelihood.

    max_components : int, default=None
        Largest number of components of a prediction: like ones are merged, which keeps
        means and covariances. None keeps all, about a hundred.

    n_folds : int, default=5
        Number of folds, fewer if there are fewer groups.

    n_jobs : int, default=None
        Number of processes; bits do not depend on it. For threads see
        :func:`joblib.parallel_config`; inside a worker process there are no others.

    verbose : int, default=0
        1 prints a line every tenth of a stage, 2 one for each task.

    random_state : int, RandomState instance or None, default=None
        Controls folds, members, networks and :meth:`sample_y`.

    Attributes
    ----------
    member_names_ : list of str
        The members that are used.

    n_outputs_ : int
        Number of targets.

    pool_weights_ : dict
        Weight of each density; "stack" is that of the networks that see predictions.

    width_ : float
        The factor of all widths.

    oof_nll_ : float
        Mean negative log-likelihood of the training samples by models that have not
        seen them, in nats and in the units of `y`; a little too good, because weights
        and width were chosen on them.

    oof_crps_ : float
        Their CRPS, in the units of `y`; a mean over the targets.

    oof_coverage_ : float
        Share of them inside the central 90 % intervals.

    member_rmse_ : dict
        Root mean squared error of each member on held-out samples, a float or
        (n_targets,).

    tie_share_ : float
        Largest share of values of a target that repeat others.

    best_steps_ : dict
        Steps after which the networks of each ensemble were best.

    fit_times_ : dict
        CPU seconds of each part of the fit.

    n_iter_ : int
        Largest of these numbers of steps; 1 without networks.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    ConditionalMixtureDensity : Faster, takes missing contexts; no members.

    Notes
    -----
    Samples are held out at random. Those that belong together, such as of one patient
    or day, tell of each other: pass their `groups` to ``fit``. Equal pairs of context
    and target are one sample of as large a weight, except in a table of few contexts
    and few targets, whose samples are taken as independent. Where most contexts repeat,
    as categories do, members are held out by whole folds: the mean of all others with
    one context would tell the sample that is left out.

    With fewer than 50 samples a blend of the members with Gaussian errors takes the
    place of the networks. ``score`` is a log-likelihood, not R squared. Predictions
    need no torch.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked Generalization", Neural Networks 5, 1992.

    .. [2] C. M. Bishop, "Mixture Density Networks", 1994.

    .. [3] C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine
       Learning", section 5.4.2, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from skgmje.conditional import StackingConditionalDensity
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, size=(200, 2))
    >>> y = X[:, 0] + np.exp(X[:, 1] / 2) * rng.normal(size=200)
    >>> density = StackingConditionalDensity(
    ...     ["gp", ("ridge", Ridge())], max_iter=100, random_state=0
    ... ).fit(X, y)
    >>> _, std = density.predict([[0.0, -1.5], [0.0, 1.5]], return_std=True)
    >>> bool(std[1] > 2 * std[0])
    True
    """

    member_names_: list[str]
    n_outputs_: int
    pool_weights_: dict[str, Any]
    width_: float
    oof_nll_: float
    oof_crps_: float
    oof_coverage_: float
    member_rmse_: dict[str, Any]
    tie_share_: float
    best_steps_: dict[str, Any]
    fit_times_: dict[str, Any]
    n_iter_: int

    _parameter_constraints: dict = {
        "estimators": [list, tuple, None],
        "n_components": [_AT_LEAST_ONE],
        "n_members": [_AT_LEAST_ONE],
        "hidden_layer_sizes": ["array-like"],
        "covariance_type": [StrOptions({"full", "diag"})],
        "max_iter": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "min_scale": [Interval(Real, 0, None, closed="neither")],
        "crps_weight": [Interval(Real, 0, None, closed="left")],
        "recalibrate": ["boolean"],
        "max_components": [_AT_LEAST_ONE, None],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: Any = ("gp", "trees", "boosting", "network"),
        *,
        n_components: int = 5,
        n_members: int = 10,
        hidden_layer_sizes: tuple[int, ...] = (64, 64),
        covariance_type: Literal["full", "diag"] = "full",
        max_iter: int | Literal["auto"] = "auto",
        min_scale: float = 5e-3,
        crps_weight: float = 3.0,
        recalibrate: bool = True,
        max_components: int | None = None,
        n_folds: int = 5,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.estimators = estimators
        self.n_components = n_components
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.covariance_type = covariance_type
        self.max_iter = max_iter
        self.min_scale = min_scale
        self.crps_weight = crps_weight
        self.recalibrate = recalibrate
        self.max_components = max_components
        self.n_folds = n_folds
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the conditional density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; those of weight zero are as good as absent. The
            process takes them as precisions; regressors of your own that take no
            weights are fitted without.

        groups : array-like of shape (n_samples,), default=None
            Which samples belong together: no model predicts a sample if it has seen one
            of its group.

        Returns
        -------
        self : StackingConditionalDensity
            The fitted estimator.

        Raises
        ------
        ValueError
            If `estimators` has a word that there is not, or a name twice.

        TypeError
            If an estimator is no regressor and tells no distribution.
        """
        with FitTask(self, X, y, sample_weight, n_steps=None) as task:
            if groups is not None:
                check_consistent_length(X, groups)
            given = X
            X, Y, sample_weight, units, kept = self._check_fit(X, y, sample_weight)
            groups = None if groups is None else to_numpy(groups)[kept]
            self.tie_share_ = float(tie_shares(Y)[0].max())
            random_state = check_random_state(self.random_state)
            named = as_given(self, given, X)
            raw = X.astype(np.float64) if named is X else _safe_indexing(named, kept)
            rows = self._rows(raw, X, Y, sample_weight, groups, units, random_state)
            tell = partial(task.step, "part")
            stacking = self._stacking(rows, units[1], random_state, tell)
            choice = units, self.crps_weight, self.recalibrate
            self._model = task.learn(StackedConditional, stacking.fit, *choice)
            task.end(self._record, stacking, rows)
        for name, reason in stacking.dropped.items():
            self._warn(f"the member {name!r} was dropped: {reason}.", UserWarning)
        self._warn(stacking.complaint)
        return self

    def _rows(self, raw, X, Y, sample_weight, groups, units, random_state):
        """Return samples in standard units, with folds that keep groups together."""
        names, group = (), np.zeros(len(X), int)
        if groups is not None:
            names, group = np.unique(groups, return_inverse=True)
            group = group.ravel()
        if len(names) == 1:
            self._warn(
                "groups has one value only, so that nothing could be held out; samples "
                "are taken as independent of each other. Give finer groups.",
                UserWarning,
            )
        X = X.astype(np.float64)
        first, copy = copies(X, Y, group)
        kept = np.sort(first)
        X, Y, group = X[kept], Y[kept], group[kept]
        weights = np.bincount(copy, sample_weight), np.bincount(copy)
        weight, counts = (each[np.argsort(first)] for each in weights)
        if len(names) < 2:
            group = np.arange(len(X))
        n_folds = min(self.n_folds, int(group.max()) + 1)
        fold = deal(group, n_folds, random_state)
        if len(names) > 1:
            # Groups may be of any size.
            folds = GroupKFold(n_folds).split(X, groups=group)
            for k, (_, held) in enumerate(folds):
                fold[held] = k
        if SHARED_CONTEXTS * len(distinct(X)[0]) <= group.max() + 1:
            # The mean of all others with one context tells which one is left out.
            group = fold
        return Samples(
            Standardization(*units[0]).forward(X),
            (Y - units[1][0]) / units[1][1],
            weight / weight.mean(),
            group,
            fold,
            _safe_indexing(raw, kept),
            sample_weight is not None or bool((counts > 1).any()),
            counts,
        )

    def _stacking(self, rows, y_units, random_state, tell):
        """Return the fit of a stack to be."""
        network = MixtureNetwork(
            self.n_components,
            hidden_layer_sizes=check_layers(self.hidden_layer_sizes),
            n_members=rows.n_folds,
            covariance_type=self.covariance_type,
            max_iter=self.max_iter,
            min_scale=self.min_scale,
        )
        n_columns = rows.X.shape[1] + rows.Y.shape[1]
        fits = check_members(self.estimators, y_units, n_columns)
        if "network" in fits or len(rows.X) >= FEWEST_ROWS:
            check_torch(type(self).__name__)
        n_repeats = max(1, round(self.n_members / rows.n_folds))
        run = Runner(self.n_jobs, self.verbose, type(self).__name__)
        return Stacking(rows, fits, network, n_repeats, random_state, run, tell)

    def _record(self, stacking, rows):
        """Store how the density was reached."""
        model, held_out = self._model, stacking.held_out
        scale = model.y_units[1]
        self.member_names_ = list(stacking.members)
        self.pool_weights_ = model.weights
        self.width_ = model.calibration.width
        log_prob = np.average(held_out.log_prob(rows.Y), weights=rows.weight)
        self.oof_nll_ = float(np.log(scale).sum() - log_prob)
        each = {"sample_weight": rows.weight, "multioutput": "raw_values"}
        self.oof_crps_ = float(np.mean(scale * crps(rows.Y, held_out, **each)))
        covered = interval_coverage(rows.Y, held_out, coverage=COVERAGE, **each)
        self.oof_coverage_ = float(np.mean(covered))
        self.member_rmse_ = {
            name: self._rmse(prediction, rows, scale)
            for name, prediction in stacking.predictions.items()
        }
        self.best_steps_ = stacking.best_steps
        self.n_iter_ = max([1, *(int(s.max()) for s in self.best_steps_.values())])
        self.fit_times_ = stacking.seconds

    def _rmse(self, prediction, rows, scale):
        square = (prediction.means[..., 0] - rows.Y) ** 2
        rmse = scale * np.sqrt(np.average(square, axis=0, weights=rows.weight))
        return float(rmse[0]) if self._y_ndim == 1 else rmse

    def _check_predict(self, X):
        rows = super()._check_predict(X)
        return as_given(self, X, rows.astype(np.float64, copy=False))

    def _mixture_of(self, X):
        """Return the mixtures of checked samples in the units of the targets."""
        mixture = self._model.predict_mixture(X)
        if self.max_components is None:
            return mixture
        return mixture.reduce(min(self.max_components, mixture.n_components))

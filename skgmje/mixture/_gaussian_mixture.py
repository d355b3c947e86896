"""Gaussian mixtures by expectation-maximisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skgmje._backend import from_tensor
from skgmje._callbacks import Change, FitTask
from skgmje._parallel import Runner
from skgmje._sklearn import Interval, StrOptions, _fit_context, available_if
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import ListOf, TypeOptions, as_blocks
from skgmje.em._covariance_models import (
    MODELS,
    SYNONYMS,
    count_parameters,
    is_open,
    layout_of,
    model_name,
    types_of,
)
from skgmje.em._em import (
    SHRINKAGE_TARGETS,
    as_mixture,
    begin,
    e_step,
    make_prior,
    maximise,
)
from skgmje.em._missing import expectation, fill
from skgmje.em._select import STARTS, fit_selected, select_mixture
from skgmje.em._start import start_mixture
from skgmje.em._stepwise import blend, implied_stats
from skgmje.gaussian._checks import check_single
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import (
    AMOUNT,
    AUTO,
    COUNT,
    NoisyDensityMixin,
    check_goes_on,
    mixture_attributes,
)
from skgmje.mixture._criteria import is_searched, search
from skgmje.mixture._few_samples import (
    warn_of_few_expected,
    warn_of_few_samples,
    warn_of_small_units,
)
from skgmje.mixture._fit_rows import (
    check_takes_noise,
    chunks_of,
    fit_rows,
    regularisation,
)
from skgmje.mixture._settled import warn_about
from skgmje.mixture._starts import Starts, given_start, override

Criterion = Literal["held-out", "bic", "icl", "stability"]
CRITERION = StrOptions(set(get_args(Criterion)))


class GaussianMixture(NoisyDensityMixin, BaseEstimator):
    r"""Gaussian mixture with shrunken covariances, missing values and weights.

    The drop-in for :class:`sklearn.mixture.GaussianMixture`: with its defaults
    it reaches the same optimum from the same start. Beyond it, covariances
    shrink towards the pooled within-covariance with the weight of `shrinkage`
    samples, settings can be chosen by held-out likelihood (``"auto"``), samples may
    have weights, missing entries (NaN) and measurement errors (`noise` of
    :meth:`fit`), by exact EM, and data may come in chunks (:meth:`partial_fit`).

    .. math:: p(x) = \sum_k w_k\, N(x; m_k, \Sigma_k), \qquad
        \Sigma_k = \frac{S_k + s\, T_k}{N_k + s} + \epsilon I

    Parameters
    ----------
    n_components : int or 'auto', default=1
        Number of components.

    covariance_type : str or list of str, default='full'
        Shape of the covariances: 'full', 'tied', 'diag', 'spherical', 'low-rank'
        (`rank` factors plus a diagonal), or one of fourteen models; a list of these,
        'models' (all fourteen) or 'auto' is what `criterion` chooses from. A model
        says by three letters whether the components' volumes, shapes and orientations
        are Equal, Variable, or those of the Identity: 'EII', 'VII' ('spherical'),
        'EEI', 'VEI', 'EVI', 'VVI' ('diag'), 'EEE' ('tied'), 'VEE', 'EVE', 'VVE', 'EEV',
        'VEV', 'EVV' and 'VVV' ('full'). 'tied-diag' is 'EEI', 'tied-spherical' 'EII'.

    tol : float, default=1e-3
        Stop when the mean log-likelihood gains less, in nats.

    reg_covar : float or 'auto', default=1e-6
        Added to the diagonal of every covariance, in squared units of `X`;
        'auto' is a millionth of each feature's variance.

    max_iter : int, default=100
        Largest number of EM iterations; 0 gives the start itself.

    n_init : int, default=1
        Number of starts; the best likelihood is kept, of those of a pool the best
        whose components are no spikes.

    init_params : str or callable, default='kmeans'
        First responsibilities: 'kmeans', 'k-means++', 'random', 'random_from_data',
        or 'auto'. The last is a pool: k-means and Ward's agglomeration of
        the features as they are, standardized and whitened give up to 20 partitions,
        which get a few steps of EM each, on at most 2000 samples or 64 per component,
        the better ones more; the `n_init` best go on. It takes the place of 'kmeans'
        where a setting is 'auto', too. A callable gets `X`, with its NaN, and returns
        labels or responsibilities.

    weights_init : array-like of shape (n_components,), default=None
        First weights.

    means_init : array-like of shape (n_components, n_features), default=None
        First means.

    precisions_init : array-like, default=None
        First precisions, in the shape that `covariance_type` has.

    random_state : int, RandomState instance or None, default=None
        Controls starts, folds and :meth:`sample`.

    warm_start : bool, default=False
        Whether :meth:`fit` begins at the last solution. Its lower bound counts, so
        that calls of one iteration converge, too.

    verbose : int, default=0
        Print the likelihood every `verbose_interval` iterations, and at the end; and
        how far a search is.

    verbose_interval : int, default=10
        Iterations between two lines.

    shrinkage : float or 'auto', default=0
        Pseudo-count s of the target :math:`T_k`, in samples; 0 is maximum
        likelihood. Below ten samples per feature the s samples also shrink all
        correlations towards zero. 'auto' is chosen by held-out likelihood, as is 0
        where samples are so few and another setting is 'auto'.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        The pooled within-covariance, or that of the eight nearest components.

    annealing : float or None, default=None
        First power of the densities, in (0, 1); it rises to 1 over 20
        iterations. Worth a try from 8 features on, harmful below.

    rank : int, default=4
        Number of factors of 'low-rank' covariances, at most n_features.

    background : bool, default=False
        Whether a constant density over the box around the samples stands beside the
        components, with a weight of its own: :meth:`predict` says -1 there, and
        :meth:`predict_proba` has a last column of it. Such a fit takes three starts at
        least. What is then no Gaussian mixture has no `mixture_`, no :meth:`condition`,
        no :meth:`marginal` and no :meth:`impute`. Outside the box there are components
        only.

    criterion : {'held-out', 'bic', 'icl', 'stability'} or list, default='held-out'
        What chooses the settings that are 'auto', or lists: the log-likelihood of
        samples held out, for densities; for clusters :meth:`bic` or :meth:`icl` of all
        samples, or how alike (adjusted Rand index) fits to parts of the samples
        cluster all: BIC chooses the models, and among numbers as stable. The latter
        three, and lists, of which the first chooses and the others are columns of
        `cv_results_`, take 'auto' for all models; they begin at the pool of
        `init_params`, on at most 5000 samples, and pass over fits with spikes:
        components of no more than n_features samples or a nearly singular covariance.
        With 'held-out' it is 'full', 'tied', 'diag' and, of ten samples, 'spherical'.

    n_jobs : int, default=None
        Number of processes of a search.

    Attributes
    ----------
    n_components_ : int
        Number of components, chosen if `n_components` was 'auto'.

    weights_ : ndarray of shape (n_components,)
        Weights of the components.

    means_ : ndarray of shape (n_components, n_features)
        Means of the components.

    covariances_ : ndarray or tuple of ndarray
        Covariances: (n_components, n_features, n_features) if full, (n_features,
        n_features) if tied, (n_components, n_features) if diag, (n_components,)
        if spherical, and the pair of factors (n_components, n_features, rank)
        and diagonals (n_components, n_features) if low-rank.

    covariance_type_ : str
        The covariance type in whose shape `covariances_` are, chosen if it was
        'auto': of a model the simplest that holds it, such as 'full' for 'VEV'.

    model_ : str
        The letters of the model, 'VVV' for 'full' and so on; or 'low-rank'.

    shrinkage_ : float
        The pseudo-count, chosen if it was 'auto'.

    precisions_cholesky_ : ndarray or tuple of ndarray
        Cholesky factors of the precisions.

    precisions_ : ndarray
        Inverse covariances.

    mixture_ : Mixture
        The density as a value with marginals, conditionals and distances.

    background_weight_ : float
        Weight of the background; `weights_` are those of the components in the rest.

    background_box_ : ndarray of shape (2, n_features)
        Corners of the box of the background.

    converged_ : bool
        Whether the best start converged.

    n_iter_ : int
        Number of iterations of the best start.

    lower_bound_ : float
        Mean log-likelihood of the samples before the last M-step, in nats; -inf after
        none.

    lower_bounds_ : list of float
        The same for each iteration.

    cv_results_ : dict
        Table of the candidates, if settings were chosen: larger `mean_test_score` are
        better. It always has `n_parameters`, those that are free; `held_out` and its
        standard error `held_out_error`, or `stability`, if `criterion` names them (NaN
        where fewer than five distinct samples leave none to hold out); and `bic`,
        `icl`, `log_likelihood` and `sound` (no spikes) unless that is 'held-out'.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    KernelMixtureDensity : Centers placed by a kernel matrix cost.
    sklearn.mixture.GaussianMixture : Plain maximum likelihood.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery, "Bayesian Regularization for Normal
       Mixture Estimation and Model-Based Clustering", 2007.
    .. [2] Z. Ghahramani and M. I. Jordan, "Supervised learning from incomplete
       data via an EM approach", 1994.
    .. [3] O. Cappé and E. Moulines, "On-line expectation-maximization
       algorithm for latent data models", 2009.
    .. [4] J. Bovy, D. W. Hogg and S. T. Roweis, "Extreme deconvolution", Annals of
       Applied Statistics 5, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.mixture import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, np.nan], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
    >>> np.sort(mixture.means_[:, 0]).round(2).tolist()
    [1.0, 10.0]
    >>> mixture.predict([[0, 0]]) == mixture.predict([[2, np.nan]])
    array([ True])
    """

    _missing = "marginal"

    model_: str
    shrinkage_: float
    background_weight_: float
    background_box_: NDArray[Any]
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    cv_results_: dict[str, Any]

    _parameter_constraints: dict = {
        "n_components": [COUNT, AUTO],
        "covariance_type": [
            TypeOptions(),
            StrOptions({*MODELS, *SYNONYMS, "models"}),
            ListOf(TypeOptions(is_free=False), StrOptions({*MODELS, *SYNONYMS})),
        ],
        "tol": [AMOUNT],
        "reg_covar": [AMOUNT, AUTO],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [COUNT],
        "init_params": [StrOptions({*STARTS, "auto"}), callable],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [COUNT],
        "shrinkage": [AMOUNT, AUTO],
        "shrinkage_target": [StrOptions(set(SHRINKAGE_TARGETS))],
        "annealing": [Interval(Real, 0, 1, closed="neither"), None],
        "rank": [COUNT],
        "background": ["boolean"],
        "criterion": [CRITERION, ListOf(CRITERION)],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = 1,
        *,
        covariance_type: str | Sequence[str] = "full",
        tol: float = 1e-3,
        reg_covar: float | Literal["auto"] = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Literal[
            "kmeans", "k-means++", "random", "random_from_data", "auto"
        ]
        | Callable[..., Any] = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        shrinkage: float | Literal["auto"] = 0,
        shrinkage_target: Literal["pooled", "neighbors"] = "pooled",
        annealing: float | None = None,
        rank: int = 4,
        background: bool = False,
        criterion: Criterion | Sequence[Criterion] = "held-out",
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.shrinkage = shrinkage
        self.shrinkage_target = shrinkage_target
        self.annealing = annealing
        self.rank = rank
        self.background = background
        self.criterion = criterion
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        noise: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The samples; NaN means missing. A feature without any value raises
            ValueError, a sample without any is as good as absent. Of a Dask array
            or dataframe the start and what is 'auto' come from a random part, EM
            sees all rows.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        noise : array-like, default=None
            Variances, of the shape of `X`, or covariances, (n_samples, n_features,
            n_features), of the measurement errors of the samples, in
            squared units of `X`: the mixture is the density without them. Where
            an entry is NaN its noise plays no role. It does not go with
            ``background=True``, nor what is 'auto' with another `criterion` or Dask.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        n_steps = self.n_init * self.max_iter
        with FitTask(self, X, y, sample_weight, n_steps=n_steps) as task:
            X, weight, noise = fit_rows(self, X, sample_weight, noise)
            settings = self.n_components, self.covariance_type, self._asked_shrinkage(X)
            automatic, goes_on = any(map(is_open, settings)), self._goes_on()
            if noise is not None:
                check_takes_noise(self, X, automatic)
            searched = is_searched(self, automatic)
            random_state = check_random_state(self.random_state)
            starts = Starts(self, X, weight, noise, random_state, automatic=automatic)
            last_bound = self._last_bound() if goes_on else None
            listens = self.verbose or task.has_listeners
            selection, result = fit_selected(
                X,
                settings,
                random_state,
                sample_weight=weight,
                part=starts.part,
                draw=starts.draw,
                n_init=1 if goes_on else max(self.n_init, 3 if self.background else 1),
                proven=searched and not goes_on,
                select=partial(self._select, searched, starts.clean[1]),
                key=starts.rank,
                background=starts.background,
                noise=noise,
                work=task,
                callback=partial(self._report, task) if listens else None,
                last_bound=last_bound,
                annealing=self.annealing,
                tol=self.tol,
                max_iter=self.max_iter,
                **starts.rules,
            )
            task.end(self._store, result, selection, starts.rules["reg_covar"])
        if self.verbose:
            print(f"{result.n_iter} iterations: log-likelihood {self.lower_bound_:.6f}")
        warn_about(result, selection.n_components, self.tol, last_bound)
        if automatic:
            warn_of_small_units(self, *starts.part)
        self._warn_of_few_samples(X, weight, noise, selection, result.stats)
        return self

    def fit_predict(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        noise: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Fit the mixture and find the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        noise : array-like, default=None
            Their measurement errors, see :meth:`fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Equal to ``fit(X, noise=noise).predict(X, noise=noise)``.
        """
        self.fit(X, sample_weight=sample_weight, noise=noise)
        return self.predict(X, noise=noise)

    def _warn_of_few_samples(self, X, weight, noise, selection, stats):
        """Warn if samples are few for what was fitted, with figures."""
        if self.background:
            warn_of_few_expected(self, X.shape[0], stats.weight + stats.background)
        else:
            how = self._reg_covar, selection.held_out, noise
            warn_of_few_samples(self, X, weight, *how)

    def _select(self, searched, start_weight, X, **settings):
        """Choose settings by the criterion."""
        # The large fits of folds keep their threads.
        limits = None if self.n_jobs is None and not searched else 1
        settings["run"] = Runner(self.n_jobs, self.verbose, "GaussianMixture", limits)
        # Processes get copies without gaps, whose sums have other last digits.
        X = np.ascontiguousarray(X)
        try:
            if searched:
                return search(X, criterion=self.criterion, **settings)
            return select_mixture(X, start_weight=start_weight, **settings)
        except KeyboardInterrupt as stop:
            # No settings have been chosen, so that nothing has been learned.
            raise KeyboardInterrupt(*stop.args) from stop

    def _asked_shrinkage(self, X):
        """Return `shrinkage`, or 'auto' where so few samples need some."""
        if self.criterion != "held-out":
            if self.shrinkage == "auto":
                raise ValueError(
                    "shrinkage='auto' is chosen by held-out log-likelihood, and not "
                    f"by criterion={self.criterion!r}. Give a number, such as 0, or "
                    "set criterion='held-out'."
                )
            return self.shrinkage
        few = X.shape[0] < FEW_ROWS_PER_FEATURE * X.shape[1] and X.shape[1] > 1
        # Of few samples maximum likelihood is no automatic choice.
        return "auto" if few and not self._fixes_shrinkage() else self.shrinkage

    def _fixes_shrinkage(self):
        """Return whether no samples, however few, choose the shrinkage."""
        automatic = self.n_components, self.covariance_type, self.reg_covar
        if self.shrinkage == 0:
            return not any(map(is_open, automatic))
        return self.shrinkage != "auto"

    def _goes_on(self):
        """Return whether the fit begins at the last solution."""
        return self.warm_start and hasattr(self, "means_")

    def _last_solution(self, call, remedy, n_features, size=None, kind=None):
        """Return the mixture to go on from, if it is of the settings asked for."""
        mixture = self._gaussians
        own = mixture.n_components, self._model(mixture)
        # Components that have died count; by hand there may be no fit before.
        own_size, own_kind = vars(self).get("_asked", own)
        rank = COVARIANCE_TYPES[mixture.covariance_type].rank(mixture.covariances)
        kind = self.covariance_type if kind is None else kind
        kinds = map(model_name, types_of(kind, n_features))
        known = {
            "n_components": own_size,
            "covariance_type": own_kind,
            "n_features": mixture.n_features,
            "rank": rank,
        }
        asked = {
            "n_components": self.n_components if size is None else size,
            "covariance_type": own_kind if model_name(own_kind) in kinds else kind,
            "n_features": n_features,
            "rank": rank and min(self.rank, n_features),
        }
        check_goes_on(call, known, asked, remedy)
        return mixture

    def _initialize(self, X, resp):
        """Begin at responsibilities, under the name that scikit-learn has for it."""
        reg_covar = regularisation(self.reg_covar, X, None)
        start = start_mixture(X, resp, self.covariance_type, reg_covar=reg_covar)
        shape = start.means.shape
        given = given_start(self, self.covariance_type, shape)
        self._set_mixture(override(start, given, shape))

    def _get_parameters(self):
        return *self._parameters()[:3], self.precisions_cholesky_

    def _set_parameters(self, params):
        self.weights_, self.means_, self.covariances_ = params[:3]

    def _n_parameters(self):
        return self._count_parameters()

    def _count_parameters(self):
        mixture = self._gaussians
        own = count_parameters(mixture, self._model(mixture))
        return own + self._has_background

    def _model(self, mixture):
        """Return the name of the model that a mixture of this estimator is of."""
        for name in (vars(self).get("model_"), self.covariance_type):
            if isinstance(name, str) and layout_of(name) == mixture.covariance_type:
                return name
        # By hand, as scikit-learn allows.
        return mixture.covariance_type

    def _last_bound(self):
        """Return the last lower bound, if it is one of what is maximized now."""
        same = vars(self).get("_objective") == self._settings_of_bound()
        return vars(self).get("lower_bound_") if same else None

    def _settings_of_bound(self):
        return tuple(repr(getattr(self, name)) for name in BOUND_SETTINGS)

    def _store(self, result, selection, reg_covar):
        self._set_mixture(result.mixture)
        self._objective = self._settings_of_bound()
        self._asked = selection.n_components, selection.covariance_type
        self.model_ = model_name(selection.covariance_type)
        self._weight_seen, self._reg_covar = result.stats.weight, reg_covar
        self.shrinkage_ = float(selection.shrinkage)
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.lower_bounds_ = result.lower_bounds
        self.lower_bound_ = result.lower_bounds[-1] if result.n_iter else -np.inf
        for name in ("_stats", "cv_results_", "background_weight_", "background_box_"):
            vars(self).pop(name, None)
        if result.background is not None:
            *corners, self.background_weight_ = result.background
            self.background_box_ = np.stack(corners)
        if selection.cv_results is not None:
            self.cv_results_ = selection.cv_results

    def _report(self, task, n_iter, lower_bound, mixture):
        if self.verbose and n_iter % self.verbose_interval == 0:
            print(f"Iteration {n_iter}: log-likelihood {lower_bound:.6f}")
        return task.step("iteration", partial(mixture_attributes, mixture))

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike | tuple[ArrayLike, ...],
        covariance_type: str = "full",
    ) -> GaussianMixture:
        """Return a fitted estimator with known parameters.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights of the components.

        means : array-like of shape (n_components, n_features)
            Means of the components.

        covariances : array-like or tuple of array-like
            Covariances, in the shape that `covariance_type` has.

        covariance_type : str, default='full'
            Covariance type.

        Returns
        -------
        estimator : GaussianMixture
            Ready to score and sample.
        """
        parts = weights, np.asarray(from_tensor(means), np.float64), covariances
        kind = layout_of(covariance_type)
        mixture = check_single(Mixture(*map(from_tensor, parts), kind))
        estimator = cls(mixture.n_components, covariance_type=covariance_type)
        rank = COVARIANCE_TYPES[kind].rank(mixture.covariances)
        if rank is not None:
            estimator.rank = rank
        estimator._adopt(mixture)
        return estimator

    def _adopt(self, mixture):
        """Take a mixture that no fit has found."""
        self._set_mixture(mixture)
        self._asked = mixture.n_components, self._model(mixture)
        self.model_ = model_name(self._asked[1])
        self._weight_seen = 0.0
        self.n_features_in_ = mixture.n_features
        self.shrinkage_, self.converged_, self.n_iter_ = 0.0, True, 0
        self.lower_bound_, self.lower_bounds_ = -np.inf, []

    def impute(self, X: ArrayLike) -> NDArray[Any]:
        """Replace missing entries by their expectation given the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing. One without any value becomes the mean
            of the mixture.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            A copy without NaN.

        Raises
        ------
        TypeError
            If the fit has a background: it is no Gaussian mixture.
        """
        return fill(self.mixture_, self._check_predict(X), expectation)

    def _added(self, X, weight):
        """Return what M-steps add to variances from now on, and what they did add."""
        known = vars(self).get("_reg_covar")
        if known is not None and self.reg_covar == "auto":
            return known, known
        asked = regularisation(self.reg_covar, X, weight)
        return asked, asked if known is None else known

    def _takes_chunks(self):
        if self.background:
            raise AttributeError(
                "background=True is learned by fit, from all samples at once; set "
                "background=False for partial_fit."
            )
        return True

    @available_if(_takes_chunks)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        noise: ArrayLike | None = None,
    ) -> Self:
        """Update the mixture with a chunk of samples, by stepwise EM.

        A fitted mixture is the start; without one the first chunk is fitted as
        by :meth:`fit`, which also settles what is 'auto'. Chunks are mixed into
        the sufficient statistics; older ones fade slowly, so that a drifting
        stream is followed. Another `n_components`, `covariance_type` or `rank` than
        the mixture has raises ValueError. A chunk that Ctrl-C interrupts is as if not
        given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The chunk; NaN means missing. The first needs `n_components` samples,
            and a value of each feature, which later ones may lack. Of a Dask array or
            dataframe, each block is a chunk.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        noise : array-like, default=None
            Their measurement errors, see :meth:`fit`.

        Returns
        -------
        self : object
            The updated estimator.
        """
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            for rows, weight, own in chunks_of(blocks, noise):
                self.partial_fit(rows, sample_weight=weight, noise=own)
            return self
        if not hasattr(self, "means_"):
            return self.fit(X, sample_weight=sample_weight, noise=noise)
        if self._has_background:
            raise ValueError(
                "partial_fit does not go on from a fit with background=True, of which "
                "a part of the samples is the background. Call fit with "
                "background=False first, which begins anew."
            )
        with Change(self):
            if "_weight_seen" not in vars(self):
                self._adopt(self.mixture_)
            X, weight, noise = fit_rows(self, X, sample_weight, noise, reset=False)
            words = "partial_fit", "call fit, which begins anew"
            mixture, kind = self._last_solution(*words, X.shape[1]), self._kind()
            reg_covar, added = self._added(X, weight)
            samples, kernel = begin(X, mixture, weight, added, noise)
            stats = fresh = e_step(kernel, samples)
            old, seen = vars(self).get("_stats"), self._weight_seen
            if old is None and seen:
                old = implied_stats(kernel, mixture, seen, added)
            if old is not None:
                stats = blend(kernel, old, fresh)
            if self._fixes_shrinkage():
                self.shrinkage_ = float(self.shrinkage)
            rules = self.shrinkage_, self.shrinkage_target, reg_covar
            prior = make_prior(self.n_features_in_, *rules, self._model(mixture))
            kernel, _ = maximise(kernel, stats, prior, kind, drop=False)
            self._set_mixture(as_mixture(kernel, kind))
            self._stats, self._reg_covar = stats, reg_covar
            self.n_iter_ += 1
            self.lower_bound_ = fresh.log_likelihood / fresh.weight
            self.lower_bounds_ = [*self.lower_bounds_, self.lower_bound_]
        return self


# With other ones a lower bound says nothing of convergence.
BOUND_SETTINGS = (
    "shrinkage",
    "shrinkage_target",
    "reg_covar",
    "annealing",
    "background",
)

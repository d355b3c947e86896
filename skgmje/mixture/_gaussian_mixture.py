"""Gaussian mixtures by expectation-maximisation."""

from functools import partial
from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skgmje._callbacks import Change, FitTask
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._validation import as_blocks
from skgmje.em._e_step import missing_moments, statistics_pass
from skgmje.em._em import (
    SHRINKAGE_TARGETS,
    EMResult,
    expectation_maximization,
    make_prior,
    maximise,
)
from skgmje.em._kmeans import STARTS, draw_start
from skgmje.em._select import Selection, select_mixture
from skgmje.em._stepwise import blend
from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._loops import FEW_ROWS_PER_FEATURE, Statistics
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import MixtureDensityMixin, mixture_attributes
from skgmje.mixture._fitting import (
    fit_rows,
    last_solution,
    override,
    regularisation,
    start_rows,
    warn_about,
    warn_of_few_samples,
)


class GaussianMixture(MixtureDensityMixin, BaseEstimator):
    r"""Gaussian mixture with shrunken covariances, missing values and weights.

    The drop-in for :class:`sklearn.mixture.GaussianMixture`: with its defaults
    it reaches the same optimum from the same start. Beyond it, covariances
    shrink towards the pooled within-covariance with the weight of `shrinkage`
    rows, settings can be chosen by held-out likelihood (``"auto"``), rows may
    have weights and missing entries (NaN, by exact EM), and data may come in
    chunks (:meth:`partial_fit`).

    .. math:: p(x) = \sum_k w_k\, N(x; m_k, \Sigma_k), \qquad
        \Sigma_k = \frac{S_k + s\, T_k}{N_k + s} + \epsilon I

    Parameters
    ----------
    n_components : int or 'auto', default=1
        Number of components.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low-rank', 'auto'}, \
            default='full'
        Shape of the covariances; 'low-rank' is `rank` factors plus a diagonal.

    tol : float, default=1e-3
        Stop when the mean log-likelihood gains less, in nats.

    reg_covar : float or 'auto', default=1e-6
        Added to the diagonal of every covariance, in squared units of `X`;
        'auto' is a millionth of each feature's variance.

    max_iter : int, default=100
        Largest number of EM iterations.

    n_init : int, default=1
        Number of starts; the best likelihood is kept.

    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, \
            default='kmeans'
        First responsibilities. Where a setting is 'auto', k-means runs on
        standardised features.

    weights_init : array-like of shape (n_components,), default=None
        First weights.

    means_init : array-like of shape (n_components, n_features), default=None
        First means.

    precisions_init : array-like, default=None
        First precisions, in the shape that `covariance_type` has.

    random_state : int, RandomState instance or None, default=None
        Controls starts, folds and :meth:`sample`.

    warm_start : bool, default=False
        Whether :meth:`fit` begins at the last solution.

    verbose : int, default=0
        Print the likelihood every `verbose_interval` iterations.

    verbose_interval : int, default=10
        Iterations between two lines.

    shrinkage : float or 'auto', default=0
        Pseudo-count s of the target :math:`T_k`, in rows; 0 is maximum
        likelihood. Below ten samples per feature the s rows also shrink all
        correlations towards zero. 'auto' is chosen by held-out likelihood, as is 0
        where samples are so few and another setting is 'auto'.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        The pooled within-covariance, or that of the eight nearest components.

    annealing : float or None, default=None
        First power of the densities, in (0, 1); it rises to 1 over 20
        iterations. Worth a try from 8 features on, harmful below.

    rank : int, default=4
        Number of factors of 'low-rank' covariances, at most n_features.

    checkpoint_dir : str, path-like or None, default=None
        Folder in which EM keeps its state: after a crash the same fit goes on from
        there, to the same bits. One folder per fit, an integer `random_state`;
        needs the extra ``io``.

    Attributes
    ----------
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
        The covariance type, chosen if it was 'auto'.

    shrinkage_ : float
        The pseudo-count, chosen if it was 'auto'.

    precisions_cholesky_ : ndarray or tuple of ndarray
        Cholesky factors of the precisions.

    precisions_ : ndarray
        Inverse covariances.

    mixture_ : Mixture
        The density as a value with marginals, conditionals and distances.

    converged_ : bool
        Whether the best start converged.

    n_iter_ : int
        Number of iterations of the best start.

    lower_bound_ : float
        Mean log-likelihood of the rows before the last M-step, in nats.

    lower_bounds_ : list of float
        The same for each iteration.

    cv_results_ : dict
        Held-out log-likelihoods of the candidates, if a setting was 'auto'.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when `X`
        has feature names that are all strings.

    See Also
    --------
    KernelMixtureDensity : Centres placed by a kernel matrix cost.
    sklearn.mixture.GaussianMixture : Plain maximum likelihood.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery, "Bayesian Regularization for Normal
       Mixture Estimation and Model-Based Clustering", 2007.
    .. [2] Z. Ghahramani and M. I. Jordan, "Supervised learning from incomplete
       data via an EM approach", 1994.
    .. [3] O. Cappé and E. Moulines, "On-line expectation-maximization
       algorithm for latent data models", 2009.

    Examples
    --------
    >>> import numpy as np

    >>> X = np.array([[1, 2], [1, 4], [1, np.nan], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(mixture.means_[:, 0]).round(2).tolist()
    [1.0, 10.0]
    >>> mixture.predict([[0, 0]]) == mixture.predict([[2, np.nan]])
    array([ True])
    """

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "covariance_type": [StrOptions({*COVARIANCE_TYPES, "auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "reg_covar": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS) - {"kmeans-scaled"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "shrinkage_target": [StrOptions(set(SHRINKAGE_TARGETS))],
        "annealing": [Interval(Real, 0, 1, closed="neither"), None],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_dir": [str, PathLike, None],
    }

    def __init__(
        self,
        n_components=1,
        *,
        covariance_type="full",
        tol=1e-3,
        reg_covar=1e-6,
        max_iter=100,
        n_init=1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        precisions_init=None,
        random_state=None,
        warm_start=False,
        verbose=0,
        verbose_interval=10,
        shrinkage=0,
        shrinkage_target="pooled",
        annealing=None,
        rank=4,
        checkpoint_dir=None,
    ):
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
        self.checkpoint_dir = checkpoint_dir

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
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

        Returns
        -------
        self : object
            The fitted estimator.
        """
        n_steps = self.n_init * self.max_iter
        with FitTask(self, X, y, sample_weight, n_steps=n_steps) as task:
            X, weight = fit_rows(self, X, sample_weight)
            task.checkpoint = self._open_checkpoint(X, weight, *self._goes_on())
            random_state = check_random_state(self.random_state)
            reg_covar = regularisation(self.reg_covar, X, weight)
            part = start_rows(self, X, weight, random_state)
            # Of all samples: a part may lack all values of a feature.
            prior = {"reg_covar": reg_covar, "moments": missing_moments(X, weight)}
            selection = self._select(*part, prior, random_state)
            starts = self._starts(*part, prior, selection, random_state)
            best = self._best(task, X, weight, starts, selection, reg_covar)
            task.end(self._store, best, selection, reg_covar)
        warn_about(best, selection.n_components, self.tol)
        warn_of_few_samples(X, weight, self.mixture_, self.shrinkage_, reg_covar)
        return self

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit the mixture and find the most probable component of each sample.

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
        labels : ndarray of shape (n_samples,)
            Equal to ``fit(X).predict(X)``.
        """
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def _select(self, X, weight, prior, random_state):
        shrinkage = self.shrinkage
        few = len(X) < FEW_ROWS_PER_FEATURE * X.shape[1] and X.shape[1] > 1
        automatic = self.n_components, self.covariance_type, self.reg_covar
        if not shrinkage and few and "auto" in automatic:
            # Of few samples maximum likelihood is no automatic choice.
            shrinkage = "auto"
        wanted = (self.n_components, self.covariance_type, shrinkage)
        if "auto" not in wanted:
            return Selection(*wanted, cv_results=None, start=None)
        return select_mixture(
            X,
            n_components=self.n_components,
            covariance_type=self.covariance_type,
            shrinkage=shrinkage,
            sample_weight=weight,
            random_state=random_state,
            shrinkage_target=self.shrinkage_target,
            annealing=self.annealing,
            tol=self.tol,
            max_iter=self.max_iter,
            rank=self.rank,
            **prior,
        )

    def _goes_on(self):
        """Return the parameters that ``warm_start=True`` goes on from, if any."""
        if not (self.warm_start and hasattr(self, "means_")):
            return ()
        return self.weights_, self.means_, self.precisions_

    def _starts(self, X, weight, prior, selection, random_state):
        if self._goes_on():
            yield last_solution(self, X, selection)
            return
        kmeans = self.init_params == "kmeans"
        proven = selection.start is not None and kmeans
        if proven:
            yield selection.start
        scaled = selection.cv_results is not None and kmeans
        for _ in range(self.n_init - proven):
            start = draw_start(
                X,
                weight,
                selection.n_components,
                "kmeans-scaled" if scaled else self.init_params,
                random_state,
                covariance_type=selection.covariance_type,
                shrinkage=selection.shrinkage,
                shrinkage_target=self.shrinkage_target,
                rank=self.rank,
                **prior,
            )
            yield override(
                start, self.weights_init, self.means_init, self.precisions_init
            )

    def _best(self, task, X, weight, starts, selection, reg_covar):
        """Run EM from each start; return the best result, or the best by Ctrl-C."""
        best = None
        try:
            for i, start in enumerate(starts):
                result = task.learn(
                    EMResult,
                    expectation_maximization,
                    X,
                    start,
                    sample_weight=weight,
                    shrinkage=selection.shrinkage,
                    shrinkage_target=self.shrinkage_target,
                    annealing=self.annealing,
                    reg_covar=reg_covar,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    checkpoint=task.checkpoint and task.checkpoint.part(f"start-{i}"),
                    callback=partial(self._report, task),
                )
                if best is None or result.lower_bounds[-1] > best.lower_bounds[-1]:
                    best = result
                if task.when:
                    break
        except KeyboardInterrupt:
            if best is None:
                raise
            task.when = f"before EM had begun at another of n_init={self.n_init} starts"
        return best

    def _store(self, result, selection, reg_covar):
        self._set_mixture(result.mixture)
        self._asked = selection.n_components, selection.covariance_type
        self._weight_seen, self._reg_covar = result.stats.weight, reg_covar
        self.shrinkage_ = float(selection.shrinkage)
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.lower_bounds_ = result.lower_bounds
        self.lower_bound_ = result.lower_bounds[-1]
        for name in ("_stats", "cv_results_"):
            vars(self).pop(name, None)
        if selection.cv_results is not None:
            self.cv_results_ = selection.cv_results

    def _report(self, task, n_iter, lower_bound, mixture):
        if self.verbose and n_iter % self.verbose_interval == 0:
            print(f"Iteration {n_iter}: log-likelihood {lower_bound:.6f}")
        return task.step("iteration", partial(mixture_attributes, mixture))

    @classmethod
    def from_parameters(cls, weights, means, covariances, covariance_type="full"):
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
        is_pair = covariance_type == "low-rank"
        parts = covariances if is_pair else (covariances,)
        parts = tuple(np.asarray(part, np.float64) for part in parts)
        mixture = Mixture(
            np.asarray(weights, np.float64),
            np.asarray(means, np.float64),
            parts if is_pair else parts[0],
            covariance_type,
        )
        estimator = cls(mixture.n_components, covariance_type=covariance_type)
        if is_pair:
            estimator.rank = parts[0].shape[-1]
        estimator._set_mixture(mixture)
        estimator._asked = mixture.n_components, covariance_type
        estimator._weight_seen = 0.0
        estimator.n_features_in_ = mixture.n_features
        estimator.shrinkage_, estimator.converged_, estimator.n_iter_ = 0.0, True, 0
        estimator.lower_bound_, estimator.lower_bounds_ = -np.inf, []
        return estimator

    _missing = "marginal"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def impute(self, X):
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
        """
        X = self._check_predict(X).copy()
        mixture = self.mixture_
        for rows, observed in patterns(X):
            known = np.flatnonzero(observed)
            missing = np.flatnonzero(~observed)
            if not len(known):
                X[rows] = mixture.mean
            elif len(missing):
                given = mixture.condition(known, X[np.ix_(rows, known)])
                X[np.ix_(rows, missing)] = given.mean
        return X

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Update the mixture with a chunk of samples, by stepwise EM.

        A fitted mixture is the start; without one the first chunk is fitted as
        by :meth:`fit`, which also settles what is 'auto'. Chunks are mixed into
        the sufficient statistics; older ones fade slowly, so that a drifting
        stream is followed. A chunk that Ctrl-C interrupts is as if not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The chunk; NaN means missing. The first needs `n_components` rows,
            and a value of each feature, which later ones may lack. Of a Dask array or
            dataframe, each block is a chunk.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The updated estimator.
        """
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            for rows, weight in blocks:
                self.partial_fit(rows, sample_weight=weight)
            return self
        if not hasattr(self, "means_"):
            return self.fit(X, sample_weight=sample_weight)
        with Change(self):
            X, weight = fit_rows(self, X, sample_weight, reset=False)
            reg_covar = vars(self).get("_reg_covar")
            if reg_covar is None:
                reg_covar = regularisation(self.reg_covar, X, weight)
            kernel, fresh = statistics_pass(X, weight, reg_covar)(self.mixture_)
            old = vars(self).get("_stats") or self._implied_stats(kernel, reg_covar)
            stats = fresh if old is None else blend(kernel, old, fresh)
            prior = make_prior(
                self.n_features_in_, self.shrinkage_, self.shrinkage_target, reg_covar
            )
            mixture, _ = maximise(
                kernel, stats, prior, self.covariance_type_, drop=False
            )
            self._set_mixture(mixture)
            self._stats, self._reg_covar = stats, reg_covar
            self.n_iter_ += 1
            self.lower_bound_ = fresh.log_likelihood / fresh.weight
            self.lower_bounds_ = [*self.lower_bounds_, self.lower_bound_]
        return self

    def _implied_stats(self, kernel, reg_covar):
        """Return the statistics whose M-step is the fitted mixture, if it saw rows."""
        if not self._weight_seen:
            return None
        counts = self.weights_ * self._weight_seen
        dense = COVARIANCE_TYPES[self.covariance_type_].dense(
            self.covariances_, *self.means_.shape
        )
        scatter = (dense - np.diag(reg_covar)) * counts[:, None, None]
        return Statistics(
            counts, self.means_, kernel.pack(scatter), 0.0, self._weight_seen
        )

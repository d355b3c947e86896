"""A regressor whose prediction is a Gaussian mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state

from skgmje._callbacks import FitTask
from skgmje._options import as_asked
from skgmje._sklearn import StrOptions, _fit_context
from skgmje._standardize import Standardization
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje.conditional._base import ConditionalDensityMixin
from skgmje.conditional._models import Fit
from skgmje.conditional._source import Settings
from skgmje.conditional._sources import KINDS, SOURCES, read_source, source_of
from skgmje.mixture._gaussian_mixture import GaussianMixture

# One Gaussian that ignores the contexts has -1.42 for each standardized target; what
# is far below has overfitted.
LOWEST_SCORE = -2.0

TOO_NARROW = (
    " Held-out samples are less likely than if the contexts were ignored: there are "
    "too few samples for so many features or components. Use fewer components, or a "
    "larger reg_covar or min_scale, in the source."
)


class ConditionalMixtureDensity(ConditionalDensityMixin, RegressorMixin, BaseEstimator):
    r"""Conditional density p(y|x), one Gaussian mixture for each x.

    Where one x has several likely y, their mean is none of them. From the mixture
    follow mean, mode, quantiles, intervals, samples and log-densities in closed form.

    .. math:: p(y | x) = \sum_{k=1}^K w_k(x)\, N(y; m_k(x), V_k(x))

    Parameters
    ----------
    source : str, Source, MixtureModule or list, default='auto'
        Source of the components, a word for one with its defaults, or an object:

        - 'prototypes', ``GaussianMixture("auto", shrinkage="auto")``: a joint mixture
          of x and y by EM, conditioned in closed form;
        - 'network', :class:`~skgmje.conditional.MixtureNetwork`: an ensemble of
          mixture density networks;
        - 'neural-gas', :class:`~skgmje.conditional.NeuralGas`: a joint mixture that
          grows where the data are;
        - 'memory-bank', :class:`~skgmje.conditional.MemoryBank`: a joint mixture of
          weighted past samples;
        - a :class:`~skgmje.modules.MixtureModule`, trained by its likelihood as it is,
          or in a :class:`~skgmje.conditional.TrainedModule` that says how;
        - a list of words and objects: pooled by their densities of held-out samples.
          'auto' is ``["prototypes", "network"]``.

        Of a :class:`~skgmje.GaussianMixture` are read `n_components`,
        `covariance_type`, `shrinkage`, `shrinkage_target`, `reg_covar` (relative to the
        variances of the data), `rank`, `tol`, `max_iter`, `n_init` and `annealing`;
        what is 'auto' is chosen by the density of held-out targets. Its other
        parameters must be left as they are.

    device : str, default='auto'
        Where networks and modules are trained; 'auto' is a GPU if there is one.

    random_state : int, RandomState instance or None, default=None
        Controls folds, starts, networks, batches and :meth:`sample_y`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    n_outputs_ : int
        Number of targets.

    pool_weights_ : dict
        Weights of the pooled sources by name; only where several were pooled.

    held_out_score_ : float or None
        Mean log-likelihood of training samples by models that did not see them, in
        nats and in the units of `y`.

    cv_results_ : dict or None
        Held-out conditional log-likelihood of the joint mixtures tried, in
        standardized units; of a list those of the last that tried any.

    loss_curve_ : ndarray or None
        Training loss of the networks or of the module.

    n_iter_ : int
        Number of gradient steps, or of EM iterations where there are none.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    GaussianMixture : The density of `X` alone.

    Notes
    -----
    Missing contexts (NaN) are integrated out exactly by the joint mixtures; 'auto'
    leaves such samples to the joint mixture, and all samples if some are missing in
    ``fit``. ``score`` is a log-likelihood, not R squared.

    References
    ----------
    .. [1] C. M. Bishop, "Mixture Density Networks", 1994.

    .. [2] "Gaussian Joint Embeddings", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import ConditionalMixtureDensity
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(400, 1))
    >>> y = rng.choice([-1, 1], 400) * np.sqrt(X[:, 0]) + 0.05 * rng.normal(size=400)
    >>> density = ConditionalMixtureDensity("prototypes", random_state=0).fit(X, y)
    >>> bool(abs(density.predict([[0.5]])[0]) < 0.2)  # between the branches
    True
    >>> bool(abs(density.predict_mode([[0.5]])[0]) > 0.6)  # on one of them
    True
    """

    n_outputs_: int
    pool_weights_: dict[str, Any]
    held_out_score_: float | None
    cv_results_: dict[str, Any] | None
    loss_curve_: NDArray[Any] | None
    n_iter_: int

    _parameter_constraints: dict = {
        "source": [StrOptions(set(SOURCES)), *KINDS, GaussianMixture, list, callable],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        source: Any = "auto",
        *,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.source = source
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _takes_missing(self):
        return read_source(self.source).takes_missing

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn the conditional density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts; NaN means missing, except for networks and modules. A feature
            without any value raises ValueError.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; those of weight zero are as good as absent.

        Returns
        -------
        self : ConditionalMixtureDensity
            The fitted estimator.
        """
        with FitTask(self, X, y, sample_weight, n_steps=None) as task:
            X, Y, sample_weight, self._units, _ = self._check_fit(X, y, sample_weight)
            source = source_of(self.source)
            data = X, self._like_targets(Y), sample_weight
            settings = self._settings(source, task, *data)
            pairs = zip((X, Y), self._units, strict=True)
            X, Y = ((part - loc) / scale for part, (loc, scale) in pairs)
            how = settings, sample_weight, check_random_state(self.random_state)
            fit = task.learn(Fit, source._fit, X, Y, *how)
            complaint = task.end(self._store, fit, sample_weight)
        self._warn(complaint)
        return self

    def _settings(self, source, task, *data):
        """Return how the source is fitted; what cannot be done is said before."""
        trainers, device = source._trainers(), None
        for trainer in trainers:
            if trainer.checkpoint_dir is not None:
                task.checkpoint = self._open_checkpoint(trainer, *data)
        if trainers or self.device != "auto":
            # Late: joint mixtures need no torch.
            from skgmje._training._hardware import resolve_device

            device = resolve_device(self.device)
        hooks = {"on_epoch": task.end_epoch, "checkpoint": task.checkpoint}
        return Settings(device=device, verbose=self.verbose, **hooks)

    def _rebuild(self):
        """Make a module of what a file says of it, and try the density."""
        if isinstance(getattr(self._model, "module", None), dict):
            from skgmje.conditional._torch_sources import restore_module

            module = read_source(self._asked.source).module
            self._model = restore_module(self._model, module)
        self._mixture_of(np.zeros((1, self.n_features_in_)))._rebuild()

    def _store(self, fit, sample_weight):
        """Store the density and how it was reached; return what went wrong."""
        self._asked = as_asked(self)
        self._model = fit.model
        self.cv_results_ = fit.info.get("cv_results")
        self.loss_curve_ = fit.info.get("loss_curve")
        self.n_iter_ = fit.info["n_iter"]
        vars(self).pop("pool_weights_", None)
        if "pool_weights" in fit.info:
            self.pool_weights_ = fit.info["pool_weights"]
        self.held_out_score_ = None
        complaint = fit.complaint
        if fit.held_out is not None:
            judged = ~np.isnan(fit.held_out)
            weight = None if sample_weight is None else sample_weight[judged]
            score = np.average(fit.held_out[judged], weights=weight)
            self.held_out_score_ = float(score - np.log(self._units[1][1]).sum())
            if score < LOWEST_SCORE * self.n_outputs_:
                complaint += TOO_NARROW
        return complaint

    def _mixture_of(self, X):
        """Return the mixtures of checked samples in the units of the targets."""
        x_units, (y_loc, y_scale) = self._units
        mixture = self._model.predict_mixture(Standardization(*x_units).forward(X))
        return mixture.affine(y_scale, y_loc)

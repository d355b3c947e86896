"""A regressor whose prediction is a Gaussian mixture."""

from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state

from skgmje._callbacks import FitTask
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._standardize import Standardization
from skgmje._validation import TypeOptions
from skgmje.conditional._base import ConditionalDensityMixin
from skgmje.conditional._models import Fit
from skgmje.conditional._sources import SOURCES, Settings, source_of

# One Gaussian that ignores the contexts has -1.42 for each standardized target; what
# is far below has overfitted.
LOWEST_SCORE = -2.0

TOO_NARROW = (
    " Held-out samples are less likely than if the contexts were ignored: "
    "there are too few samples for so many features or components. Decrease "
    "n_components, increase reg_covar, or use mixture='auto'."
)


class ConditionalMixtureDensity(ConditionalDensityMixin, RegressorMixin, BaseEstimator):
    r"""Conditional density p(y|x), one Gaussian mixture for each x.

    A regressor that tells several answers apart: where one x has several
    likely y, their mean is none of them. From the mixture follow mean, mode,
    quantiles, intervals, samples and log-densities in closed form.

    .. math:: p(y | x) = \sum_{k=1}^K w_k(x)\, N(y; m_k(x), V_k(x))

    Parameters
    ----------
    mixture : {'auto', 'prototypes', 'network', 'neural-gas', 'memory-bank'} or \
            MixtureModule, default='auto'
        Source of the components. 'prototypes': a joint mixture of x and y by
        EM, conditioned in closed form. 'network': an ensemble of mixture
        density networks. 'neural-gas': a joint mixture that grows where the
        data are. 'memory-bank': a joint mixture of weighted past rows. 'auto':
        prototypes and network, pooled by what they predict of rows that they
        have not seen. A module is trained as it is, by its likelihood.

    n_components : int or 'auto', default='auto'
        Number of components; of each network in an ensemble.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low-rank', 'auto'}, \
            default='full'
        Covariances of the joint mixtures; of a network's components 'full' or
        'diag'.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count, in rows, of the pooled covariance in the joint mixtures.

    reg_covar : float, default=1e-6
        Added to the variances of the joint mixtures, relative to those of the
        data.

    n_members : int, default=5
        Number of networks.

    hidden_layer_sizes : tuple of int, default=(64, 64, 64)
        Hidden layers of each network.

    max_iter : int or 'auto', default='auto'
        Number of gradient steps, and largest number of EM iterations. A memory
        bank takes exactly so many, and more than a few learn rows by heart;
        'auto' chooses them by held-out density.

    batch_size : int or 'auto', default='auto'
        Rows per gradient step.

    learning_rate : float, default=0.006
        Largest step size of the networks.

    tol : float, default=1e-3
        EM stops when the mean log-likelihood gains less, in nats.

    min_scale : float, default=0.005
        Smallest standard deviation of a network's component, in those of `y`.

    device : str, default='auto'
        Where networks are trained: 'cpu', 'cuda', ...; 'auto' is a GPU if there
        is one.

    callbacks : list of skorch callbacks or None, default=None
        Passed on to skorch.

    net_params : dict or None, default=None
        Passed on to :class:`skorch.NeuralNet`.

    checkpoint_dir : str, path-like or None, default=None
        Folder in which the fit keeps its state: after a crash the same fit goes on
        from there, to the same bits. One folder per fit, an integer `random_state`,
        no `callbacks`; needs the extra ``io``.

    random_state : int, RandomState instance or None, default=None
        Controls folds, starts, networks, batches and :meth:`sample_y`.

    Attributes
    ----------
    n_outputs_ : int
        Number of targets.

    pool_weights_ : dict
        Weights of the pooled sources; only with 'auto'.

    held_out_score_ : float or None
        Mean log-likelihood of training rows by models that did not see them, in
        nats and in the units of `y`.

    cv_results_ : dict or None
        Held-out conditional log-likelihood of the joint mixtures tried, in
        standardized units.

    loss_curve_ : ndarray or None
        Training loss of the networks or of the module.

    n_iter_ : int
        Number of gradient steps, or of EM iterations where there are none.

    n_features_in_ : int
        Number of context features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if all are strings.

    See Also
    --------
    GaussianMixture : The density of `X` alone.

    Notes
    -----
    Missing contexts (NaN) are integrated out exactly by the joint mixtures;
    networks cannot have them, so 'auto' leaves such rows to the joint mixture, and
    all rows if some are missing in ``fit``. ``score`` is a log-likelihood, not R
    squared.

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

    _parameter_constraints: dict = {
        "mixture": [StrOptions(set(SOURCES)), callable],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "covariance_type": [TypeOptions()],
        "shrinkage": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "min_scale": [Interval(Real, 0, None, closed="neither")],
        "device": [str],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "checkpoint_dir": [str, PathLike, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        mixture="auto",
        *,
        n_components="auto",
        covariance_type="full",
        shrinkage="auto",
        reg_covar=1e-6,
        n_members=5,
        hidden_layer_sizes=(64, 64, 64),
        max_iter="auto",
        batch_size="auto",
        learning_rate=6e-3,
        tol=1e-3,
        min_scale=5e-3,
        device="auto",
        callbacks=None,
        net_params=None,
        checkpoint_dir=None,
        random_state=None,
    ):
        self.mixture = mixture
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.reg_covar = reg_covar
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.tol = tol
        self.min_scale = min_scale
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state

    def _takes_missing(self):
        source = SOURCES.get(self.mixture) if isinstance(self.mixture, str) else None
        return source is not None and source.takes_missing

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Learn the conditional density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts; NaN means missing, except for networks and modules. A feature
            without any value raises ValueError.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; rows of weight zero are as good as absent.

        Returns
        -------
        self : ConditionalMixtureDensity
            The fitted estimator.
        """
        with FitTask(self, X, y, sample_weight, n_steps=None) as task:
            *data, sample_weight, self._units = self._check_fit(X, y, sample_weight)
            y = self._like_targets(data[1])
            task.checkpoint = self._open_checkpoint(data[0], y, sample_weight)
            settings = self._settings(task)
            pairs = zip(data, self._units, strict=True)
            fit = task.learn(
                Fit,
                source_of(self.mixture).fit,
                *((a - loc) / scale for a, (loc, scale) in pairs),
                settings,
                sample_weight,
                check_random_state(self.random_state),
            )
            trouble = task.end(self._store, fit, sample_weight)
        self._warn(trouble)
        return self

    def _settings(self, task):
        # Late: a fitted estimator needs no torch.
        from skgmje._training._loop import check_engine

        params = {
            name: getattr(self, name)
            for name in Settings.__dataclass_fields__
            if hasattr(self, name)
        }
        return Settings(
            **params
            | {
                "device": check_engine(self, (128, 128), may_be_empty=True),
                "on_epoch": task.end_epoch,
                "checkpoint": task.checkpoint,
            }
        )

    def _rebuild(self):
        """Make a module of what a file says of it, and try the density."""
        if isinstance(getattr(self._model, "module", None), dict):
            from skgmje.conditional._torch_sources import restore_module

            self._model = restore_module(self._model, self.mixture)
        self._mixture_of(np.zeros((1, self.n_features_in_)))._rebuild()

    def _store(self, fit, sample_weight):
        """Store the density and how it was reached; return what went wrong."""
        self._model = fit.model
        self.cv_results_ = fit.info.get("cv_results")
        self.loss_curve_ = fit.info.get("loss_curve")
        self.n_iter_ = fit.info["n_iter"]
        vars(self).pop("pool_weights_", None)
        if "pool_weights" in fit.info:
            self.pool_weights_ = fit.info["pool_weights"]
        self.held_out_score_ = None
        trouble = fit.trouble
        if fit.held_out is not None:
            judged = ~np.isnan(fit.held_out)
            weight = None if sample_weight is None else sample_weight[judged]
            score = np.average(fit.held_out[judged], weights=weight)
            self.held_out_score_ = float(score - np.log(self._units[1][1]).sum())
            if score < LOWEST_SCORE * self.n_outputs_:
                trouble += TOO_NARROW
        return trouble

    def _mixture_of(self, X):
        """Return the mixtures of checked rows in the units of the targets."""
        x_units, (y_loc, y_scale) = self._units
        mixture = self._model.predict_mixture(Standardization(*x_units).forward(X))
        return mixture.affine(y_scale, y_loc)

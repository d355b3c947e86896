"""Conditional densities: their predict methods, and the estimator of one mixture."""

import warnings
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skgmje._backend import as_generator, from_tensor
from skgmje._callbacks import EstimatorMixin, FitTask
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._validation import (
    LARGEST,
    check_magnitude,
    check_rows,
    check_values,
    check_weights,
    mean_score,
    refuse_blocks,
    tie_shares,
)
from skgmje.conditional._models import Fit
from skgmje.conditional._sources import SOURCES, Settings, source_of
from skgmje.em._e_step import observed_moments
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Above this share of repeated targets a likelihood says little.
TIE_SHARE = 0.05


# Rounding leaves a constant feature a relative variance of this size.
_CONSTANT = 1e-28


def check_pairs(estimator, X, y, sample_weight, *, allow_nan):
    """Return checked contexts, targets as they came, and the weights; samples that
    count.
    """
    refuse_blocks(estimator, X)
    X, y = validate_data(
        estimator,
        from_tensor(X),
        from_tensor(y),
        dtype=[np.float64, np.float32],
        multi_output=True,
        y_numeric=True,
        ensure_min_samples=2,
        ensure_all_finite="allow-nan" if allow_nan else True,
    )
    check_magnitude(X)
    y = np.asarray(y, np.float64)
    if np.abs(y).max() > LARGEST:
        raise ValueError(
            f"y has an entry of size {np.abs(y).max():.3g}; the squares of entries "
            f"above {LARGEST:g} overflow. Rescale y."
        )
    sample_weight = check_weights(sample_weight, X)
    if sample_weight is None or sample_weight.all():
        check_values(estimator, X)
        return X, y, sample_weight
    counts = sample_weight > 0
    if counts.sum() < 2:
        raise ValueError(
            "sample_weight: only one sample has a positive weight, which tells nothing "
            "of the spread. Give at least two."
        )
    check_values(estimator, X[counts])
    return X[counts], y[counts], sample_weight[counts]


def location_scale(X, sample_weight):
    """Return means and standard deviations of the columns; 1 for constant ones."""
    loc, variance = observed_moments(X, sample_weight)
    varies = variance > _CONSTANT * loc**2
    return loc, np.sqrt(np.where(varies, variance, 1.0))


def warn_about_ties(y, name):
    """Warn if many targets repeat: their likelihood is one of the resolution."""
    for j, (share, most) in enumerate(zip(*tie_shares(y), strict=True)):
        if share > TIE_SHARE and most < 1:
            warnings.warn(
                f"{name}: {share:.0%} of the values of target {j} repeat others. A "
                "log-likelihood of ties measures how narrow the components may be "
                "(min_scale, reg_covar): compare models by CRPS, see skgmje.metrics.",
                UserWarning,
                stacklevel=5,
            )


# Samples whose mixtures exist at a time.
CHUNK_ROWS = 4096


class Uncertainty(NamedTuple):
    r"""Where the spread of a conditional density comes from.

    .. math:: \operatorname{Cov}(y | x) = \sum_k w_k V_k
        + \sum_k w_k (m_k - m)(m_k - m)^T

    Parameters
    ----------
    within : ndarray of shape (n_samples, n_targets, n_targets)
        Mean covariance of the components: the noise (aleatoric).

    between : ndarray of shape (n_samples, n_targets, n_targets)
        Covariance of the components' means: which branch, or which member of
        an ensemble.

    entropy : ndarray of shape (n_samples,)
        Entropy of the components' weights, in nats.
    """

    within: Any
    between: Any
    entropy: Any


class ConditionalDensityMixin(EstimatorMixin):
    """Checks and predict methods of estimators of p(y|x).

    A subclass has ``_mixture_of(X)``: the mixtures of checked samples.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        tags.input_tags.allow_nan = self._takes_missing()
        return tags

    def _takes_missing(self):
        """Return whether contexts may be missing."""
        return False

    def _check_fit(self, X, y, sample_weight):
        """Return checked contexts, 2-d targets, weights, and locations and scales."""
        X, y, sample_weight = check_pairs(
            self, X, y, sample_weight, allow_nan=self._takes_missing()
        )
        self._y_ndim = y.ndim
        Y = y.reshape(len(y), -1)
        self.n_outputs_ = Y.shape[1]
        warn_about_ties(Y, type(self).__name__)
        units = location_scale(X, sample_weight), location_scale(Y, sample_weight)
        return X, Y, sample_weight, units

    def _check_predict(self, X):
        check_is_fitted(self)
        return check_rows(self, X, reset=False, allow_nan=self._takes_missing())

    def _warn(self, text, category=ConvergenceWarning):
        """Warn of what went wrong in ``fit``, if anything."""
        if text:
            text = f"{type(self).__name__}: {text.strip()}"
            warnings.warn(text, category, stacklevel=4)

    def _check_targets(self, X, y):
        """Return targets of shape (n_samples, n_targets) that belong to `X`."""
        y = check_array(
            from_tensor(y), dtype=np.float64, ensure_2d=False, input_name="y"
        )
        y = y.reshape(len(y), -1)
        check_consistent_length(X, y)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y.shape[1]} columns, but the estimator was fitted with "
                f"{self.n_outputs_}. Pass the same targets."
            )
        return y

    def _like_targets(self, values):
        """Drop the axis of the targets if `y` had none, shape (n_samples, 1, ...)."""
        return values[:, 0] if self._y_ndim == 1 else values

    def _chunks(self, X):
        """Yield the mixtures of some rows at a time, and which rows they are."""
        X = self._check_predict(X)
        for start in range(0, len(X), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield self._mixture_of(X[rows]), rows

    def _each_chunk(self, X, function):
        """Apply `function` to the mixtures of some rows at a time; join the results."""
        return np.concatenate([function(*chunk) for chunk in self._chunks(X)])

    def predict_mixture(self, X):
        """Return the conditional density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        mixture : Mixture
            One for each row, over the targets, in the units of `y`.
        """
        return self._mixture_of(self._check_predict(X))

    def predict(self, X, return_std=False, return_cov=False):  # noqa: FBT002
        """Predict the conditional mean, and the spread if wanted.

        Where the density has several branches, the mean may lie between them:
        see :meth:`predict_mode` and :meth:`predict_mixture`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        return_std : bool, default=False
            Whether to return standard deviations too.

        return_cov : bool, default=False
            Whether to return covariances of the targets too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Conditional means.

        std : ndarray of the shape of `mean`
            Conditional standard deviations; only with `return_std`.

        cov : ndarray of shape (n_samples, n_targets, n_targets)
            Conditional covariances; only with `return_cov`.

        Raises
        ------
        ValueError
            If both standard deviations and covariances are wanted.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std=True and return_cov=True exclude each other. Standard "
                "deviations are the roots of the covariances' diagonals."
            )
        if not (return_std or return_cov):
            return self._like_targets(self._each_chunk(X, lambda m, rows: m.mean))
        moments = self._each_chunk(
            X, lambda m, rows: np.concatenate([m.mean[..., None], m.covariance], -1)
        )
        mean, covariance = self._like_targets(moments[..., 0]), moments[..., 1:]
        if return_cov:
            return mean, covariance
        variance = np.diagonal(covariance, axis1=-2, axis2=-1)
        return mean, np.sqrt(self._like_targets(variance))

    def predict_mode(self, X):
        """Predict the most probable target, the highest point of the density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        mode : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Conditional modes.
        """
        return self._like_targets(self._each_chunk(X, lambda m, rows: m.mode()))

    def predict_quantile(self, X, quantiles=0.5):
        """Predict quantiles of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        quantiles : float or array-like of shape (n_quantiles,), default=0.5
            Probabilities strictly between zero and one.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The quantiles; with an array of them a last axis of n_quantiles.

        Raises
        ------
        ValueError
            If `quantiles` are no such probabilities.
        """
        levels = _check_levels(quantiles)

        def columns_of(mixture, rows):
            parts = [mixture.marginal([j]) for j in range(self.n_outputs_)]
            columns = [
                np.stack([part.quantile(level) for level in levels], axis=-1)
                for part in parts
            ]
            return np.stack(columns, axis=1)

        values = self._like_targets(self._each_chunk(X, columns_of))
        return values[..., 0] if np.ndim(quantiles) == 0 else values

    def predict_interval(self, X, coverage=0.9):
        """Predict the central interval of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        coverage : float, default=0.9
            Probability of the interval, strictly between zero and one.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Ends of the intervals; equal probabilities are left out on both
            sides.

        Raises
        ------
        ValueError
            If `coverage` is no such probability.
        """
        if not (isinstance(coverage, Real) and 0 < coverage < 1):
            raise ValueError(
                f"coverage={coverage!r} must lie strictly between 0 and 1, such as 0.9."
            )
        tail = (1 - coverage) / 2
        values = self.predict_quantile(X, [tail, 1 - tail])
        return values[..., 0], values[..., 1]

    def predict_uncertainty(self, X):
        """Tell the noise of a target from the choice between branches.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        Returns
        -------
        uncertainty : Uncertainty
            Named tuple of ``within``, ``between`` and ``entropy``; the first two
            add up to the covariance.
        """
        parts = [
            (m.within_covariance, m.between_covariance, _entropy(m.weights))
            for m, _ in self._chunks(X)
        ]
        return Uncertainty(*map(np.concatenate, zip(*parts, strict=True)))

    def sample_y(self, X, n_samples=1, random_state=None):
        """Draw targets.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Contexts.

        n_samples : int, default=1
            Number of draws for each row.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means that of the estimator.

        Returns
        -------
        y : ndarray of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_targets, n_samples)
            Draws, in the layout of scikit-learn's Gaussian processes.
        """
        source = self.random_state if random_state is None else random_state
        generator = as_generator(source)

        def draw(mixture, rows):
            return np.moveaxis(mixture.sample(n_samples, generator)[0], 0, -1)

        return self._like_targets(self._each_chunk(X, draw))

    def log_prob(self, X, y):
        """Compute the conditional log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            ``log p(y | x)`` in nats, in the units of `y`.
        """
        y = self._check_targets(X, y)
        return self._each_chunk(X, lambda m, rows: m.log_prob(y[rows]))

    def score(self, X, y, sample_weight=None):
        """Compute the mean conditional log-likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`log_prob`, in nats. For R squared use
            ``scoring="r2"``.
        """
        return mean_score(self.log_prob(X, y), sample_weight)


def _check_levels(quantiles):
    """Return probabilities of shape (n_quantiles,)."""
    try:
        levels = np.asarray(quantiles, np.float64)
    except (TypeError, ValueError):
        levels = np.empty(0)
    inside = levels.size and np.all((levels > 0) & (levels < 1))
    if levels.ndim > 1 or not inside:
        raise ValueError(
            f"quantiles={quantiles!r} must be a number strictly between 0 and 1, or "
            "a list of such numbers."
        )
    return levels.reshape(-1)


def _entropy(weights):
    return -np.sum(weights * np.log(np.where(weights > 0, weights, 1.0)), axis=-1)


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
        standardised units.

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
        "covariance_type": [StrOptions({"auto", *COVARIANCE_TYPES})],
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
        """Return the mixtures of checked samples in the units of `y`."""
        (x_loc, x_scale), (y_loc, y_scale) = self._units
        mixture = self._model.predict_mixture((X - x_loc) / x_scale)
        return mixture.affine(y_scale, y_loc)

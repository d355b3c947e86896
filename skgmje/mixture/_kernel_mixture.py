"""Gaussian mixture whose centres a network places by a kernel cost."""

import warnings

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator
from skgmje._base import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_rows,
    check_weights,
)
from skgmje.costs import COSTS
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture._base import MixtureDensityMixin
from skgmje.mixture._polish import POLISHES
from skgmje.mixture._progress import CallbackSupportMixin, FitTask, Plateau, Progress
from skgmje.mixture._recipe import (
    FIRST_CENTERS,
    choose_recipe,
    choose_settings,
)
from skgmje.mixture._standardize import standardization


def _draws_noise(estimator):
    if estimator.generator == "codes":
        raise AttributeError(
            "generator='codes' has one code per component and draws no others; "
            "sample_generator needs generator='noise' or an own network."
        )
    return True


class KernelMixtureDensity(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MixtureDensityMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Gaussian mixture whose centres are the output of a network."""

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "covariance_type": [StrOptions({"auto", *COVARIANCE_TYPES})],
        "shrinkage": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "cost": [StrOptions({"likelihood", *COSTS}), callable],
        "generator": [StrOptions({"codes", "noise"}), callable],
        "init_params": [StrOptions(set(FIRST_CENTERS))],
        "bandwidth": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto", "cell", "loo"}),
        ],
        "polish": [StrOptions(set(POLISHES) - {None}), None],
        "standardize": ["boolean"],
        "code_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "device": [str],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        covariance_type="auto",
        shrinkage="auto",
        rank=4,
        cost="svd",
        generator="codes",
        init_params="k-means++",
        bandwidth="auto",
        polish="em",
        standardize=True,
        code_dim=8,
        hidden_layer_sizes=(128, 128),
        max_iter=300,
        batch_size="auto",
        learning_rate=4e-3,
        tol=1e-4,
        reg_covar=1e-4,
        device="auto",
        callbacks=None,
        net_params=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.rank = rank
        self.cost = cost
        self.generator = generator
        self.init_params = init_params
        self.bandwidth = bandwidth
        self.polish = polish
        self.standardize = standardize
        self.code_dim = code_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.tol = tol
        self.reg_covar = reg_covar
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Place the centres by the cost, then fit the density by likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; rows of weight zero are as good as absent.

        Returns
        -------
        self : KernelMixtureDensity
            The fitted estimator.
        """
        X = check_rows(self, X, reset=True, min_samples=2)
        X, sample_weight = self._drop_weightless(X, sample_weight)
        device = self._check_engine()
        random_state = check_random_state(self.random_state)
        loc, scale = standardization(X, sample_weight, per_feature=self.standardize)
        Z = (X - loc) / scale
        settings = choose_settings(self, Z, sample_weight, random_state)
        recipe = choose_recipe(
            self,
            Z,
            sample_weight,
            n_components=settings.n_components,
            unit=1.0 if self.standardize else float(scale),
            random_state=random_state,
        )
        task = FitTask(self, recipe.schedule.n_epochs, X=X, y=y)
        rows = [Z.astype(X.dtype, copy=False)]
        rows += [] if sample_weight is None else [sample_weight]
        placement = self._place(rows, settings.n_components, recipe, task, device)
        mixture, trouble = POLISHES[self.polish](
            Z, sample_weight, placement.model, self._polish_settings(settings)
        )
        self._set_mixture(mixture.affine(scale, loc))
        self._loc, self._scale = loc, scale
        self.centers_ = placement.model.means * scale + loc
        self.bandwidth_ = recipe.bumps.variance**0.5
        self.cv_results_ = settings.cv_results
        self._record(placement, trouble)
        self._warn(placement)
        task.end()
        return self

    def _drop_weightless(self, X, sample_weight):
        """Return the rows that count, and their weights unless all are equal."""
        weights = check_weights(sample_weight, X)
        if weights is not None:
            X, weights = X[weights > 0], weights[weights > 0]
            weights = None if (weights == 1).all() else weights
        n_components = self.n_components
        if n_components != "auto" and n_components > len(X):
            raise ValueError(
                f"n_components={n_components} is more than the n_samples={len(X)} rows "
                "with a positive weight. Decrease n_components, or pass 'auto'."
            )
        return X, weights

    def _check_engine(self):
        """Return the device; nothing else should fail after hours of work."""
        from skgmje._net import check_net_params
        from skgmje.modules._device import resolve_device

        check_net_params(self.net_params)
        sizes = self.hidden_layer_sizes
        if not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} must hold positive integers, one per "
                "layer, for example (128, 128)."
            )
        return resolve_device(self.device)

    def _polish_settings(self, settings):
        return {
            "covariance_type": settings.covariance_type,
            "rank": self.rank,
            "shrinkage": settings.shrinkage,
            "reg_covar": self.reg_covar,
            "tol": self.tol,
        }

    def _place(self, rows, n_components, recipe, task, device):
        """Train the network, and tell those who listen."""
        from skgmje.mixture._objective import Objective
        from skgmje.mixture._placement import Generator, place_centers
        from skgmje.modules._schedule import Hooks

        objective = Objective(self.cost, recipe.bumps)
        generator = Generator(
            self.generator,
            recipe.n_centers,
            recipe.base,
            self.code_dim,
            tuple(self.hidden_layer_sizes),
        )
        progress = Progress(type(self).__name__, self.max_iter, self.verbose)
        plateau = Plateau(self.max_iter, self.tol, recipe.schedule.warmup)

        def on_epoch(losses):
            progress(losses)
            return task.end_epoch() or plateau(losses)

        hooks = Hooks(objective.set_progress, on_epoch, self.callbacks, self.net_params)
        schedule, seed = recipe.schedule, recipe.seed
        return place_centers(
            rows, n_components, objective, generator, schedule, hooks, seed, device
        )

    def _record(self, placement, trouble):
        """Store how the centres were reached."""
        self.loss_curve_ = placement.training.loss_curve
        self.n_iter_ = max(1, len(self.loss_curve_))
        for name in ("bound_gap", "pair_ess", "effective_rank"):
            setattr(self, f"{name}_", placement.diagnostics[name])
        if placement.network is not None:
            self.generator_ = placement.network
        self._n_features_out = len(self.weights_)
        troubles = [placement.training.trouble or self._describe_drop(), trouble]
        troubles = [text for text in troubles if text]
        self.converged_ = not troubles
        if troubles:
            warnings.warn(
                f"{type(self).__name__} did not converge: {'; '.join(troubles)}. "
                "Increase max_iter or tol, or decrease learning_rate.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _describe_drop(self):
        """Say by how much the cost still fell at the end, if it did."""
        if len(self.loss_curve_) < self.max_iter:
            return ""
        quarter = -(-self.max_iter // 4)
        before, last = self.loss_curve_[:-quarter], self.loss_curve_[-quarter:]
        drop = np.mean(before[-quarter:]) - np.mean(last) if len(before) else np.inf
        if drop <= max(100 * self.tol, np.std(last)):
            return ""
        return (
            f"the cost fell by {drop:.3g} to {np.mean(last):.4g} in the last quarter "
            f"of max_iter={self.max_iter} steps"
        )

    def _warn(self, placement):
        """Say so if the gradient is dead, or the density is none."""
        n_pairs = placement.diagnostics["n_pairs"]
        if self.pair_ess_ < 0.01 * n_pairs:
            warnings.warn(
                f"Only {self.pair_ess_:.3g} of {n_pairs} pairs of a row and a centre "
                f"count at bandwidth {self.bandwidth_:.3g}, so most rows have no "
                "gradient. Increase bandwidth, or use bandwidth='cell'.",
                UserWarning,
                stacklevel=3,
            )
        if self.polish is None and self.cost in ("matrix-matrix", "svd"):
            warnings.warn(
                f"cost={self.cost!r} compares operators: its variance is not that of "
                "a density, and with polish=None likelihoods say little. Use "
                "polish='weights' or 'em', or cost='scalar'.",
                UserWarning,
                stacklevel=3,
            )

    def transform(self, X):
        """Compute the responsibilities; the same as :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        resp : ndarray of shape (n_samples, n_components)
            Posterior probability of each component.
        """
        return self.predict_proba(X)

    @available_if(_draws_noise)
    def sample_generator(self, n_samples=1, random_state=None):
        """Draw fresh centres from the trained network.

        Parameters
        ----------
        n_samples : int, default=1
            Number of centres.

        random_state : int, RandomState instance or None, default=None
            Source of the noise; None means the `random_state` of the estimator.

        Returns
        -------
        centers : ndarray of shape (n_samples, n_features)
            Outputs of the network for fresh noise, in the units of the data.
        """
        import torch

        from skgmje.modules._generator import draw_centers

        check_is_fitted(self)
        source = self.random_state if random_state is None else random_state
        seed = int(as_generator(source).integers(2**31 - 1))
        like = next(self.generator_.parameters())
        with torch.inference_mode():
            centers = draw_centers(
                self.generator_,
                n_samples,
                self.code_dim,
                torch.Generator().manual_seed(seed),
                like,
            )
        return centers.numpy() * self._scale + self._loc

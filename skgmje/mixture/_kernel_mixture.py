"""Mixtures whose centers a network places by a kernel cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator, check_torch
from skgmje._callbacks import FitTask
from skgmje._options import as_asked
from skgmje._sklearn import Interval, StrOptions, _fit_context, available_if
from skgmje._standardize import standardization
from skgmje._training._schedule import Schedule
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import TypeOptions
from skgmje._warnings import warn
from skgmje.costs._costs import TRAINING_COSTS, as_cost
from skgmje.gaussian import Bandwidths
from skgmje.mixture._base import AMOUNT, AUTO, COUNT, NoisyDensityMixin
from skgmje.mixture._fit_rows import check_size
from skgmje.mixture._gaussian_mixture import GaussianMixture
from skgmje.mixture._kernel_generators import GENERATORS, Codes, Noise, read_generator
from skgmje.mixture._kernel_recipe import (
    choose_recipe,
    choose_settings,
    read_bandwidth,
    standardized_data,
    training_samples,
)
from skgmje.mixture._kernel_refine import REFINEMENTS, read_refinement


def _describe_drop(loss_curve, max_iter, tol):
    """Say by how much the cost still fell at the end of a full run, if it did."""
    if len(loss_curve) < max_iter:
        return ""
    quarter = -(-max_iter // 4)
    before, last = loss_curve[:-quarter], loss_curve[-quarter:]
    if not len(before):
        return f"max_iter={max_iter} steps are too few to tell. Increase max_iter."
    drop = np.mean(before[-quarter:]) - np.mean(last)
    if drop <= max(100 * tol, np.std(last)):
        return ""
    return (
        f"The cost fell by {drop:.3g} to {np.mean(last):.4g} in the last quarter of "
        f"max_iter={max_iter} steps. Increase max_iter or tol."
    )


def _draws_noise(estimator):
    """Raise AttributeError if there is no map from noise."""
    generator = getattr(estimator, "_asked", estimator).generator
    if isinstance(generator, Codes) or generator == "codes":
        raise AttributeError(
            f"generator={generator!r} has one code per component and draws "
            "no others; sample_generator needs generator='noise' or an own network."
        )
    return True


class KernelMixtureDensity(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    NoisyDensityMixin,
    BaseEstimator,
):
    r"""Gaussian mixture whose centers a network places by a kernel cost.

    A network puts out the centers :math:`c_k`; training moves them until the
    kernels around them match the kernels around the samples. The normalised costs are
    gaps to a bound, 0 where it is reached, for example ``cost="svd"``:

    .. math:: -\log \|K\|_*, \qquad K_{ik} = \sqrt{w_k / n}\,
        \exp(-\|x_i - c_k\|^2 / 4 v)

    The cost places the centers; the likelihood then sets weights and covariances
    around them (`refine`). With ``refine="em"``, which moves the centers, little of
    the cost is left on most data.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Number of components; 'auto' is chosen by held-out likelihood, together
        with `covariance_type` and `shrinkage` where they are 'auto'.

    covariance_type : str, default='auto'
        Shape of the covariances ('full', 'tied', 'diag', 'spherical', 'low-rank') with
        ``refine="covariances"`` or ``"em"``; with ``"weights"`` and None they are
        spherical. Spheres of standardized features are diagonal in the units of `X`.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count, in samples, of the pooled covariance in the refinements
        'covariances' and 'em'.

    cost : str or callable, default='auto'
        'scalar', 'vector-matrix', 'matrix-matrix', 'svd' (:data:`skgmje.costs.COSTS`),
        'likelihood' (minus the log-likelihood), 'auto', or a function of
        :class:`skgmje.gaussian.Grams` that returns a tensor. 'auto': 'svd' for codes,
        'scalar' for noise. The latter, with 'multiscale', of 256 fresh centers as draws
        of a distribution: no pair of a center with itself counts, it is the sum in the
        units of `X` and in those of each feature's deviation, and `loss_curve_` lacks a
        constant, so that it may be negative.

    generator : str, Codes, Noise, torch.nn.Module or callable, default='codes'
        'codes': one learned code per component. 'noise': fresh noise in every
        step, and `n_components` draws of it in the end. :class:`Codes` and
        :class:`Noise` say more: where codes start, layers. A module, or a callable
        that builds one, stands for ``Noise(network=...)``.

    bandwidth : float, sequence of floats, Bandwidths or str, default='auto'
        Standard deviation of the kernels, in standard deviations of the features if
        `standardize`, or a rule. Of several, kernels are added up, each one for all
        features, so that none need be right; :class:`skgmje.gaussian.Bandwidths` weighs
        them. The likelihood takes one, and so does ``refine=None``, whose model has one
        variance. 'cell': half the mean squared distance of a sample to the nearest
        k-means center, as a variance. 'neighbor': a quarter of the median squared
        distance to the second-nearest, at most four times 'cell'. 'loo': the kernel
        density estimate that predicts best. 'multiscale': five or more, with 1/4, 1,
        4, 16, 64 ... times the variance of 'cell', up to that of the data. 'auto':
        'neighbor' for codes, 'multiscale' for noise, a feature's standard deviation
        within the cells for 'likelihood'; with ``refine=None`` 'loo' for the density of
        a cost, else 'cell'.

    refine : str, None or GaussianMixture, default='covariances'
        What follows by likelihood. 'covariances': weights and covariances, by
        maximum a posteriori EM; the means stay at the centers. 'em': the means,
        too. 'weights': weights and one variance, that of samples left out; the means
        stay. None: the model that the cost trained, with its weights and its
        variance. A :class:`GaussianMixture`: EM from the centers with its
        `covariance_type`, `shrinkage`, `shrinkage_target`, `rank`, `annealing`,
        `reg_covar`, `tol` and `max_iter`, in units of the standardized features; the
        `covariance_type`, `shrinkage` and `tol` above are then without effect on
        the refinement, and the first two have to stay 'auto' or agree. The centers
        of 'noise' are draws, of which no cost has placed a few well: give it many
        components, or 'em'.

    standardize : bool, default=True
        Whether every feature gets unit variance during the fit. Otherwise
        one scale serves all, which keeps distances.

    max_iter : int, default=300
        Largest number of gradient steps.

    learning_rate : float, default=0.004
        Step size of Adam at the start of its cosine.

    batch_size : int, 'auto' or None, default='auto'
        Samples per step; None: all. 'auto': all of up to 2000 (not for noise),
        else 256, or four per center.

    tol : float, default=1e-4
        Training ends when the cost varies less over a tenth of `max_iter`, the
        refinement when the mean log-likelihood gains less, in nats.

    device : str, default='auto'
        Where to train: 'cpu', 'cuda', ...; 'auto' is a GPU if there is one.

    trainer : dict or None, default=None
        What else to ask of the training. 'callbacks': a list of skorch callbacks,
        for example ``[EarlyStopping("train_loss")]`` (for scikit-learn's own there
        is ``set_callbacks``). 'checkpoint_dir': a folder in which the fit keeps its
        state, so that after a crash the same fit goes on from there, to the same
        bits; one folder per fit, an integer `random_state`, no callbacks, and the
        extra ``io``. 'max_bytes': samples up to this size, 2**25 by default, are
        tensors while training; of more, batches are read. All other keys are
        parameters of :class:`skorch.NeuralNet`, such as
        ``{"optimizer": torch.optim.SGD}``.

    random_state : int, RandomState instance or None, default=None
        Controls folds, starts, network, noise, batches and :meth:`sample`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    n_components_, weights_, means_, covariances_, covariance_type_, mixture_
        The components, as those of :class:`GaussianMixture`.

    centers_ : ndarray of shape (n_components, n_features)
        Centers as the cost placed them: `means_`, unless EM has moved these and
        dropped some.

    bandwidth_ : float or ndarray of shape (n_bandwidths,)
        Standard deviation of the kernels, in the units of `bandwidth`; an array if
        there are several.

    cost_ : str
        Name of the cost that was minimized; "fresh scalar" is the scalar cost of
        fresh centers, up to a constant.

    loss_curve_ : ndarray of shape (n_iter_,)
        Cost before each step, of ``cost="auto"`` for noise up to a constant; while
        the bandwidth falls, values do not compare.

    bound_gap_ : float
        The cost at the end, on up to 2000 samples.

    pair_ess_ : float
        Effective number of pairs of a sample and a center that the cost sees.

    effective_rank_ : float
        Effective number of singular values of the kernel matrix. Under the wide
        kernels of noise in many dimensions a few are normal.

    n_iter_ : int
        Number of gradient steps.

    converged_ : bool
        Whether training and refinement had settled.

    cv_results_ : dict or None
        Held-out log-likelihood of all settings, if one was 'auto'.

    generator_ : torch.nn.Module
        The map from noise to standardized centers; not for 'codes'.

    See Also
    --------
    Codes : Options of ``generator="codes"``.
    Noise : Options of ``generator="noise"``.
    GaussianMixture : The same density by EM alone.

    Notes
    -----
    Ctrl-C ends a training that has begun, not the fit; elsewhere it ends the fit.
    A network of yours that draws random numbers itself (dropout) trains alone: other
    fits of such networks wait.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skgmje import KernelMixtureDensity
    >>> X, _ = make_moons(300, noise=0.1, random_state=0)
    >>> density = KernelMixtureDensity(8, covariance_type="full", random_state=0)
    >>> density.fit(X).means_.shape
    (8, 2)
    >>> density.score(X) > -1.7
    True
    """

    centers_: NDArray[Any]
    bandwidth_: float | NDArray[Any]
    cost_: str
    loss_curve_: NDArray[Any]
    bound_gap_: float
    pair_ess_: float
    effective_rank_: float
    n_iter_: int
    converged_: bool
    cv_results_: dict[str, Any] | None
    generator_: Any

    _parameter_constraints: dict = {
        "n_components": [COUNT, AUTO],
        "covariance_type": [TypeOptions()],
        "shrinkage": [AMOUNT, AUTO],
        "cost": [AUTO, StrOptions(TRAINING_COSTS.keys()), callable],
        "generator": [StrOptions(GENERATORS.keys()), Codes, Noise, callable],
        "bandwidth": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto", "cell", "neighbor", "loo", "multiscale"}),
            "array-like",
            Bandwidths,
        ],
        "refine": [StrOptions(set(REFINEMENTS) - {None}), GaussianMixture, None],
        "standardize": ["boolean"],
        "max_iter": [COUNT],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [COUNT, AUTO, None],
        "tol": [AMOUNT],
        "device": [str],
        "trainer": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        covariance_type: Literal[
            "full", "tied", "diag", "spherical", "low-rank", "auto"
        ] = "auto",
        shrinkage: float | Literal["auto"] = "auto",
        cost: Literal[
            "auto", "scalar", "vector-matrix", "matrix-matrix", "svd", "likelihood"
        ]
        | Callable[..., Any] = "auto",
        generator: Any = "codes",
        bandwidth: float
        | Sequence[float]
        | Bandwidths
        | Literal["auto", "cell", "neighbor", "loo", "multiscale"] = "auto",
        refine: Literal["covariances", "em", "weights"]
        | GaussianMixture
        | None = "covariances",
        standardize: bool = True,
        max_iter: int = 300,
        learning_rate: float = 4e-3,
        batch_size: int | Literal["auto"] | None = "auto",
        tol: float = 1e-4,
        device: str = "auto",
        trainer: dict[str, Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.cost = cost
        self.generator = generator
        self.bandwidth = bandwidth
        self.refine = refine
        self.standardize = standardize
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.tol = tol
        self.device = device
        self.trainer = trainer
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Place the centers by the cost, then fit the density by likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            Training data. Of more than a million entries no copy is made, and
            selection, start and bandwidth see a random part. Of a Dask array or
            dataframe the network sees that part too, the refinement all samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; samples of weight zero are as good as absent.

        Returns
        -------
        self : KernelMixtureDensity
            The fitted estimator.
        """
        check_torch(type(self).__name__)
        # Late: a fitted estimator needs no torch.
        from skgmje._training._hardware import resolve_device
        from skgmje._training._loop import check_trainer
        from skgmje.mixture._kernel_training import train_centers

        n_steps = Schedule(self.max_iter).n_epochs
        with FitTask(self, X, y, sample_weight, n_steps=n_steps) as task:
            X, sample_weight = training_samples(self, X, sample_weight)
            check_size(self, X)
            generator, cost = read_generator(self.generator), self.cost
            if isinstance(cost, str) and cost == "auto":
                cost = generator._auto_cost
            refinement = read_refinement(self, X)
            trainer, device = check_trainer(self.trainer), resolve_device(self.device)
            task.checkpoint = self._open_checkpoint(trainer, X, sample_weight)
            random_state = check_random_state(self.random_state)
            units = standardization(X, sample_weight, per_feature=self.standardize)
            self._loc, self._scale = units.loc, units.scale
            unit = 1.0 if self.standardize else float(units.scale)
            bandwidth = read_bandwidth(self, generator, as_cost(cost), unit)
            given = X, sample_weight, units, self.n_components, random_state
            data = standardized_data(*given)
            settings = choose_settings(self, data, refinement, random_state)
            size = settings.n_components
            how = trainer, size, bandwidth, self._scale, random_state
            recipe = choose_recipe(self, data, generator, cost, *how)
            name = getattr(cost, "__name__", type(cost).__name__)
            name = cost if isinstance(cost, str) else name
            self.cost_ = "fresh scalar" if recipe.units else name
            self._code_dim = generator._width(X.shape[1])
            placement = train_centers(self, data, X.dtype, size, recipe, task, device)
            bandwidths = unit * np.sqrt(recipe.kernels.variances)
            found = refinement, data, placement, settings, bandwidths
            complaint = task.end(self._store, task, *found)
        self._warn(placement, complaint, as_cost(cost).is_density)
        self._warn_of_ties(X)
        return self

    def _store(self, task, refinement, data, placement, settings, bandwidths):
        """Refine the centers; store them and how they were reached."""
        scale, loc = self._scale, self._loc
        refined = refinement.function(refinement, data, placement.model, settings, task)
        self._set_mixture(refined.mixture.affine(scale, loc))
        self._n_parameters = refined.n_parameters
        self.centers_ = placement.model.means * scale + loc
        is_one = len(bandwidths) == 1
        self.bandwidth_ = float(bandwidths[0]) if is_one else bandwidths
        self.cv_results_ = settings.cv_results
        self.loss_curve_ = placement.training.loss_curve
        self.n_iter_ = max(1, len(self.loss_curve_))
        for name in ("bound_gap", "pair_ess", "effective_rank"):
            setattr(self, f"{name}_", placement.diagnostics[name])
        self._asked = as_asked(self)
        # An earlier fit may have left one.
        vars(self).pop("generator_", None)
        if placement.network is not None:
            self.generator_ = placement.network
        self._n_features_out = len(self.weights_)
        self.converged_ = False
        return refined.complaint

    def _warn(self, placement, complaint, is_density):
        """Say what did not go well in a fit that was not interrupted."""
        unsettled = _describe_drop(self.loss_curve_, self.max_iter, self.tol)
        complaints = [placement.training.complaint or unsettled, complaint]
        complaints = " ".join(filter(None, complaints))
        self.converged_ = not complaints
        if complaints:
            name = type(self).__name__
            warn(f"{name} did not converge. {complaints}", ConvergenceWarning)
        n_pairs = placement.diagnostics["n_pairs"]
        if self.pair_ess_ < 0.01 * n_pairs:
            bandwidths = ", ".join(f"{h:.3g}" for h in np.atleast_1d(self.bandwidth_))
            warn(
                f"Only {self.pair_ess_:.3g} of {n_pairs} pairs of a sample and a "
                f"center count at bandwidth {bandwidths}, so most samples have no "
                "gradient. Increase bandwidth, or use bandwidth='neighbor'."
            )
        if self.refine is None and is_density is False:
            warn(
                f"cost={self.cost!r} compares operators: its variance is not that of a "
                "density, and with refine=None likelihoods say little. Use "
                "refine='weights' or 'covariances', or cost='scalar'."
            )

    def _count_parameters(self):
        """Return the number of free parameters of the fit."""
        # Before the features' units made ellipses of spheres.
        return self._n_parameters

    def transform(self, X: ArrayLike) -> NDArray[Any]:
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

    def _rebuild(self):
        """Make a network of what a file says of it."""
        super()._rebuild()
        if "generator_" in vars(self):
            from skgmje.mixture._kernel_training import restore_network

            self.generator_ = restore_network(self)

    @available_if(_draws_noise)
    def sample_generator(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> NDArray[Any]:
        """Draw fresh centers from the trained network.

        Parameters
        ----------
        n_samples : int, default=1
            Number of centers.

        random_state : int, RandomState instance or None, default=None
            Source of the noise; None means the `random_state` of the estimator.

        Returns
        -------
        centers : ndarray of shape (n_samples, n_features)
            Outputs of the network for fresh noise, in the units of the data.

        Raises
        ------
        AttributeError
            With ``generator="codes"`` or :class:`Codes`.
        """
        from skgmje.mixture._kernel_training import sample_network

        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
        source = self.random_state if random_state is None else random_state
        seed = int(as_generator(source).integers(2**31 - 1))
        centers = sample_network(self.generator_, n_samples, self._code_dim, seed)
        return centers * self._scale + self._loc

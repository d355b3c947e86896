"""Autoencoders with several centers for a code."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import FLOATS, as_generator, check_torch
from skgmje._callbacks import FitTask
from skgmje._options import as_asked, as_options
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._standardize import plain_standardization, standardization
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import check_numbers, check_rows
from skgmje._warnings import warn
from skgmje.em._select import ROWS_PER_COMPONENT, fit_selected
from skgmje.embedding._base import NetworkTransformer
from skgmje.embedding._collapse import CollapseWarning
from skgmje.embedding._decoder_cost import KERNELS, OBJECTIVES, kernel_terms
from skgmje.embedding._views import ImageFormat, check_like_fit, flatten_images
from skgmje.gaussian._mixture import Mixture

# Entries of centers that exist at a time, and batches that are encoded together.
_CHUNK_ENTRIES = 2**22
_CHUNK_BATCHES = 32
_LARGEST_SEED = 2**31 - 1
# Share of a batch that must carry the gradient.
_LEAST_SHARE = 0.1


class KernelDecoder(NetworkTransformer):
    r"""Autoencoder with several centers for a code, trained by a kernel cost.

    An encoder maps a sample x to a code y; a decoder maps the code, with noise, to C
    centers :math:`x'_c(y)`. With
    :math:`q(x|y) = \frac1C \sum_c N(x; x'_c(y), v I)`, the Schwarz inequality

    .. math:: \frac{\big(E\, q(x|y)\big)^2}{E\, \langle q(\cdot|y), q(\cdot|y)
        \rangle} \le E\, \langle p(\cdot|y), p(\cdot|y) \rangle

    bounds what can be reached, and the gap in logarithms is the cost. Its denominator
    keeps centers apart. With one center and ``objective="sample"`` it is the squared
    error over v. A Gaussian mixture of the codes makes new samples.

    Parameters
    ----------
    code_dim : int, default=8
        Width of the code.

    n_centers : int, default=1
        Number of centers C that a code is decoded to. More than one pays with codes of
        up to about three dimensions: there try 4 with ``IsotropicKernel(kappa=0.1)``.
        With larger codes all centers become one.

    objective : {'sample', 'batch'}, default='sample'
        Whether each sample has a bound of its own, or all have one. With 'batch' and a
        small v, few samples carry the gradient; `fit` warns of it.

    kernel : {'isotropic', 'patches'} or object, default='isotropic'
        Whether one kernel compares whole samples, or one each the patches of an image,
        whose costs are averaged. :class:`~skgmje.embedding.IsotropicKernel` and
        :class:`~skgmje.embedding.PatchKernel` have settings, such as the variance v.

    code_noise : float, default=0.05
        Standard deviation of the noise on codes in training; codes have variance 1.

    n_components : int or 'auto', default=20
        Number of components of the mixture of codes, at most one for eight training
        samples; 'auto' takes the best held-out likelihood.

    hidden_layer_sizes : tuple of int, default=(512, 256)
        Hidden layers of the encoder; those of the decoder in reverse.

    bounded : bool, default=True
        Whether a sigmoid keeps centers between the least and the largest value of the
        training samples: of each feature with `standardize`, else of all.

    standardize : bool, default=False
        Whether every feature is scaled by its standard deviation. Otherwise one scale
        serves all, as suits images.

    max_iter : int or 'auto', default='auto'
        Number of gradient steps; 'auto' is 800 or, if there are fewer than 100 samples,
        8 for each of them, at least 100: further steps do not help new samples.

    batch_size : int, default=256
        Samples per step, all if there are fewer.

    learning_rate : float, default=0.004
        Step size of Adam at the start of its cosine.

    device : str, default='auto'
        Where to train and to evaluate: 'cpu', 'cuda', ...; 'auto' is a GPU if
        there is one. A fitted decoder falls back to the CPU.

    trainer : dict or None, default=None
        Further settings of the training, as those of :class:`GMJEEmbedder`.

    random_state : int, RandomState instance or None, default=None
        Controls networks, batches, noise, the mixture and :meth:`sample`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    encoder_, decoder_ : torch.nn.Module
        Trained networks, from standardized samples to codes and from these to
        standardized centers, on the CPU.

    latent_mixture_ : Mixture
        Density of the codes.

    kernel_variance_ : float or ndarray of shape (n_variances,)
        Variance v of the kernel at the end of the training, in the units of the
        kernel's `variance`; an array if there are several.

    residual_variance_ : float
        Mean squared difference, for each feature, of training samples to their
        nearest centers, in units of their scale.

    effective_samples_ : float
        How many samples of a batch carry the gradient at the end.

    loss_curve_ : ndarray of shape (n_iter_,)
        Cost before each step, times v for each feature of standardized samples: with
        one center the mean squared error. Of several v it is the harmonic mean.

    n_iter_ : int
        Number of gradient steps.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features of a sample.

    See Also
    --------
    GJEEmbedder : Embeddings of two views, which nothing decodes.
    skgmje.mixture.KernelMixtureDensity : Centers without codes.

    Notes
    -----
    The formula of the cost is our reading of the paper, which we know in parts.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje.embedding import KernelDecoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> decoder = KernelDecoder(max_iter=50, random_state=0).fit(X)
    >>> decoder.transform(X).shape
    (1797, 8)
    >>> decoder.decode(decoder.transform(X[:2])).means.shape
    (2, 1, 64)
    >>> rows, component = decoder.sample(5)
    >>> rows.shape
    (5, 64)
    """

    encoder_: Any
    decoder_: Any
    latent_mixture_: Mixture
    kernel_variance_: float | NDArray[Any]
    residual_variance_: float
    effective_samples_: float
    loss_curve_: NDArray[Any]
    n_iter_: int

    _parameter_constraints: dict = {
        "code_dim": [Interval(Integral, 1, None, closed="left")],
        "n_centers": [Interval(Integral, 1, None, closed="left")],
        "objective": [StrOptions(set(OBJECTIVES))],
        "kernel": [StrOptions(set(KERNELS)), *KERNELS.values()],
        "code_noise": [Interval(Real, 0, None, closed="left")],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "hidden_layer_sizes": ["array-like"],
        "bounded": ["boolean"],
        "standardize": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str],
        "trainer": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        code_dim: int = 8,
        *,
        n_centers: int = 1,
        objective: Literal["sample", "batch"] = "sample",
        kernel: Any = "isotropic",
        code_noise: float = 0.05,
        n_components: int | Literal["auto"] = 20,
        hidden_layer_sizes: tuple[int, ...] = (512, 256),
        bounded: bool = True,
        standardize: bool = False,
        max_iter: int | Literal["auto"] = "auto",
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        device: str = "auto",
        trainer: dict[str, Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.code_dim = code_dim
        self.n_centers = n_centers
        self.objective = objective
        self.kernel = kernel
        self.code_noise = code_noise
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.bounded = bounded
        self.standardize = standardize
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.trainer = trainer
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Train the networks, then fit the mixture of the codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or \
                (n_samples, height, width[, channels])
            Samples or images, at least two. After images, decoded and drawn samples are
            images too, of single precision; :meth:`decode` has flat samples.

        y : None
            Not used.

        Returns
        -------
        self : KernelDecoder
            The fitted estimator.
        """
        check_torch(type(self).__name__)
        # Late: importing the package needs no torch.
        from skgmje._training._schedule import Schedule
        from skgmje.embedding._decoder_training import (
            check_decoder,
            count_steps,
            train_decoder,
        )

        most = Schedule(count_steps(self.max_iter)).n_epochs
        with FitTask(self, X, y, n_steps=most) as task:
            X = self._read(X)
            image_shape = self._format and self._format.shape
            kernel = as_options(self.kernel, KERNELS)
            self._patches = kernel._cut(X.shape[1], image_shape)
            device, trainer = check_decoder(self, X)
            task.checkpoint = self._open_checkpoint(trainer, X)
            random_state = check_random_state(self.random_state)
            self._units = standardization(X, None, per_feature=self.standardize)
            seed = int(random_state.randint(_LARGEST_SEED))
            rows = self._units.forward(X, np.float32)
            where = self._bounds(X), kernel, self._patches, device
            trained = train_decoder(self, rows, *where, seed, task)
            complaint = task.end(self._store, task, trained, X, random_state)
        self._warn(trained, complaint, is_one=bool((X == X[0]).all()))
        return self

    def _store(self, task, trained, X, random_state):
        """Store the networks, and the density of codes; return what is wrong."""
        self._asked = as_asked(self)
        networks = {"encoder_": trained.encoder, "decoder_": trained.decoder}
        self._keep_training(trained.training, X.dtype, **networks)
        self._variances = np.array(trained.variances)
        found = self._variances * self._unit
        self.kernel_variance_ = found if len(found) > 1 else float(found[0])
        self.effective_samples_ = trained.effective_samples
        self._n_features_out = self.code_dim
        codes = self._encode(X)
        self.latent_mixture_, complaint = fit_codes(
            codes, self.n_components, random_state, task
        )
        total = sum(
            self._squares(X[part], centers).min(axis=1).sum()
            for part, centers in self._decode(codes)
        )
        # Samples that the network has memorized have some variance too.
        self.residual_variance_ = max(float(total) / X.size, 1e-12)
        return complaint

    def _read(self, X):
        """Return samples, and remember what images they were, if any."""
        rows, shape = flatten_images(X)
        rows = check_rows(self, rows, reset=True, min_samples=2)
        self._format, self._axes = None, rows.shape[1:]
        if shape is None:
            return rows
        self._format, self._axes = ImageFormat.of(rows, shape), tuple(np.shape(X)[1:])
        return rows.astype(np.float32, copy=False)

    @property
    def _unit(self):
        """Squared scale that multiplies the variance of the kernel."""
        return 1.0 if self.standardize else float(self._units.scale) ** 2

    def _bounds(self, X):
        """Return the least and the largest standardized value of each feature."""
        axis = 0 if self.standardize else None
        loc, scale = self._units[:2]
        return (X.min(axis=axis) - loc) / scale, (X.max(axis=axis) - loc) / scale

    def _rebuild(self):
        """Make networks of what a file says of them, and try them."""
        check_torch(type(self).__name__)
        from skgmje.embedding._decoder_training import restore_networks

        self.encoder_, self.decoder_ = restore_networks(self)
        self.decode(self._encode(np.zeros((1, self.n_features_in_))))

    def _warn(self, trained, complaint, *, is_one):
        """Warn of what is wrong."""
        self._warn_of_complaints(trained.training.complaint, complaint)
        words = "All samples are identical; codes carry no information." * is_one
        if self.effective_samples_ < _LEAST_SHARE * trained.batch_size:
            words = (
                f"Only {self.effective_samples_:.1f} of {trained.batch_size} samples "
                f"of a batch carry the gradient of {type(self).__name__}: the kernel "
                "is too narrow for the others to be learned. Use objective='sample', "
                "or increase the kernel's variance (variance='auto' tunes it)."
            )
        if words:
            warn(words, CollapseWarning)

    def _check_predict(self, X):
        """Return samples like those of fit, also of images."""
        check_is_fitted(self)
        # Older files know of no images.
        return check_like_fit(self, X, vars(self).get("_format"))

    def _as_given(self, rows):
        """Return samples, or images of single precision if fit saw images."""
        if vars(self).get("_format") is None:
            return rows
        return rows.reshape(len(rows), *self._axes).astype(np.float32, copy=False)

    def _check_codes(self, codes):
        check_is_fitted(self)
        codes = check_numbers(codes, "codes", dtype=FLOATS)
        width = self._asked.code_dim
        if codes.shape[1] != width:
            raise ValueError(
                f"codes has {codes.shape[1]} columns, but codes of this "
                f"{type(self).__name__} have code_dim={width}. Pass what transform "
                "returns."
            )
        return codes

    def _encode(self, X):
        """Return the codes of samples, float64."""
        from skgmje._training._hardware import naming_batch_size
        from skgmje.embedding._encoder import embed

        most = _CHUNK_BATCHES * self.batch_size
        with naming_batch_size(self.batch_size):
            return embed(self.encoder_, X, self.device, self._units, max_rows=most)

    def _decode(self, codes):
        """Yield slices of codes, and their centers in units of standardized samples."""
        from skgmje.embedding._encoder import embed

        shape = self._asked.n_centers, self.n_features_in_
        step = max(1, _CHUNK_ENTRIES // (shape[0] * shape[1]))
        for start in range(0, len(codes), step):
            part = slice(start, start + step)
            centers = embed(self.decoder_, codes[part], self.device)
            yield part, centers.reshape(-1, *shape)

    def _decode_to(self, codes, choose):
        """Return samples, not standardized, that `choose` makes of the centers."""
        parts = [choose(part, centers) for part, centers in self._decode(codes)]
        return self._units.inverse(np.concatenate(parts))

    def _mean(self, codes):
        return self._decode_to(codes, lambda part, centers: centers.mean(axis=1))

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Encode samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, or images if fit saw images.

        Returns
        -------
        codes : ndarray of shape (n_samples, code_dim)
            Their codes; over the training samples each has about unit variance.
        """
        X = self._check_predict(X)
        return self._encode(X).astype(X.dtype, copy=False)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Decode codes to the means of their centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, code_dim)
            Codes.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_features)
            Means over the centers; images if fit saw images.
        """
        codes = self._check_codes(X)
        return self._as_given(self._mean(codes).astype(codes.dtype, copy=False))

    def decode(self, codes: ArrayLike) -> Mixture:
        """Return the density of samples, given each code.

        Parameters
        ----------
        codes : array-like of shape (n_samples, code_dim)
            Codes.

        Returns
        -------
        mixture : Mixture
            One for each code, of `n_centers` Gaussians of equal weights, whose variance
            is `residual_variance_`, not that of the kernel.
        """
        codes = self._check_codes(codes).astype(np.float64, copy=False)
        means = self._decode_to(codes, lambda part, centers: centers)
        n_centers = self._asked.n_centers
        kind = "diag" if self._asked.standardize else "spherical"
        variance = self.residual_variance_ * np.square(self._units.scale)
        variances = np.stack([variance] * n_centers)
        return Mixture(np.full(n_centers, 1 / n_centers), means, variances, kind)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Encode samples, and decode them to the nearest of their centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, or images if fit saw images.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_features)
            With one center what `inverse_transform` makes of the codes; with more, a
            choice that has seen the sample. Images if fit saw images.
        """
        X = self._check_predict(X)

        def choose(part, centers):
            nearest = self._squares(X[part], centers).argmin(axis=1)
            return centers[np.arange(len(centers)), nearest]

        found = self._decode_to(self._encode(X), choose)
        return self._as_given(found.astype(X.dtype, copy=False))

    def _squares(self, X, centers):
        """Return squared distances to standardized centers, (n_samples, n_centers)."""
        rows = self._units.forward(X)
        return np.square(centers - rows[:, None]).sum(axis=-1)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw codes from their density, and one center of each.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            None means the ``random_state`` of the estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Centers, without the noise that ``decode(codes).sample()`` adds; images if
            fit saw images.

        component : ndarray of shape (n_samples,)
            The component of `latent_mixture_` that each code comes from.
        """
        check_is_fitted(self)
        source = self.random_state if random_state is None else random_state
        generator = as_generator(source)
        codes, component = self.latent_mixture_.sample(n_samples, generator)
        center = generator.integers(self._asked.n_centers, size=n_samples)

        def choose(part, centers):
            return centers[np.arange(len(centers)), center[part]]

        return self._as_given(self._decode_to(codes, choose)), component

    def bound_samples(self, X: ArrayLike) -> NDArray[Any]:
        r"""Compute the Schwarz bound of each sample: how well its centers say it.

        .. math:: \log \frac{q(x | y)^2}{\langle q(\cdot|y), q(\cdot|y) \rangle},
            \qquad q(\cdot|y) = \frac1C \sum_c N(x'_c(y), v I)

        On average over the samples of a code y it is at most
        :math:`\log \langle p(\cdot|y), p(\cdot|y) \rangle`, whatever the centers
        and v: a bound of a density's norm, no log-density. Comparable between
        decoders of one `kernel`; of patches it is the mean over them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, or images if fit saw images.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats.
        """
        X = self._check_predict(X)
        variances, n_patches = self._variances, self._patches.n_patches
        bound = np.empty(len(X))
        for part, centers in self._decode(self._encode(X)):
            rows = self._units.forward(X[part])
            terms = kernel_terms(rows, centers, variances, self._patches)
            bound[part] = terms.log_ratio.mean(axis=1)
        n_features = self.n_features_in_
        # Kernels of one height, the geometric mean, are added up.
        heights = n_features / 2 * np.log(np.pi * variances / n_patches).mean()
        scales = np.log(np.broadcast_to(self._units.scale, n_features)).sum()
        return bound - (heights + scales) / n_patches

    def score(self, X: ArrayLike, y: None = None) -> float:
        """Compute minus the mean squared error of decoded codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, or images if fit saw images.

        y : None
            Not used.

        Returns
        -------
        score : float
            Minus the mean over samples and features, in squared units of `X`.
        """
        X = self._check_predict(X)
        return -float(np.mean((self._mean(self._encode(X)) - X) ** 2))


# Samples that each component borrows from all, and a floor, in standard units.
_SHRINKAGE, _FLOOR = 2.0, 1e-4
# Iterations of EM, and of those that candidates for the number of components get.
_N_STEPS, _N_SELECTION_STEPS = 200, 100
# Codes are trained to have unit variance; what varies less is rounding.
_LEAST_STD = 1e-4


def fit_codes(codes, n_components, random_state, task):
    """Fit a mixture to codes by expectation-maximisation."""
    units = plain_standardization(codes, least=_LEAST_STD)
    rows = np.where(units.scale > _LEAST_STD, units.forward(codes), 0.0)
    if n_components == "auto" and task.when:
        n_components = 1
    selecting = {"max_iter": _N_SELECTION_STEPS}
    if n_components != "auto":
        n_components = max(1, min(n_components, len(rows) // ROWS_PER_COMPONENT))
        selecting = None
    result = fit_selected(
        rows,
        (n_components, "full", _SHRINKAGE),
        random_state,
        selecting=selecting,
        work=task,
        max_iter=_N_STEPS,
        reg_covar=_FLOOR,
    ).result
    complaint = ""
    if not result.converged:
        complaint = (
            f"The mixture of codes did not converge in {_N_STEPS} steps. Decrease "
            "n_components."
        )
    return result.mixture.affine(units.scale, units.loc), complaint

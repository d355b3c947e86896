"""Base class of the embedders, and the densities of their embeddings."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skgmje._backend import as_generator, check_torch, to_numpy
from skgmje._callbacks import EstimatorMixin, FitTask
from skgmje._options import as_asked
from skgmje._settings import own_settings
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._standardize import plain_standardization, standardization
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import check_rows
from skgmje._warnings import warn
from skgmje.conditional._base import CHUNK_ROWS, MixturePredictionMixin
from skgmje.conditional._models import JointConditional
from skgmje.em._select import fit_selected
from skgmje.embedding._collapse import CollapseWarning, describe, measure
from skgmje.embedding._embedder_options import (
    ENCODERS,
    INPUT,
    OUTPUTS,
    GJELoss,
    JointLoss,
    SIGRegLoss,
    check_options,
    encoders_of,
    layers_of,
    loss_of,
)
from skgmje.embedding._losses import LOSSES
from skgmje.embedding._views import (
    AUGMENTATIONS,
    VIEWS,
    ImageFormat,
    PairMoments,
    Pairs,
    agree_on_shape,
    check_like_fit,
    check_target,
    find_augmentation,
    flatten_images,
)
from skgmje.gaussian import Mixture

_BATCH_ROWS = 256
# Linear features beside the embedding, and samples that give their scale.
_MAX_DIRECTIONS = 128
_SCALE_ROWS = 2000
_LARGEST_SEED = 2**31 - 1
# Largest width of the embedding by 'auto', and samples in a batch for each dimension.
_OF_ROWS, _OF_IMAGES = (32, 8), (64, 4)


class Size(NamedTuple):
    """Width of the embedding and samples per step."""

    embedding_dim: int
    batch_size: int


def choose_size(estimator, n_pairs, auto):
    """Return the size that the samples allow."""
    batch_size, dim = estimator.batch_size, estimator.embedding_dim
    most, rows_per_dimension = auto
    if batch_size == "auto":
        fewest = 0 if dim == "auto" else rows_per_dimension * dim
        batch_size = max(_BATCH_ROWS, fewest)
    batch_size = min(batch_size, n_pairs)
    if dim == "auto":
        dim = max(1, min(most, batch_size // rows_per_dimension))
    loss = loss_of(estimator)
    if batch_size < 2:
        raise ValueError(
            f"batch_size={batch_size} is too small for a loss that keeps samples "
            "apart. Increase it to 2 or more."
        )
    # Averages over batches have a full rank that a batch alone has not.
    n_rows = n_pairs if loss.moment_decay else batch_size
    if loss._needs_full_rank and n_rows < 2 * dim:
        raise ValueError(
            f"embedding_dim={dim} needs at least {2 * dim} samples in a batch, because "
            f"the log-determinants of fewer are of no full rank; got {n_rows} "
            f"(batch_size={estimator.batch_size!r}, {n_pairs} samples or pairs). "
            "Decrease embedding_dim, increase batch_size, or average them over "
            "batches: loss=GJELoss(moment_decay=0.5)."
        )
    return Size(dim, batch_size)


class NetworkTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, EstimatorMixin, BaseEstimator
):
    """A transformer that torch trains."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _keep_training(self, training, dtype, **networks):
        """Store how the training went, and networks in the precision of the data."""
        import torch

        precision = torch.float64 if dtype == np.float64 else torch.float32
        for name, network in networks.items():
            setattr(self, name, network.to(precision))
        self.loss_curve_ = training.loss_curve
        self.n_iter_ = max(1, len(self.loss_curve_))

    def _warn_of_complaints(self, *complaints):
        """Warn of what did not converge, if anything."""
        words = " ".join(complaint for complaint in complaints if complaint)
        if words:
            message = f"{type(self).__name__} did not converge. {words}"
            warn(message, ConvergenceWarning)


class Embedder(MixturePredictionMixin, NetworkTransformer, ABC):
    """An embedder: trains encoders, fits a density, and predicts.

    A subclass fits a density to frozen embeddings in :meth:`_fit_density`.
    """

    encoder_: Any
    target_encoder_: Any
    occupancy_: NDArray[Any]
    embedding_dim_: int
    effective_rank_: float
    std_: NDArray[Any]
    logdet_marginals_: NDArray[Any]
    logdet_drop_: NDArray[Any]
    loss_curve_: NDArray[Any]
    information_: NDArray[Any]
    n_iter_: int
    image_shape_: tuple[int, ...] | None

    _parameter_constraints: dict = {
        "embedding_dim": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "views": [StrOptions(set(VIEWS))],
        "augmentation": [StrOptions(set(AUGMENTATIONS)), callable, None],
        "encoder": [StrOptions({*ENCODERS}), *ENCODERS.values(), callable, tuple],
        "loss": [StrOptions({*LOSSES}), GJELoss, JointLoss, SIGRegLoss, callable],
        "output": [StrOptions({*OUTPUTS}), tuple, list],
        "standardize": ["boolean"],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str],
        "trainer": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        embedding_dim: int | Literal["auto"] = "auto",
        *,
        views: Literal["augment", "neighbors", "pair"] = "augment",
        augmentation: Literal["aligned", "scene"] | Callable[..., Any] | None = None,
        encoder: Any = "auto",
        loss: Any = "gje",
        output: Literal["embedding", "hidden", "multi"] | list[str] = "embedding",
        standardize: bool = True,
        max_iter: int | Literal["auto"] = 300,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 2e-3,
        device: str = "auto",
        trainer: dict[str, Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.views = views
        self.augmentation = augmentation
        self.encoder = encoder
        self.loss = loss
        self.output = output
        self.standardize = standardize
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.trainer = trainer
        self.random_state = random_state
        self.verbose = verbose

    @property
    @abstractmethod
    def _n_prototypes(self):
        """Number of components in ``loss="joint"``, unless it says so itself."""

    @abstractmethod
    def _density_settings(self, device):
        """Return the settings of :meth:`_fit_density`; raise if they are wrong."""

    @abstractmethod
    def _fit_density(self, settings, z_context, z_target, random_state, task):
        """Return the density of pairs of embeddings."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.views == "pair":
            tags.target_tags.required = True
            tags.target_tags.two_d_labels = True
            tags.target_tags.multi_output = True
            tags.target_tags.single_output = False
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train the encoders, then fit the density of their embeddings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or \
                (n_samples, height, width[, channels])
            Samples or images; with ``views="pair"`` the context view.

        y : array-like of shape (n_samples, n_targets) or \
                (n_samples, height, width[, channels]), default=None
            The target view with ``views="pair"``, else ignored.

        Returns
        -------
        self : estimator
            The fitted estimator.
        """
        check_torch(type(self).__name__)
        # Late: importing the package needs no torch.
        from skgmje._training._schedule import Schedule
        from skgmje.embedding._encoder import check_training, train_encoders

        n_steps = Schedule(self.max_iter).n_epochs
        with FitTask(self, X, y, n_steps=n_steps) as task:
            check_options(self)
            device, trainer = check_training(self)
            settings = self._density_settings(device)
            X, y = self._read(X, y)
            data = (X,) if y is None else (X, to_numpy(y))
            task.checkpoint = self._open_checkpoint(trainer, *data)
            random_state = check_random_state(self.random_state)
            self._views = VIEWS[self.views]().fit(X, y)
            context, target = self._views.pairs(X, y)
            units = self._standardization(X, 0)
            is_pair = self._views.needs_y
            self._units = units, self._standardization(target, 1) if is_pair else units
            pairs = Pairs(self._views, context, target, *self._units)
            auto = _OF_IMAGES if self._formats[0] else _OF_ROWS
            size = choose_size(self, len(pairs.context), auto)
            seed, self._seed = random_state.randint(_LARGEST_SEED, size=2).tolist()
            trained = train_encoders(self, pairs, size, device, seed, task)
            more = seed, settings, random_state
            complaints, words = task.end(self._store, task, trained, X, pairs, *more)
        self._warn_of_complaints(*complaints)
        if words:
            message = f"The embeddings of {type(self).__name__} have collapsed. {words}"
            warn(message, CollapseWarning)
        return self

    def _store(self, task, trained, X, pairs, seed, settings, random_state):
        """Store encoders and the density of what they make; return what is wrong."""
        self._asked = as_asked(self)
        networks = {"encoder_": trained.context, "target_encoder_": trained.target}
        self._keep_training(trained.training, X.dtype, **networks)
        self.logdet_drop_ = trained.logdet_drop
        self.information_ = trained.information
        self._directions = None
        if INPUT in layers_of(self.output):
            self._directions = self._find_directions(X)
        views = self._draw_views(pairs, seed)
        self._moments = PairMoments.from_pairs(*views)
        # What will be asked for is the sample as it is.
        z_context = self._encode(self.encoder_, pairs.context)
        self._density, complaint = self._fit_density(
            settings, z_context, views[1], random_state, task
        )
        shares = self._density.marginal.responsibilities(z_context)
        self.occupancy_ = shares.mean(axis=0)
        return [trained.training.complaint, complaint], self._judge(z_context)

    def _read(self, X, y):
        """Return the samples of `X` and `y`, and remember which of them are images."""
        own, target_own = encoders_of(self)
        X, found = flatten_images(X)
        X = check_rows(self, X, reset=True, min_samples=2)
        shape = agree_on_shape(own.image_shape, found)
        self.image_shape_ = shape
        context = target = None
        if shape is not None:
            context = target = ImageFormat.of(X, shape)
            X = X.astype(np.float32, copy=False)
        find_augmentation(self.augmentation, shape)
        if VIEWS[self.views].needs_y:
            y, found = flatten_images(y, "y")
            shape = agree_on_shape(target_own.image_shape, found, "y")
            target = None
            if shape is not None and y is not None:
                y = check_target(y, None)
                target = ImageFormat.of(y, shape, "y")
                y = y.astype(np.float32, copy=False)
        self._formats = context, target
        return X, y

    def _standardization(self, X, view):
        """Return the standardization of a view, by channel if it holds images."""
        known = self._formats[view]
        if known is None:
            return standardization(X, None, per_feature=self.standardize)
        return known.standardization(X, per_channel=self.standardize)

    def _find_directions(self, X):
        """Return linear features of samples that weigh as much as the layer does."""
        rows = self._units[0].forward(X, np.float32)
        pca = PCA(min(*rows.shape, _MAX_DIRECTIONS), random_state=0).fit(rows)
        Z = self._encode(self._network(INPUT), X[:: -(-len(X) // _SCALE_ROWS)])
        weight = np.sqrt(Z.var(axis=0).sum() / pca.explained_variance_.sum())
        return weight * pca.components_.T.astype(np.float64)

    def _rebuild(self):
        """Make networks of what a file says of them, and try them."""
        check_torch(type(self).__name__)
        from skgmje.embedding._encoder import restore_encoders

        self.encoder_, self.target_encoder_ = restore_encoders(self)
        rows = np.zeros((1, self.n_features_in_))
        # What `output` names by now may be more than fit was asked for.
        layer = self._network(INPUT) if self._directions is None else self._layer
        self._encode(layer, rows)
        self._density.predict_mixture(self._encode(self.encoder_, rows))

    def _judge(self, z_context):
        """Store what is known of the embeddings; return what is wrong, in words."""
        figures = measure(z_context)
        self.effective_rank_ = figures["effective_rank"]
        self.std_ = figures["std"]
        views = self._moments.context, self._moments.target
        self.logdet_marginals_ = np.array(
            [np.linalg.slogdet(view.covariances[0])[1] for view in views]
        )
        self.embedding_dim_ = z_context.shape[1]
        return describe(figures, len(z_context), self.logdet_drop_.max())

    @property
    def _shapes(self):
        """Heights, widths and channels of both views' images, or None."""
        return tuple(known and known.shape for known in self._formats)

    def _encode(self, encoder, rows, view=0):
        """Return the embeddings of samples of a view, float64."""
        from skgmje.embedding._encoder import embed

        return embed(encoder, rows, self.device, self._units[view])

    def _draw_views(self, pairs, seed):
        """Return the embeddings of two views of each sample."""
        from skgmje.embedding._encoder import embed_views

        return embed_views(self, pairs, seed)

    def _check_predict(self, X):
        """Return samples like those of fit."""
        check_is_fitted(self)
        return check_like_fit(self, X, self._formats[0])

    def _check_target(self, y):
        """Return samples like those of the target view in fit."""
        known = self._formats[1]
        n_targets = len(self._units[1].loc)
        if known is None:
            return check_target(y, n_targets)
        return known.checked(check_target(known.flatten(y, "y"), n_targets), "y")

    def _embed(self, X):
        """Return the context embeddings of samples, float64."""
        X = self._check_predict(X)
        return self._encode(self.encoder_, X)

    def _mixture_of(self, X):
        """Return the densities of the target embeddings, given checked samples."""
        return self._density.predict_mixture(self._encode(self.encoder_, X))

    def _chunks(self, X):
        """Yield the mixtures of some samples, all of which are embedded at once."""
        Z = self._embed(X)
        for start in range(0, len(Z), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield self._density.predict_mixture(Z[rows]), rows

    @property
    def _layer(self):
        """The network that `transform` evaluates, of standardized samples."""
        if self._directions is None and INPUT in layers_of(self.output):
            raise ValueError(
                f"output={self.output!r} needs principal components of the samples, "
                "which fit was not asked for. Fit again with this output."
            )
        return self._network()

    def _network(self, *left_out):
        """Return the network of what `output` names, but for some of it."""
        from skgmje.embedding._encoder import Layers

        names = [name for name in layers_of(self.output) if name not in left_out]
        directions = self._directions if INPUT in names else None
        return Layers(self.encoder_, names, directions)

    @property
    def _n_features_out(self):
        return self._encode(self._layer, np.zeros((1, self.n_features_in_))).shape[1]

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Embed samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of the context view, or images.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features_out)
            What `output` names.
        """
        X = self._check_predict(X)
        return self._encode(self._layer, X).astype(X.dtype, copy=False)

    def transform_target(
        self,
        y: ArrayLike,
        output: Literal["embedding", "hidden", "multi"] = "embedding",
    ) -> NDArray[Any]:
        """Embed samples of the target view, to compare them with :meth:`predict`.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_targets)
            Samples of the target view, or images; without ``views="pair"`` they have
            the features of `X`.

        output : {'embedding', 'hidden', 'multi'}, default='embedding'
            Only embeddings compare with predictions.

        Returns
        -------
        Z : ndarray of shape (n_samples, embedding_dim)
            Their embeddings, or the other layer.
        """
        check_is_fitted(self)
        from skgmje.embedding._encoder import Layers

        if output not in OUTPUTS:
            raise ValueError(f"output={output!r} must be one of {list(OUTPUTS)}.")
        y = self._check_target(y)
        Z = self._encode(Layers(self.target_encoder_, [output]), y, view=1)
        return Z.astype(y.dtype, copy=False)

    def score_samples(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray[Any]:
        """Compute the log-density of the embeddings, never comparable between encoders.

        One Gaussian of all classes may give samples of no class more density than real
        ones: to find those, use several components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of the context view.

        y : array-like of shape (n_samples, n_targets), default=None
            Samples of the target view, for the joint log-density of both embeddings.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            In nats, in the units of the embedding.
        """
        z_context = self._embed(X)
        if y is None:
            return self._density.marginal.log_prob(z_context)
        check_consistent_length(X, y)
        return self._density.log_prob(z_context, self.transform_target(y))

    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Estimate the mutual information of the two views of held-out samples.

        As if the embeddings were Gaussian, with the moments of the training samples, so
        that overfitting lowers the score. Invertible linear maps of the embeddings
        change nothing: it compares encoders, losses and widths.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples that training has not seen.

        y : array-like of shape (n_samples, n_targets), default=None
            The target view with ``views="pair"``, else ignored.

        Returns
        -------
        information : float
            Mean pointwise mutual information, in nats; higher is better.
        """
        X = self._check_predict(X)
        if self._views.needs_y and y is not None:
            y = self._check_target(y)
        pairs = Pairs(self._views, *self._views.pairs(X, y), *self._units)
        views = self._draw_views(pairs, self._seed)
        return float(self._moments.information(*views).mean())

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw context embeddings from their density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            None means the ``random_state`` of the estimator.

        Returns
        -------
        Z : ndarray of shape (n_samples, embedding_dim)
            The samples, in no particular order.

        component : ndarray of shape (n_samples,)
            The component that each sample comes from.
        """
        check_is_fitted(self)
        source = self.random_state if random_state is None else random_state
        return self._density.marginal.sample(n_samples, as_generator(source))

    @property
    def latent_mixture_(self) -> Mixture:
        """Density of the context embedding."""
        check_is_fitted(self)
        return self._density.marginal


def export_onnx(
    embedder: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    view: Literal["context", "target"] = "context",
) -> Any:
    r"""Return a trained encoder as a model of ONNX, the Open Neural Network Exchange.

    .. math:: Z = f((X - \mu) / \sigma)

    The model has location :math:`\mu` and scale :math:`\sigma` of the training samples.

    Parameters
    ----------
    embedder : GJEEmbedder or GMJEEmbedder
        Fitted; an `encoder` of your own is exported if torch can trace it.

    path : str or path-like, default=None
        File to write; None writes none.

    view : {'context', 'target'}, default='context'
        Whether the model does what ``transform`` does, or ``transform_target``.

    Returns
    -------
    model : onnx.ModelProto
        Its input ``X`` has the shape (n_samples, n_features) and the precision of
        the training samples, its output ``Z`` is their embedding; n_samples is free.

    Raises
    ------
    ImportError
        If onnx or onnxscript is missing: it needs the extra ``onnx``, and torch 2.6.

    TypeError
        If `embedder` is none.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GJEEmbedder
    >>> from skgmje.embedding import export_onnx
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> embedder = GJEEmbedder(2, max_iter=5, random_state=0).fit(X)
    >>> model = export_onnx(embedder)
    >>> [value.name for value in model.graph.output]
    ['Z']
    """
    if not isinstance(embedder, Embedder):
        raise TypeError(
            f"{embedder!r} is no embedder. Pass a fitted GJEEmbedder or GMJEEmbedder."
        )
    if view not in ("context", "target"):
        raise ValueError(f"view={view!r} must be one of ['context', 'target'].")
    check_is_fitted(embedder)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'export_onnx needs onnx and onnxscript: pip install "skgmje[onnx]".'
        ) from error
    with own_settings():
        if view == "context":
            program = _export(embedder._layer, embedder._units[0])
        else:
            program = _export(embedder.target_encoder_, embedder._units[1])
    if path is not None:
        program.save(path)
    return program.model_proto


def _export(network, units):
    """Return torch's ONNX program of standardisation and network."""
    import torch

    from skgmje.embedding._encoder import Standardizing

    module = Standardizing(network, units).eval()
    rows = torch.zeros(2, len(np.atleast_1d(units.loc)), dtype=module.dtype)
    with warnings.catch_warnings():
        # What torch says of its own code to itself.
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            input_names=["X"],
            output_names=["Z"],
            dynamic_shapes={"X": {0: torch.export.Dim("n_samples")}},
            verbose=False,
        )


# Of the scales, as a share of the largest one.
_LEAST_SCALE = 1e-6


class LatentDensity(NamedTuple):
    """Densities of context and target embeddings."""

    conditional: Any
    marginal: Any
    context_units: Any
    target_units: Any

    def predict_mixture(self, z_context):
        """Return the mixtures of the targets, one for each sample."""
        loc, scale = self.target_units[:2]
        rows = self.context_units.forward(z_context)
        return self.conditional.predict_mixture(rows).affine(scale, loc)

    def log_prob(self, z_context, z_target):
        """Compute the joint log-density by the chain rule."""
        conditional = self.predict_mixture(z_context).log_prob(z_target)
        return self.marginal.log_prob(z_context) + conditional


def standardize_views(*views):
    """Return the standardizations of embeddings, with a floor for collapsed ones."""
    return [plain_standardization(Z, least_share=_LEAST_SCALE) for Z in views]


def latent_density(
    model, z_context, context_units, target_units, settings=None, random_state=None
):
    """Complete a conditional density by the marginal of its contexts."""
    if isinstance(model, JointConditional):
        marginal = model.mixture.marginal(slice(0, model.n_context))
    else:
        marginal = fit_selected(
            context_units.forward(z_context),
            (settings.n_components, settings.covariance_type, settings.shrinkage),
            random_state,
            selecting={},
            tol=settings.tol,
            reg_covar=settings.reg_covar,
        ).result.mixture
    loc, scale = context_units[:2]
    marginal = marginal.affine(scale, loc)
    return LatentDensity(model, marginal, context_units, target_units)

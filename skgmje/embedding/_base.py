"""What every embedder does: train encoders, then ask a density of the embeddings."""

import warnings
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skgmje._base import (
    Integral,
    Interval,
    PathLike,
    Real,
    StrOptions,
    _fit_context,
    check_rows,
)
from skgmje._estimator import EstimatorMixin, FitTask
from skgmje._units import standardization
from skgmje.embedding._answers import EmbedderAnswers
from skgmje.embedding._augmentation import AUGMENTATIONS
from skgmje.embedding._density import PairMoments
from skgmje.embedding._diagnosis import describe, measure, warn_of_collapse
from skgmje.embedding._images import (
    ImageFormat,
    agree_on_shape,
    check_image_shape,
    flatten_images,
)
from skgmje.embedding._losses import LOSSES
from skgmje.embedding._views import VIEWS, Pairs

_BATCH_ROWS = 256
# Linear features beside the embedding, and rows that tell their scale.
_MAX_DIRECTIONS = 128
_SCALE_ROWS = 2000
_LARGEST_SEED = 2**31 - 1

PARAMETER_CONSTRAINTS = {
    "embedding_dim": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "views": [StrOptions(set(VIEWS))],
    "augmentation": [StrOptions(set(AUGMENTATIONS)), callable, None],
    "encoder": [StrOptions({"mlp", "convnet"}), callable, None],
    "target_encoder": [StrOptions({"mlp", "convnet"}), callable, None],
    "image_shape": ["array-like", None],
    "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
    "embedding_layer": [StrOptions({"output", "hidden", "multi"})],
    "passthrough": ["boolean"],
    "loss": [StrOptions(set(LOSSES)), callable],
    "rho": [Interval(Real, 0, 1, closed="left")],
    "logdet_weight": [Interval(Real, 0, None, closed="left")],
    "moment_decay": [Interval(Real, 0, 1, closed="left")],
    "target": [StrOptions({"shared", "ema"})],
    "norm": [StrOptions({"sphere", "batch"}), None],
    "standardize": ["boolean"],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "device": [str],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "checkpoint_dir": [str, PathLike, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class AutoSize(NamedTuple):
    """What 'auto' chooses for rows, or for images.

    Parameters
    ----------
    embedding_dim : int
        Largest width.

    rows_per_dimension : int
        Rows of a batch for each of its dimensions.
    """

    embedding_dim: int
    rows_per_dimension: int


_OF_ROWS, _OF_IMAGES = AutoSize(32, 8), AutoSize(64, 4)


class Size(NamedTuple):
    """Width of the embedding and rows per step.

    Parameters
    ----------
    embedding_dim : int
        Width of the embedding.

    batch_size : int
        Rows per gradient step.
    """

    embedding_dim: int
    batch_size: int


def choose_size(estimator, n_pairs, auto):
    """Return the size that the rows allow.

    Raises
    ------
    ValueError
        If a covariance of that many dimensions has no full rank in a batch.
    """
    batch_size, dim = estimator.batch_size, estimator.embedding_dim
    if batch_size == "auto":
        fewest = 0 if dim == "auto" else auto.rows_per_dimension * dim
        batch_size = max(_BATCH_ROWS, fewest)
    batch_size = min(batch_size, n_pairs)
    if dim == "auto":
        most = batch_size // auto.rows_per_dimension
        dim = max(1, min(auto.embedding_dim, most))
    # Averages over batches have a full rank that a batch alone has not.
    n_rows = n_pairs if estimator.moment_decay else batch_size
    if n_rows < 2 * dim:
        raise ValueError(
            f"embedding_dim={dim} needs at least {2 * dim} rows in a batch, because "
            f"the log-determinants of fewer are of no full rank; got {n_rows} "
            f"(batch_size={estimator.batch_size!r}, {n_pairs} rows or pairs). Decrease "
            "embedding_dim, increase batch_size, or let loss='gje' average them: "
            "moment_decay=0.5."
        )
    return Size(dim, batch_size)


class EmbedderMixin(EmbedderAnswers, EstimatorMixin, ABC):
    """An embedder: trains encoders, fits a density, and answers.

    A subclass fits a density to frozen embeddings in :meth:`_fit_density`.
    """

    @abstractmethod
    def _density_settings(self):
        """Return what :meth:`_fit_density` is told; raise if it is wrong."""

    @abstractmethod
    def _fit_density(self, settings, z_context, z_target, random_state, task):
        """Return the density of pairs of embeddings.

        Parameters
        ----------
        settings : Settings or None
            What :meth:`_density_settings` returned.

        z_context, z_target : ndarray of shape (n_pairs, embedding_dim)
            Embeddings of the training rows.

        random_state : RandomState instance
            Source of randomness.

        task : FitTask
            Its `when` tells whether Ctrl-C has come, so that there is no time.

        Returns
        -------
        density : LatentDensity
            Of contexts, and of targets given contexts.

        trouble : str
            What a user should know, in sentences.
        """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        if self.views == "pair":
            tags.target_tags.required = True
            tags.target_tags.two_d_labels = True
            tags.target_tags.multi_output = True
            tags.target_tags.single_output = False
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the encoders, then fit the density of their embeddings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or \
                (n_samples, height, width[, channels])
            Rows or images; with ``views="pair"`` the context view.

        y : array-like of shape (n_samples, n_targets) or \
                (n_samples, height, width[, channels]), default=None
            The target view with ``views="pair"``, else ignored.

        Returns
        -------
        self : estimator
            The fitted estimator.
        """
        # Late: importing the package needs no torch.
        from skgmje.embedding._training import check_settings, train_encoders
        from skgmje.modules._schedule import Schedule

        n_steps = Schedule(self.max_iter).n_epochs
        with FitTask(self, X, y, n_steps=n_steps) as task:
            X, y = self._read(X, y)
            device, settings = check_settings(self), self._density_settings()
            data = (X,) if y is None else (X, np.asarray(y))
            task.checkpoint = self._open_checkpoint(*data)
            random_state = check_random_state(self.random_state)
            self._views = VIEWS[self.views]().fit(X, y)
            context, target = self._views.pairs(X, y)
            units = self._find_units(X, 0)
            is_pair = self._views.needs_y
            self._units = units, self._find_units(target, 1) if is_pair else units
            pairs = Pairs(self._views, context, target, *self._units)
            auto = _OF_IMAGES if self._image_formats[0] else _OF_ROWS
            size = choose_size(self, len(pairs.context), auto)
            seed, self._seed = random_state.randint(_LARGEST_SEED, size=2).tolist()
            trained = train_encoders(self, pairs, size, device, seed, task)
            more = seed, settings, random_state
            troubles, words = task.end(self._store, task, trained, X, pairs, *more)
        self._warn(troubles, words)
        return self

    def _store(self, task, trained, X, pairs, seed, settings, random_state):
        """Store encoders and the density of what they make; return what is wrong."""
        self._keep(trained, X.dtype)
        self._directions = None
        if self.passthrough:
            self._directions = self._find_directions(X)
        views = self._draw_views(pairs, seed)
        self._moments = PairMoments.from_pairs(*views)
        # What will be asked for is the row as it is.
        z_context = self._encode(self.encoder_, pairs.context)
        density, trouble = self._fit_density(
            settings, z_context, views[1], random_state, task
        )
        self._density = density
        self.occupancy_ = density.marginal.responsibilities(z_context).mean(axis=0)
        return [trained.training.trouble, trouble], self._judge(z_context)

    def _read(self, X, y):
        """Return the rows of `X` and `y`, and remember which of them are images."""
        X, found = flatten_images(X)
        X = check_rows(self, X, reset=True, min_samples=2)
        shape = agree_on_shape(check_image_shape(self.image_shape), found)
        self.image_shape_ = shape
        context = target = None
        if shape is not None:
            context = target = ImageFormat.of(X, shape)
            X = X.astype(np.float32, copy=False)
        if VIEWS[self.views].needs_y:
            (y, shape), target = flatten_images(y, "y"), None
            if shape is not None:
                target, y = ImageFormat.of(y, shape), y.astype(np.float32, copy=False)
        self._formats = context, target
        return X, y

    def _find_units(self, X, view):
        """Return the units of a view: one scale for each channel of images."""
        known = self._image_formats[view]
        if known is None:
            return standardization(X, None, per_feature=self.standardize)
        return known.units(X, per_channel=self.standardize)

    def _find_directions(self, X):
        """Return linear features of rows that weigh as much as the layer does."""
        rows = self._units[0].standardise(X, np.float32)
        pca = PCA(min(*rows.shape, _MAX_DIRECTIONS), random_state=0).fit(rows)
        Z = self._encode(self._layer, X[:: -(-len(X) // _SCALE_ROWS)])
        weight = np.sqrt(Z.var(axis=0).sum() / pca.explained_variance_.sum())
        return weight * pca.components_.T.astype(np.float64)

    def _keep(self, trained, dtype):
        """Store the encoders in the precision of the data."""
        import torch

        precision = torch.float64 if dtype == np.float64 else torch.float32
        self.encoder_ = trained.context.to(precision)
        self.target_encoder_ = trained.target.to(precision)
        self.loss_curve_ = trained.training.loss_curve
        self.n_iter_ = max(1, len(self.loss_curve_))
        self.logdet_drop_ = trained.logdet_drop
        self.information_ = trained.information

    def _rebuild(self):
        """Make networks of what a file says of them, and try them."""
        from skgmje.embedding._training import restore_encoders

        self.encoder_, self.target_encoder_ = restore_encoders(self)
        rows = np.zeros((1, self.n_features_in_))
        self._encode(self._layer, rows)
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

    def _warn(self, troubles, words):
        """Warn of what is wrong."""
        name = type(self).__name__
        troubles = [trouble for trouble in troubles if trouble]
        if troubles:
            warnings.warn(
                f"{name} did not converge. {' '.join(troubles)}",
                ConvergenceWarning,
                stacklevel=4,
            )
        warn_of_collapse(name, words)

"""What every embedder does: train encoders, then ask a density of the embeddings."""

import warnings
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
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
from skgmje.embedding._density import PairMoments
from skgmje.embedding._diagnosis import describe, measure, warn_of_collapse
from skgmje.embedding._losses import LOSSES
from skgmje.embedding._views import VIEWS

# Widest embedding that is chosen, and rows of a batch for each of its dimensions.
_WIDEST = 32
_ROWS_PER_DIMENSION = 8
_BATCH_ROWS = 256
_LARGEST_SEED = 2**31 - 1

PARAMETER_CONSTRAINTS = {
    "embedding_dim": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "views": [StrOptions(set(VIEWS))],
    "augmentation": [callable, None],
    "encoder": [callable, None],
    "target_encoder": [callable, None],
    "hidden_layer_sizes": ["array-like"],
    "embedding_layer": [StrOptions({"output", "hidden"})],
    "loss": [StrOptions(set(LOSSES)), callable],
    "rho": [Interval(Real, 0, 1, closed="left")],
    "logdet_weight": [Interval(Real, 0, None, closed="left")],
    "target": [StrOptions({"shared", "ema"})],
    "norm": [StrOptions({"sphere", "batch"}), None],
    "standardize": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "device": [str],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "checkpoint_dir": [str, PathLike, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


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


def choose_size(estimator, n_pairs):
    """Return the size that the rows allow.

    Raises
    ------
    ValueError
        If a covariance of that many dimensions has no full rank in a batch.
    """
    batch_size, dim = estimator.batch_size, estimator.embedding_dim
    if batch_size == "auto":
        batch_size = max(_BATCH_ROWS, 0 if dim == "auto" else _ROWS_PER_DIMENSION * dim)
    batch_size = min(batch_size, n_pairs)
    if dim == "auto":
        dim = max(1, min(_WIDEST, batch_size // _ROWS_PER_DIMENSION))
    if batch_size < 2 * dim:
        raise ValueError(
            f"embedding_dim={dim} needs at least {2 * dim} rows in a batch, because "
            f"the log-determinants of fewer are of no full rank; got {batch_size} "
            f"(batch_size={estimator.batch_size!r}, {n_pairs} rows or pairs). Decrease "
            "embedding_dim, or increase batch_size."
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
    def _fit_density(self, settings, z_context, z_target, random_state):
        """Return the density of pairs of embeddings.

        Parameters
        ----------
        settings : Settings or None
            What :meth:`_density_settings` returned.

        z_context, z_target : ndarray of shape (n_pairs, embedding_dim)
            Embeddings of the training rows.

        random_state : RandomState instance
            Source of randomness.

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
        X : array-like of shape (n_samples, n_features)
            Rows; with ``views="pair"`` the context view.

        y : array-like of shape (n_samples, n_targets), default=None
            The target view with ``views="pair"``, else ignored.

        Returns
        -------
        self : estimator
            The fitted estimator.
        """
        given = X
        X = check_rows(self, X, reset=True, min_samples=2)
        # Late: importing the package needs no torch.
        from skgmje.embedding._training import check_settings, train_encoders
        from skgmje.modules._schedule import Schedule

        task = FitTask(self, given, y, n_steps=Schedule(self.max_iter).n_epochs)
        device, settings = check_settings(self), self._density_settings()
        data = (X,) if y is None else (X, np.asarray(y))
        task.checkpoint = self._open_checkpoint(*data)
        random_state = check_random_state(self.random_state)
        self._views = VIEWS[self.views]().fit(X, y)
        context_units = target_units = self._find_units(X)
        if self._views.needs_y:
            target_units = self._find_units(self._views.pairs(X, y)[1])
        self._units = context_units, target_units
        pairs = self._pair(X, y)
        size = choose_size(self, len(pairs.context))
        seed, self._seed = random_state.randint(_LARGEST_SEED, size=2).tolist()
        trained = train_encoders(self, pairs, size, device, seed, task)
        self._keep(trained, X.dtype)
        views = self._draw_views(pairs, seed)
        self._moments = PairMoments.from_pairs(*views)
        # What will be asked for is the row as it is.
        z_context = self._encode(self.encoder_, pairs.standardised()[0])
        density, trouble = self._fit_density(
            settings, z_context, views[1], random_state
        )
        self._density = density
        self.occupancy_ = density.marginal.responsibilities(z_context).mean(axis=0)
        self._judge(z_context, [trained.training.trouble, trouble])
        task.end()
        return self

    def _find_units(self, X):
        return standardization(X, None, per_feature=self.standardize)

    def _keep(self, trained, dtype):
        """Store the encoders in the precision of the data."""
        import torch

        precision = torch.float64 if dtype == np.float64 else torch.float32
        self.encoder_ = trained.context.to(precision)
        self.target_encoder_ = trained.target.to(precision)
        self.loss_curve_ = trained.training.loss_curve
        self.n_iter_ = max(1, len(self.loss_curve_))
        self.logdet_drop_ = trained.logdet_drop

    def _rebuild(self):
        """Make networks of what a file says of them, and try them."""
        from skgmje.embedding._training import restore_encoders

        self.encoder_, self.target_encoder_ = restore_encoders(self)
        rows = np.zeros((1, self.n_features_in_))
        self._output(rows)
        self._density.predict_mixture(self._encode(self.encoder_, rows))

    def _judge(self, z_context, troubles):
        """Store what is known of the embeddings, and warn of what is wrong."""
        figures = measure(z_context)
        self.effective_rank_ = figures["effective_rank"]
        self.std_ = figures["std"]
        views = self._moments.context, self._moments.target
        self.logdet_marginals_ = np.array(
            [np.linalg.slogdet(view.covariances[0])[1] for view in views]
        )
        self.embedding_dim_ = z_context.shape[1]
        self._n_features_out = self._output(np.zeros((1, self.n_features_in_))).shape[1]
        name = type(self).__name__
        troubles = [trouble for trouble in troubles if trouble]
        if troubles:
            warnings.warn(
                f"{name} did not converge. {' '.join(troubles)}",
                ConvergenceWarning,
                stacklevel=4,
            )
        words = describe(figures, len(z_context), self.logdet_drop_.max())
        warn_of_collapse(name, words)

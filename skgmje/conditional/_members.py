"""Members of a conditional stack: their contract, and the simple ones."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skgmje.conditional._joint_sources import JointMixture
from skgmje.conditional._models import join_mixtures
from skgmje.conditional._source import Settings
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._gaussian_mixture import GaussianMixture

# Fewer samples are too few for networks.
FEWEST_ROWS = 50


class Samples(NamedTuple):
    """What members learn from, standardized unless it says raw."""

    X: Any
    Y: Any
    weight: Any
    group: Any
    fold: Any
    raw: Any
    weighted: bool = False
    copies: Any = None

    @property
    def n_folds(self):
        """Number of folds."""
        return int(self.fold.max()) + 1

    @property
    def part(self):
        """Numbers of what is held out together: folds, of few samples groups."""
        # Of noise the mean of all others tells networks the sample that is left out.
        return self.fold if len(self.fold) >= FEWEST_ROWS else self.group


class Prediction(NamedTuple):
    """What a member predicts of some samples."""

    means: Any
    log_stds: Any = None
    mixture: Any = None

    def features(self):
        """Return all numbers as columns, the means first."""
        means = self.means.reshape(len(self.means), -1)
        return means if self.log_stds is None else np.hstack([means, self.log_stds])

    def is_finite(self):
        """Return whether all numbers are."""
        return bool(np.isfinite(self.features()).all())


class Member(ABC):
    """A fitted member of a stack; implementations are frozen and hold no torch.

    It comes from a function ``fit(rows, network, seed)`` that returns a `MemberFit`;
    `network` says how networks are built and trained.
    """

    @abstractmethod
    def predict(self, X, raw):
        """Return the `Prediction` of samples, standardized and as they came."""


class MemberFit(NamedTuple):
    """A fitted member and its out-of-fold prediction of the training samples."""

    member: Member
    held_out: Prediction
    complaint: str = ""
    best_steps: Any = None


# Standard deviations below this share of the target's make no difference to others.
SMALLEST_STD = 0.01


def log_std(std):
    """Return a feature of moderate size."""
    return np.log(std + SMALLEST_STD)


# Of networks that are one member of many.
MANY_ROWS, MOST_STEPS = 5000, 3000

# Share of the steps without a better network after which training ends.
PATIENCE = 0.2


@dataclass(frozen=True)
class NetworkMember(Member):
    """An ensemble of mixture density networks, on contexts alone."""

    model: Any

    def predict(self, X, raw):
        return moments(self.model.predict_mixture(X))


def fit_networks(rows, network, seed):
    """Train a network on all folds but one, for each fold."""
    # Late: predictions need no torch.
    from skgmje.conditional._torch_sources import train_network

    if network.max_iter == "auto" and len(rows.X) > MANY_ROWS:
        network = clone(network).set_params(max_iter=MOST_STEPS)
    settings, random_state = Settings(patience=PATIENCE), np.random.RandomState(seed)
    data = rows.X, rows.Y, rows.fold, network, settings, rows.weight, random_state
    model, unseen, training, steps = train_network(*data)
    held_out = moments(model.held_out_mixture(rows.X, unseen))
    return MemberFit(NetworkMember(model), held_out, training.complaint, steps)


def moments(mixture):
    """Return means and spreads of a density beside it."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    return Prediction(mixture.mean[..., None], log_std(np.sqrt(variance)), mixture)


# Columns of contexts and targets together, up to which joint mixtures are strong.
MOST_COLUMNS = 4


@dataclass(frozen=True)
class JointMember(Member):
    """The conditional of a joint mixture."""

    model: Any

    def predict(self, X, raw):
        mixture = plain(self.model.predict_mixture(X))
        return Prediction(mixture.mean[..., None], mixture=mixture)


def fit_joint_mixture(rows, network, seed):
    """Fit a joint mixture, its size by held-out conditional likelihood."""
    random_state = np.random.RandomState(seed)
    density = GaussianMixture("auto", shrinkage="auto", reg_covar=network.min_scale**2)

    def learn(kept):
        data = rows.X[kept], rows.Y[kept], Settings(), rows.weight[kept], random_state
        return JointMixture(density)._fit(*data)

    fit, parts = learn(slice(None)), []
    size = fit.model.mixture.n_components
    density.set_params(shrinkage=fit.info["shrinkage"])
    for k in range(rows.n_folds):
        kept = rows.fold != k
        density.set_params(n_components=min(size, int(kept.sum())))
        parts.append(learn(kept).model.predict_mixture(rows.X[~kept]))
    held_out = in_order(parts, rows.fold)
    prediction = Prediction(held_out.mean[..., None], mixture=held_out)
    return MemberFit(JointMember(fit.model), prediction)


def plain(mixture):
    """Return a mixture whose samples share nothing."""
    return join_mixtures([(1.0, mixture)], len(mixture.means))


def in_order(parts, fold):
    """Return mixtures of the samples of each fold in the order of all samples."""
    parts = [*map(plain, parts)]
    size = max(part.n_components for part in parts)
    padded = [_padded(part, size) for part in parts]
    arrays = [np.concatenate(each)[places(fold)] for each in zip(*padded, strict=True)]
    return Mixture(*arrays, parts[0].covariance_type)


def places(fold):
    """Return where each sample is among the samples of one fold after the other."""
    return np.argsort(np.argsort(fold, kind="stable"))


def _padded(mixture, n_components):
    """Return arrays of as many components as others, the last ones of no weight."""
    n_missing = n_components - mixture.n_components
    weights = np.pad(mixture.weights, ((0, 0), (0, n_missing)))
    filled = [
        np.concatenate([part, np.repeat(part[:, :1], n_missing, axis=1)], axis=1)
        for part in (mixture.means, mixture.covariances)
    ]
    return weights, *filled

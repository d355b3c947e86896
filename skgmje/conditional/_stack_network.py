"""Networks on the predictions of the members."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from skgmje._standardize import location_scale
from skgmje.conditional._network_fit import held_out_mixture, train_network
from skgmje.gaussian._mixture import Mixture

# Rows up to which there are few steps, and how many there are.
FEW_ROWS, FEW_STEPS, MANY_STEPS = 2000, 800, 2000


BATCH_SIZES = {True: 128, False: 256}


LEARNING_RATE = 3e-3


DROPOUT = {True: 0.1, False: 0.05}


# Decay of the matrices, in rows.
DECAY = 1000.0


# Pull of the blend towards the mean of the experts, relative to the rows.
RIDGE = 0.05


# Smallest standard deviation of a start.
SMALLEST_SCALE = 1e-3


class Top(ABC):
    """A density of the targets, given contexts and what experts say of them."""

    @abstractmethod
    def predict_mixture(self, X, answers):
        """Return the densities of rows."""


@dataclass(frozen=True)
class StackNetwork(Top):
    """Members of networks, and the units of what they see."""

    model: Any
    units: tuple

    def predict_mixture(self, X, answers):
        return self.model.predict_mixture(_see(X, answers, self.units))


@dataclass(frozen=True)
class Blend(Top):
    """A blend of the experts' means, and Gaussian errors of one size."""

    shares: tuple
    variance: Any

    def predict_mixture(self, X, answers):
        columns = [
            np.hstack([answer.means[:, target] for answer in answers]) @ share
            for target, share in enumerate(self.shares)
        ]
        means = np.stack(columns, axis=1)[:, None]
        variance = np.broadcast_to(self.variance, means.shape)
        return Mixture(np.ones((len(X), 1)), means, variance, "diag")


def fit_blend(rows, answers, min_scale):
    """Blend the experts."""
    fits = [_blend_target(rows, answers, target) for target in range(rows.Y.shape[1])]
    shares, scales = zip(*fits, strict=True)
    n, n_means = len(rows.Y), len(shares[0])
    # As many errors are spent on the shares.
    variance = np.square(scales) * n / max(1, n - n_means)
    return Blend(shares, np.maximum(variance, min_scale**2))


def plan(n_samples, settings):
    """Return the settings of networks that see experts."""
    few = n_samples <= FEW_ROWS
    steps = FEW_STEPS if few else MANY_STEPS
    return replace(
        settings,
        max_iter=steps if settings.max_iter == "auto" else settings.max_iter,
        batch_size=BATCH_SIZES[few],
        learning_rate=LEARNING_RATE,
        dropout=DROPOUT[few],
        weight_decay=min(1.0, DECAY / n_samples),
        warmup=False,
    )


def train_stack(rows, answers, settings, seed):
    """Train one member for each fold; without experts a plain network."""
    units = _units(rows, answers)
    return train_network(
        _see(rows.X, answers, units),
        rows.Y,
        rows.fold,
        plan(len(rows.X), settings) if answers else settings,
        rows.weight,
        np.random.RandomState(seed),
        _start(rows, answers, units) if answers else None,
    )


def join_stacks(rows, answers, parts):
    """Return a network of all members, and its held-out densities."""
    models, unseen, _, _ = zip(*parts, strict=True)

    def join(name):
        layers = zip(*(getattr(model, name) for model in models), strict=True)
        return tuple(map(np.concatenate, layers))

    model = replace(
        models[0],
        weights=join("weights"),
        biases=join("biases"),
        skip=np.concatenate([model.skip for model in models]),
    )
    network = StackNetwork(model, _units(rows, answers))
    seen = _see(rows.X, answers, network.units)
    return network, held_out_mixture(model, seen, np.concatenate(unseen))


def _units(rows, answers):
    """Return means and standard deviations of contexts and experts' features."""
    columns = np.hstack([rows.X, *(answer.features() for answer in answers)])
    return location_scale(columns, rows.weight)


def _see(X, answers, units):
    columns = np.hstack([X, *(answer.features() for answer in answers)])
    return (columns - units[0]) / units[1]


def _start(rows, answers, units):
    """Return slope, intercept and scale of the means: a blend of the experts."""
    n_targets = rows.Y.shape[1]
    slope = np.zeros((len(units[0]), n_targets))
    intercept, scales = np.zeros(n_targets), np.ones(n_targets)
    for target in range(n_targets):
        share, scales[target] = _blend_target(rows, answers, target)
        columns = _mean_columns(rows, answers, target)
        slope[columns, target] = share * units[1][columns]
        intercept[target] = share @ units[0][columns]
    return slope, intercept, np.maximum(scales, SMALLEST_SCALE)


def _blend_target(rows, answers, target):
    """Return non-negative shares of the experts' means, and the errors' size."""
    y, root = rows.Y[:, target], np.sqrt(rows.weight)
    means = np.hstack([answer.means[:, target] for answer in answers])
    n_means = means.shape[1]
    ridge = RIDGE * np.sqrt(len(y))
    matrix = np.vstack([root[:, None] * means, ridge * np.eye(n_means)])
    share = nnls(matrix, np.append(root * y, np.full(n_means, ridge / n_means)))[0]
    error = y - means @ share
    return share, np.sqrt(np.average(error**2, weights=rows.weight))


def _mean_columns(rows, answers, target):
    """Return where the experts' means of a target are among all columns."""
    columns, first = [], rows.X.shape[1]
    for answer in answers:
        n_means = answer.means.shape[2]
        columns.append(first + target * n_means + np.arange(n_means))
        first += answer.features().shape[1]
    return np.concatenate(columns)

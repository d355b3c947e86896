"""A fitted stack of conditional densities: networks on members, pool, calibration."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from skgmje._standardize import Standardization
from skgmje._validation import as_array, like_rows
from skgmje.conditional._models import Conditional, join_mixtures
from skgmje.gaussian._checks import as_batch
from skgmje.gaussian._mixture import Mixture
from skgmje.metrics._scores import mean_absolute


@dataclass(frozen=True)
class StackNetwork:
    """Members of networks, and the units of what they see."""

    model: Any
    units: tuple

    def predict_mixture(self, X, predictions):
        return self.model.predict_mixture(stack_columns(X, predictions, self.units))


@dataclass(frozen=True)
class Blend:
    """A blend of the members' means, and Gaussian errors of one size."""

    shares: tuple
    variance: Any

    def predict_mixture(self, X, predictions):
        columns = [
            np.hstack([p.means[:, target] for p in predictions]) @ share
            for target, share in enumerate(self.shares)
        ]
        means = np.stack(columns, axis=1)[:, None]
        variance = np.broadcast_to(self.variance, means.shape)
        return Mixture(np.ones((len(X), 1)), means, variance, "diag")


def stack_columns(X, predictions, units):
    """Return contexts and features of the predictions, standardized, (n, p)."""
    columns = np.hstack([X, *(p.features() for p in predictions)])
    return (columns - units[0]) / units[1]


# Samples that are enough for the CRPS.
N_JUDGED = 500

# Models of less weight cost more time than they are worth.
SMALLEST_WEIGHT = 0.02


def crps_terms(mixtures, Y, weight):
    """Compute what the CRPS of a pool is made of."""
    batches = [as_batch(mixture) for mixture in mixtures]
    n_models, weight = len(batches), weight / weight.sum()
    a, B = np.zeros(n_models), np.zeros((n_models, n_models))
    for target in range(Y.shape[1]):
        parts = [
            (b.weights, b.means[..., target], b.scales()[..., target] ** 2)
            for b in batches
        ]
        for j, (w, mean, variance) in enumerate(parts):
            distance = mean_absolute(Y[:, target, None] - mean, variance)
            a[j] += weight @ (w * distance).sum(axis=1)
            for k, (w_k, mean_k, variance_k) in enumerate(parts[: j + 1]):
                distance = mean_absolute(
                    mean[:, :, None] - mean_k[:, None],
                    variance[:, :, None] + variance_k[:, None],
                )
                share = w[:, :, None] * w_k[:, None] * distance
                B[j, k] += weight @ share.sum(axis=(1, 2))
                B[k, j] = B[j, k]
    return a / Y.shape[1], B / Y.shape[1]


def stack_weights(log_densities, a, B, weight, crps_weight):
    """Find the weights of the pool that predicts held-out samples best."""
    n_models = len(a)
    top = log_densities.max(axis=1)
    rows = np.isfinite(top)
    densities = np.exp(log_densities[rows] - top[rows, None])
    share = weight[rows] / weight.sum()
    factor = crps_weight / max((a - 0.5 * np.diagonal(B)).min(), 1e-12)

    def loss(v):
        pooled = np.maximum(densities @ v, 1e-300)
        value = -share @ np.log(pooled) + factor * (v @ a - 0.5 * v @ B @ v)
        return value, -densities.T @ (share / pooled) + factor * (a - B @ v)

    found = minimize(
        loss,
        np.full(n_models, 1 / n_models),
        method="SLSQP",
        jac=True,
        bounds=[(0.0, 1.0)] * n_models,
        constraints={"type": "eq", "fun": lambda v: v.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 200, "ftol": 1e-9},
    )
    v = np.clip(found.x, 0.0, None)
    if not (np.isfinite(v).all() and v.any()):
        return np.eye(n_models)[int((share @ log_densities[rows]).argmax())]
    v[v < SMALLEST_WEIGHT * v.sum()] = 0.0
    return v / v.sum()


# Widths are sought between the inverse of this and this.
WIDEST = 3.0

# Samples that a width of one is worth.
PRIOR_ROWS = 50

# Of the tails, in standard deviations of the sample.
TAIL_WIDTH = 4.0


@dataclass(frozen=True)
class Calibration:
    """Components of another width, and tails."""

    width: float = 1.0
    tail: float = 0.0

    def apply(self, mixture):
        """Return the calibrated mixtures."""
        wider = _widen(mixture, self.width)
        if not self.tail:
            return wider
        parts = [(1 - self.tail, wider), (self.tail, _tail(wider))]
        return join_mixtures(parts, len(wider.means))


def calibrate(mixture, Y, weight):
    """Choose the width by held-out likelihood."""
    n, share = len(Y), weight / weight.sum()

    def loss(log_width):
        log_prob = _widen(mixture, np.exp(log_width)).log_prob(Y)
        return -share @ np.maximum(log_prob, -1e9)

    top = np.log(WIDEST)
    found = minimize_scalar(loss, bounds=(-top, top), method="bounded")
    log_width = found.x if found.fun < loss(0.0) else 0.0
    width = float(np.exp(log_width * n / (n + PRIOR_ROWS)))
    return Calibration(width, 1 / (n + 1))


def _widen(mixture, width):
    """Return a mixture with standard deviations `width` times as large."""
    return replace(mixture, covariances=mixture.covariances * width**2)


def _tail(mixture):
    """Return one broad Gaussian around the mean of each sample."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    ones = np.ones((len(variance), 1))
    spread = TAIL_WIDTH**2 * variance[:, None]
    return Mixture(ones, mixture.mean[:, None], spread, "diag")


# The name of the networks that see the members' predictions.
STACK = "stack"

# A member that takes part in the pool, but that networks do not see.
JOINT = "joint"


@dataclass(frozen=True)
class StackedConditional(Conditional):
    """Members, networks that see them, and the weights of both."""

    members: dict
    stack: Any
    weights: dict
    x_units: tuple
    y_units: tuple
    calibration: Any

    def predict_mixture(self, X):
        units, rows = Standardization(*self.x_units), as_array(X)
        context, raw = units.forward(rows), units.clip(rows)
        # A frame keeps its types where nothing is far.
        raw = X if np.array_equal(raw, rows) else like_rows(raw, X)
        predictions = {}
        for name, member in self.members.items():
            predictions[name] = member.predict(context, raw)
            if not predictions[name].is_finite():
                raise ValueError(
                    f"The member {name!r} predicts NaN or infinity for some of the "
                    "samples, though it did not in fit. Mend it, or fit without it: "
                    "estimators=..."
                )
        pool = {name: prediction.mixture for name, prediction in predictions.items()}
        if self.weights.get(STACK):
            pool[STACK] = self.stack.predict_mixture(context, visible(predictions))
        parts = [
            (weight, pool[name]) for name, weight in self.weights.items() if weight
        ]
        mixture = join_mixtures(parts, len(X))
        loc, scale = self.y_units
        return self.calibration.apply(mixture).affine(scale, loc)


def visible(predictions):
    """Return the predictions that networks see."""
    return [prediction for name, prediction in predictions.items() if name != JOINT]

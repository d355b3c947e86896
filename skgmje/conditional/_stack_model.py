"""A fitted stack of conditional densities: pooling weights and calibration."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from skgmje.conditional._models import Conditional, join_mixtures
from skgmje.gaussian._checks import as_batch
from skgmje.gaussian._mixture import Mixture
from skgmje.metrics._scores import _distance

# Rows that are enough for the CRPS.
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
            distance = _distance(Y[:, target, None] - mean, variance)
            a[j] += weight @ (w * distance).sum(axis=1)
            for k, (w_k, mean_k, variance_k) in enumerate(parts[: j + 1]):
                distance = _distance(
                    mean[:, :, None] - mean_k[:, None],
                    variance[:, :, None] + variance_k[:, None],
                )
                share = w[:, :, None] * w_k[:, None] * distance
                B[j, k] += weight @ share.sum(axis=(1, 2))
                B[k, j] = B[j, k]
    return a / Y.shape[1], B / Y.shape[1]


def stack_weights(log_densities, a, B, weight, crps_weight):
    """Find the weights of the pool that predicts held-out rows best."""
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
        constraints={
            "type": "eq",
            "fun": lambda v: v.sum() - 1,
            "jac": np.ones_like,
        },
        options={"maxiter": 200, "ftol": 1e-9},
    )
    v = np.clip(found.x, 0.0, None)
    if not (np.isfinite(v).all() and v.any()):
        return np.eye(n_models)[int((share @ log_densities[rows]).argmax())]
    v[v < SMALLEST_WEIGHT * v.sum()] = 0.0
    return v / v.sum()


# Widths are sought between the inverse of this and this.
WIDEST = 3.0


# Rows that a width of one is worth.
PRIOR_ROWS = 50


# Of the tails, in standard deviations of the row.
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
    return replace(mixture, covariances=mixture.covariances * width**2)


def _tail(mixture):
    """Return one broad Gaussian around each row's mean."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    ones = np.ones((len(variance), 1))
    spread = TAIL_WIDTH**2 * variance[:, None]
    return Mixture(ones, mixture.mean[:, None], spread, "diag")


# The name of the networks that see the experts.
STACK = "stack"


# An expert that takes part in the pool, but that networks do not see.
JOINT = "joint"


@dataclass(frozen=True)
class StackedConditional(Conditional):
    """Experts, networks that see them, and the weights of both."""

    experts: dict
    stack: Any
    weights: dict
    x_units: tuple
    y_units: tuple
    calibration: Any

    @property
    def n_context(self):
        return len(self.x_units[0])

    @property
    def n_targets(self):
        return len(self.y_units[0])

    def predict_mixture(self, X):
        loc, scale = self.x_units
        context = (X - loc) / scale
        answers = {}
        for name, expert in self.experts.items():
            answers[name] = expert.answer(context, X)
            _check_answer(name, answers[name])
        parts = []
        for name, weight in self.weights.items():
            if not weight:
                continue
            if name == STACK:
                part = self.stack.predict_mixture(context, seen(answers))
            else:
                part = answers[name].mixture
            parts.append((weight, part))
        mixture = join_mixtures(parts, len(X))
        loc, scale = self.y_units
        return self.calibration.apply(mixture).affine(scale, loc)


def seen(answers):
    """Return what networks see of the experts' answers."""
    return [answer for name, answer in answers.items() if name != JOINT]


def _check_answer(name, answer):
    if not answer.is_finite():
        raise ValueError(
            f"The expert {name!r} predicts NaN or infinity for some of the rows, "
            "though it did not in fit. Mend it, or fit without it: experts=..."
        )

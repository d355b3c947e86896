"""Outputs of networks as mixtures."""

from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    as_double,
    as_float,
    asarray_like,
    is_torch,
    logsumexp,
    namespace,
    transpose,
)
from skgmje._settings import settle
from skgmje.gaussian._mixture import Mixture

# Of the logarithms of the standard deviations; data have a spread of about one.
LOG_SCALE_RANGE = (-8.0, 3.0)

# Keeps a matrix that is singular in the last digit positive definite.
_RIDGE = 1e-11


@settle
class Heads(NamedTuple):
    """What describes Gaussian mixtures without a matrix to invert."""

    log_weights: Any
    means: Any
    log_scales: Any
    lower: Any = None

    def log_prob(self, y):
        """Compute the log-densities, without a triangular solve, shape (...,)."""
        y = as_float(y)
        white = y[..., None, :] - self.means
        if self.lower is not None:
            first, second = _pair_maps(self.means)
            white = white + (self.lower * (white @ first)) @ second
        white = white * namespace(y).exp(-self.log_scales)
        terms = -0.5 * white * white - self.log_scales
        joint = self.log_weights + terms.sum(-1)
        return _logsumexp(joint) - 0.5 * LOG_2PI * y.shape[-1]

    def distortion(self, y, scale):
        """Compute a soft squared distance to the nearest mean, shape (...,)."""
        diff = as_float(y)[..., None, :] - self.means
        joint = self.log_weights - (diff * diff).sum(-1) / (2 * scale**2)
        return -(scale**2) * _logsumexp(joint)

    def mixture(self):
        """Return the mixtures."""
        xp = namespace(self.means)
        weights, scales = xp.exp(self.log_weights), xp.exp(self.log_scales)
        if self.lower is None:
            return Mixture(weights, self.means, scales * scales, "diag")
        root = self._inverse_triangle() * scales[..., None, :]
        covariances = root @ transpose(root)
        n_features = self.means.shape[-1]
        ridge = asarray_like(1 + _RIDGE * np.eye(n_features), covariances)
        return Mixture(weights, self.means, covariances * ridge)

    def _inverse_triangle(self):
        """Invert I + A by forward substitution, row by row."""
        n_features = self.means.shape[-1]
        xp = namespace(self.means)
        like = xp.zeros_like(self.means)
        unit = asarray_like(np.eye(n_features), self.means)
        rows = []
        for i in range(n_features):
            row = like + unit[i]
            for j, solved in enumerate(rows):
                entry = self.lower[..., i * (i - 1) // 2 + j]
                row = row - entry[..., None] * solved
            rows.append(row)
        return xp.stack(rows, axis=-2)


def n_outputs(n_components, n_features, covariance_type):
    """Count the outputs that :func:`split_outputs` takes for one mixture."""
    n_pairs = n_features * (n_features - 1) // 2 * (covariance_type == "full")
    return n_components * (1 + 2 * n_features + n_pairs)


def split_outputs(outputs, n_components, n_features, min_scale):
    """Read mixtures from outputs that may be any numbers."""
    xp = namespace(outputs)
    shape = (*outputs.shape[:-1], n_components, -1)
    size = n_components * n_features
    logits, rest = outputs[..., :n_components], outputs[..., n_components:]
    raw = xp.clip(rest[..., size : 2 * size], *LOG_SCALE_RANGE)
    lower = rest[..., 2 * size :]
    return Heads(
        _log_softmax(logits),
        xp.reshape(rest[..., :size], shape),
        xp.reshape(xp.log(xp.exp(raw) + min_scale), shape),
        xp.reshape(lower, shape) if lower.shape[-1] else None,
    )


def perceptrons(weights, biases, skip, context, drop=None):
    """Evaluate perceptrons of one architecture side by side."""
    hidden = context
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = _silu(hidden @ weight + bias)
        hidden = hidden if drop is None else drop(hidden)
    return hidden @ weights[-1] + biases[-1] + context @ skip


def join_members(heads):
    """Return one mixture per row from those of all members, equally weighted."""
    xp = namespace(heads.means)
    n_members, n_samples = heads.means.shape[:2]

    def join(array):
        rows = xp.moveaxis(as_double(array), 0, 1)
        return xp.reshape(rows, (n_samples, -1, *array.shape[3:]))

    joined = Heads(*(None if array is None else join(array) for array in heads))
    return joined._replace(log_weights=joined.log_weights - float(np.log(n_members)))


def _silu(x):
    """Compute x times its logistic function."""
    # Torch's own function takes twice the time, most of it in the gradient.
    return x * (x.sigmoid() if is_torch(x) else 0.5 * (1 + np.tanh(0.5 * x)))


def _log_softmax(x):
    """Compute the log-softmax along the last axis."""
    return x.log_softmax(-1) if is_torch(x) else x - logsumexp(x, axis=-1)[..., None]


def _logsumexp(x):
    """Compute it along the last axis, in torch by one step of its own."""
    return x.logsumexp(-1) if is_torch(x) else logsumexp(x, axis=-1)


def _pair_maps(like):
    """Return 0-1 matrices that spread features over pairs j < i, and sum pairs."""
    unit = np.eye(like.shape[-1])
    rows, columns = np.tril_indices(len(unit), -1)
    return asarray_like(unit[:, columns], like), asarray_like(unit[rows], like)

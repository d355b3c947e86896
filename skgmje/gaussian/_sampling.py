"""Samples of mixtures, and how they move with the weights."""

from numbers import Integral

import numpy as np

from skgmje._backend import (
    as_generator,
    asarray_like,
    detach,
    is_torch,
    namespace,
    to_numpy,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES, widen
from skgmje.gaussian._covariance_type import take_components
from skgmje.gaussian._density import log_weights


def sample(mixture, n_samples, random_state):
    """Draw samples and their components; see `Mixture.sample`."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': n_samples={n_samples!r} must be a "
            "positive integer."
        )
    generator = as_generator(random_state)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    means = mixture.means
    leading = tuple(means.shape[:-2])
    # Drawn in float64 by NumPy, so that both libraries see the same samples.
    component = _draw_components(mixture.weights, generator, (n_samples, *leading))
    n_normals = kind.n_normals(mixture.covariances, mixture.n_features)
    normals = generator.standard_normal((n_samples, *leading, n_normals))
    normals = asarray_like(normals, means)
    if is_torch(means):
        component = namespace(means).asarray(component, device=means.device)
    root = kind.root(mixture.covariances)
    X = take_components(means, component) + kind.noise(root, component, normals)
    if is_torch(means) and mixture.weights.requires_grad:
        X = _moved_by_weights(mixture, X)
    return X, component


def _draw_components(weights, generator, shape):
    """Draw component numbers by the inverse of the cumulated weights."""
    total = np.cumsum(to_numpy(weights).astype(np.float64), axis=-1)
    # Below the total even after rounding: uniforms end one ulp before one.
    uniform = generator.random(shape) * total[..., -1]
    if total.ndim == 1:
        return np.searchsorted(total, uniform, side="right")
    return np.sum(uniform[..., None] >= total, axis=-1)


def _moved_by_weights(mixture, X):
    """Return the same samples with the implicit gradient of the weights, too."""
    import torch

    if not torch.is_grad_enabled():
        return X
    # Of the scores S(x; w), uniform and independent, samples keep what they have:
    # dx/dw = -(dS/dx)^-1 dS/dw (Figurnov, Mohamed and Mnih, 2018).
    with torch.enable_grad():
        places = X.detach().clone().requires_grad_()
        scores = _scores(mixture, mixture.weights.detach(), places)
        rows = [
            torch.autograd.grad(scores[..., i].sum(), places, retain_graph=True)[0]
            for i in range(mixture.n_features)
        ]
    moved = _scores(mixture, mixture.weights, X.detach()) - scores.detach()
    slopes = torch.stack(rows, dim=-2)
    shift = torch.linalg.solve_triangular(slopes, moved[..., None], upper=False)
    return X - shift[..., 0]


def _scores(mixture, weights, X):
    """Return the distribution function of each feature given those before it."""
    import torch

    root = torch.linalg.cholesky(detach(widen(mixture, "full")))
    diff = (X[..., None, :] - mixture.means.detach())[..., None]
    white = torch.linalg.solve_triangular(root, diff, upper=False)[..., 0]
    widths = torch.diagonal(root, dim1=-2, dim2=-1)
    logs = -0.5 * white**2 - torch.log(widths)
    before = torch.cumsum(logs, dim=-1) - logs + log_weights(weights)[..., None]
    below = 0.5 * torch.special.erfc(-(0.5**0.5) * white)
    return (torch.softmax(before, dim=-2) * below).sum(dim=-2)

"""Cases of `ratios.py` about kernel costs and the training loop, against torch."""

import math

import numpy as np
import torch
from torch import nn

from benchmarks.shared.harness import Case
from skgmje._training._loop import train
from skgmje._training._schedule import Hooks, Schedule
from skgmje.costs import matrix_matrix_cost, scalar_cost, svd_cost
from skgmje.gaussian import grams
from skgmje.modules import MixtureModule


def _points(n, m, d, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn((n, d), generator=generator, dtype=dtype)
    centers = torch.randn((m, d), generator=generator, dtype=dtype)
    return X, centers.requires_grad_()


def naive_log_gram(X, Y, variance):
    """Return log N(x_i - y_j; variance) up to its constant, by a matrix product."""
    squares = (X * X).sum(1)[:, None] + (Y * Y).sum(1) - 2 * X @ Y.T
    return squares.clamp(min=0) / (-2 * variance)


def gradient(cost):
    """Return a function that gives the gradient of `cost` at the centres."""

    def run(X, centers):
        (answer,) = torch.autograd.grad(cost(X, centers), centers)
        return answer.numpy()

    return run


def _relative_difference(a, b):
    return {"relative difference": float(np.abs(a - b).max() / np.abs(a).max())}


def _warm(*costs):
    def warm():
        points = _points(8, 4, 3)
        for cost in costs:
            gradient(cost)(*points)

    return warm


def scalar(n, m, d, *, bandwidth=1.5, precision="float64", known=False):
    """Loss and gradient of the scalar cost; `known`: of the data's norm nothing.

    A training loop pays for the data's norm once, so its steps see `known`.
    """
    X, centers = _points(n, m, d, getattr(torch, precision))
    variance = 2 * bandwidth**2

    def naive(X, centers):
        logs = [naive_log_gram(a, b, variance) for a, b in _pairs(X, centers)]
        xx, xy, yy = (torch.logsumexp(x.reshape(-1), 0) for x in logs)
        return xx - 2 * xy + yy

    def naive_known(X, centers):
        xy = torch.logsumexp(naive_log_gram(X, centers, variance).reshape(-1), 0)
        yy = naive_log_gram(centers, centers, variance)
        return torch.logsumexp(yy.reshape(-1), 0) - 2 * xy

    data = grams(X, centers.detach(), bandwidth)
    if known:
        scalar_cost(data)

    def fresh(X, centers):
        return scalar_cost(grams(X, centers, bandwidth))

    def step(X, centers):
        return scalar_cost(data.with_centers(centers))

    peer, ours = (naive_known, step) if known else (naive, fresh)
    # The data's own matrix is symmetric and has no gradient; the sums over
    # all pairs allow value and gradient from one exponential.
    pairs, own = n * m + m * m / 2, 0 if known else n * n / 2
    return Case(
        gradient(peer),
        gradient(ours),
        (X, centers),
        warm=_warm(naive, fresh),
        flops=2 * (d + 1) * (2 * pairs + own),
        exps=pairs + own,
        bytes=8 * (n + m) * d,
        dtype=precision,
        difference=_relative_difference,
    )


def _pairs(X, centers):
    return (X, X), (X, centers), (centers, centers)


def schur_trace(n, k, d, bandwidth=1.0, ridge=1e-6):
    """The matrix-matrix cost, the trace of a Schur complement, from points."""
    X, centers = _points(n, k, d)
    eye = torch.eye(k, dtype=X.dtype)

    def by_inverse(X, Y):
        P = naive_log_gram(X, Y, 2 * bandwidth**2).exp()
        R = naive_log_gram(Y, Y, 2 * bandwidth**2).exp() + ridge * eye
        return float(1 - ((P @ torch.linalg.inv(R)) * P).sum() / n)

    def ours(X, Y):
        return float(matrix_matrix_cost(grams(X, Y, bandwidth), jitter=ridge))

    return Case(
        by_inverse,
        ours,
        (X, centers.detach()),
        flops=k**3 / 3 + k**2 * n + 2 * (d + 1) * (n * k + k * k / 2),
        exps=n * k + k * k / 2,
        bytes=8 * (n + k) * d,
        difference=_relative_difference,
    )


def nuclear(n, k, d, bandwidth=1.0):
    """The SVD cost and its gradient, from points, against matrix_norm('nuc')."""
    X, centers = _points(n, k, d)

    def by_norm(X, centers):
        P = naive_log_gram(X, centers, 2 * bandwidth**2).exp()
        return -torch.linalg.matrix_norm(P / math.sqrt(n * k), "nuc").log()

    def ours(X, centers):
        return svd_cost(grams(X, centers, bandwidth))

    return Case(
        gradient(by_norm),
        gradient(ours),
        (X, centers),
        warm=_warm(by_norm, ours),
        difference=_relative_difference,
    )


class MixtureDensityNetwork(MixtureModule):
    """Weights, means and log-scales of eight components of one target."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 24))

    def forward(self, context=None):
        """Return the three outputs of each component, side by side."""
        return self.layers(context)


def negative_log_likelihood(outputs, X, y):
    """Return minus the mean log-density of the targets."""
    logits, means, log_scales = outputs.chunk(3, 1)
    squares = ((y - means) * (-log_scales).exp()).square()
    joint = torch.log_softmax(logits, 1) - squares / 2 - log_scales
    return -torch.logsumexp(joint, 1).mean() + math.log(2 * math.pi) / 2


def training(n_steps, batch_size):
    """Steps of the same algorithm through skorch and in a bare loop of torch."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn((8192, 8), generator=generator)
    y = torch.randn((8192, 1), generator=generator)
    schedule = Schedule(n_steps, batch_size)

    def through_skorch():
        generator = torch.Generator().manual_seed(0)
        device = torch.device("cpu")
        module = MixtureDensityNetwork()
        loss = negative_log_likelihood
        train(module, loss, (X, y), schedule, Hooks(), generator, device)

    def bare():
        generator = torch.Generator().manual_seed(0)
        bare_loop(MixtureDensityNetwork(), X, y, schedule, generator)

    return Case(bare, through_skorch)


def bare_loop(module, X, y, schedule, generator):
    """Train as the library does: same batches, clipping and step sizes."""
    optimizer = torch.optim.Adam(module.parameters(), schedule.learning_rate)
    order = torch.empty(0, dtype=torch.long)
    losses = []
    for step in range(schedule.max_iter):
        if len(order) < schedule.batch_size:
            order = torch.randperm(len(X), generator=generator)
        rows, order = order[: schedule.batch_size], order[schedule.batch_size :]
        angle = math.pi * step / schedule.max_iter
        rate = schedule.learning_rate * max(1e-3, (1 + math.cos(angle)) / 2)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = negative_log_likelihood(module(X[rows]), None, y[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.detach())
    module.eval()
    return torch.stack(losses).tolist()

"""Gaussian processes as members."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from skgmje.conditional._members import Member, MemberFit, Prediction, log_std
from skgmje.gaussian._mixture import Mixture

# Samples that lengths and noise are learned from, and rows that are remembered.
N_LEARNED, N_REMEMBERED = 500, 2000
MAX_ITER = 60
JITTER = 1e-5

# Logarithms of the kernel's parameters: two amplitudes, noise, lengths.
START = (np.log(0.7), np.log(0.3), np.log(0.1))
BOUNDS = ((-9.0, 5.0), (-9.0, 5.0), (-11.0, 1.0))
LENGTH_BOUNDS = (-2.5, 5.0)

# Lengths drift out of sight where the likelihood is flat.
PULL, LENGTH_CENTER = 1e-3, 1.0

# One length for each feature needs this many rows for each.
ROWS_PER_LENGTH = 8

# Skewness above which the logarithm of a target is tried too, and its shifts.
SKEWED = 1.0
SHIFTS = (0.02, 0.2)
MIN_STD = 5e-3

# Samples that are predicted at a time, always so many.
BLOCK_ROWS = 32


@dataclass(frozen=True)
class Logarithm:
    """The map ``t = log(sign y - least + shift)`` and its way back."""

    sign: float
    least: float
    shift: float

    def forward(self, y):
        return np.log(np.maximum(self.sign * y - self.least, 0.0) + self.shift)

    def backward(self, t):
        raised = np.exp(np.clip(t, -20.0, 10.0)) - self.shift
        return self.sign * (raised + self.least)


@dataclass(frozen=True)
class Process:
    """A Gaussian process of one target, given samples that it remembers."""

    params: Any
    X: Any
    t: Any
    weight: Any
    units: tuple
    logarithm: Any = None

    def __getstate__(self):
        # The factor is large, and quickly made again.
        return {k: v for k, v in vars(self).items() if k != "_factor"}

    def factor(self):
        """Return the Cholesky factor of the covariance and the solved targets."""
        if "_factor" not in vars(self):
            covariance = _kernel(self.params, self.X, self.X)
            diagonal = np.diag_indices_from(covariance)
            covariance[diagonal] += np.exp(self.params[2]) / self.weight + JITTER
            lower = cho_factor(covariance, lower=True)
            vars(self)["_factor"] = lower, cho_solve(lower, self.t)
        return vars(self)["_factor"]

    def predict(self, X):
        """Return means and standard deviations, noise included."""
        n_missing = -len(X) % BLOCK_ROWS
        filled = np.concatenate([X, np.zeros((n_missing, X.shape[1]))])
        blocks = filled.reshape(-1, BLOCK_ROWS, X.shape[1])
        found = np.empty((2, len(blocks), BLOCK_ROWS))
        for i, block in enumerate(blocks):
            found[:, i] = self._moments(block)
        return self.in_units(*found.reshape(2, -1)[:, : len(X)])

    def _moments(self, X):
        """Return means and variances of few samples, in the units of `t`."""
        lower, solved = self.factor()
        cross = _kernel(self.params, X, self.X)
        half = solve_triangular(lower[0], cross.T, lower=True, check_finite=False)
        prior = np.exp(self.params[:3]).sum() + JITTER
        variance = prior - np.einsum("ij,ij->j", half, half)
        return np.einsum("ij,j->i", cross, solved), variance

    def held_out(self, group):
        """Predict the remembered samples, each without its group."""
        lower, solved = self.factor()
        inverse = cho_solve(lower, np.eye(len(self.t)))
        variance = 1 / np.diagonal(inverse)
        mean = self.t - solved * variance
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows) > 1:
                block = np.linalg.inv(inverse[np.ix_(rows, rows)])
                mean[rows] = self.t[rows] - block @ solved[rows]
                variance[rows] = np.diagonal(block)
        noise = np.exp(self.params[2])
        return self.in_units(mean, variance + noise - noise / self.weight)

    def in_units(self, mean, variance):
        """Return means and standard deviations in the units of the targets."""
        loc, scale = self.units
        mean = loc + scale * mean
        std = scale * np.sqrt(np.maximum(variance, 1e-8))
        if self.logarithm is None:
            return mean, np.maximum(std, MIN_STD)
        back = self.logarithm.backward
        spread = 0.5 * np.abs(back(mean + std) - back(mean - std))
        return back(mean), np.maximum(spread, MIN_STD)


@dataclass(frozen=True)
class ProcessMember(Member):
    """Processes of each target: of the target itself, and of its logarithm."""

    processes: tuple

    def predict(self, X, raw):
        return _gather([[p.predict(X) for p in own] for own in self.processes])


def fit_processes(rows, network, seed):
    """Fit Gaussian processes."""
    order = np.random.RandomState(seed).permutation(len(rows.Y))
    fits = [_fit_target(rows, y, order) for y in rows.Y.T]
    member = ProcessMember(tuple(tuple(p for p, _ in own) for own in fits))
    return MemberFit(member, _gather([[held for _, held in own] for own in fits]))


def _gather(found):
    """Join means and standard deviations of processes of each target."""
    most = max(map(len, found))
    filled = [own + own[:1] * (most - len(own)) for own in found]
    means, stds = np.ascontiguousarray(np.transpose(filled, (2, 3, 0, 1)))
    ones, variances = np.ones((len(means), 1)), stds[:, None, :, 0] ** 2
    mixture = Mixture(ones, means[:, None, :, 0], variances, "diag")
    return Prediction(means, log_std(stds.reshape(len(stds), -1)), mixture)


def _fit_target(rows, y, order):
    """Return one or two processes of a target, each with what it holds out."""
    learned = order[:N_LEARNED]

    def score(process):
        mean, std = process.held_out(rows.part[learned])
        log_prob = -0.5 * ((y[learned] - mean) / std) ** 2 - np.log(std)
        return np.average(log_prob, weights=rows.weight[learned])

    processes = [_learn(rows, y, learned)]
    center = np.average(y, weights=rows.weight)
    skewness = np.mean((y - center) ** 3) / max(np.std(y), 1e-12) ** 3
    if abs(skewness) > SKEWED:
        sign = float(np.sign(skewness))
        logarithms = [Logarithm(sign, (sign * y).min(), shift) for shift in SHIFTS]
        found = [_learn(rows, y, learned, logarithm) for logarithm in logarithms]
        processes.append(max(found, key=score))
    return [_remember(rows, y, order, process) for process in processes]


def _learn(rows, y, learned, logarithm=None):
    """Return the process of the largest likelihood."""
    t = y if logarithm is None else logarithm.forward(y)
    loc, scale = t.mean(), max(t.std(), 1e-12)
    X, t = rows.X[learned], (t[learned] - loc) / scale
    weight = rows.weight[learned]
    # As many lengths as the samples can tell.
    n_lengths = X.shape[1] if len(X) >= ROWS_PER_LENGTH * X.shape[1] else 1
    start = [*START, *[0.5 * np.log(max(1, X.shape[1]))] * n_lengths]
    bounds = [*BOUNDS, *[LENGTH_BOUNDS] * n_lengths]
    how = {"method": "L-BFGS-B", "jac": True, "options": {"maxiter": MAX_ITER}}
    found = minimize(_loss, start, (X, t, weight), bounds=bounds, **how)
    return Process(found.x, X, t, weight, (loc, scale), logarithm)


def _remember(rows, y, order, process):
    """Condition on more samples; predict each sample without its part."""
    known = order[:N_REMEMBERED]
    process = _condition(process, rows, y, known)
    mean, std = np.empty(len(y)), np.empty(len(y))
    for k in np.unique(rows.part):
        own = rows.part == k
        others = _condition(process, rows, y, known[~own[known]])
        mean[own], std[own] = others.predict(rows.X[own])
    return process, (mean, std)


def _condition(process, rows, y, known):
    """Return the process given other samples."""
    loc, scale = process.units
    t = y if process.logarithm is None else process.logarithm.forward(y)
    t = (t[known] - loc) / scale
    return replace(process, X=rows.X[known], t=t, weight=rows.weight[known])


def _kernels(params, A, B):
    """Return the smooth kernel, the rough one, and its distances, (n_A, n_B) each."""
    squares = (A * A).sum(1)[:, None] + (B * B).sum(1) - 2 * A @ B.T
    squares = np.maximum(squares, 0.0)
    root = np.sqrt(3 * squares)
    return np.exp(params[0] - 0.5 * squares), np.exp(params[1] - root), root


def _kernel(params, A, B):
    """Return the noise-free covariances, shape (n_A, n_B)."""
    lengths = np.exp(params[3:])
    smooth, rough, root = _kernels(params, A / lengths, B / lengths)
    return smooth + rough * (1 + root)


def _loss(params, X, t, weight):
    """Return the negative log-likelihood per sample, and its gradient."""
    n, scaled, diagonal = len(X), X / np.exp(params[3:]), np.diag_indices(len(X))
    smooth, rough, root = _kernels(params, scaled, scaled)
    noise = np.exp(params[2]) / weight
    covariance = smooth + rough * (1 + root)
    covariance[diagonal] += noise + JITTER
    factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
    solved = inverse @ t
    pull = params[3:] - LENGTH_CENTER
    loss = 0.5 * t @ solved + np.log(np.diagonal(factor)).sum()
    # d loss = sum of `slope` times d covariance.
    slope = 0.5 * (inverse - np.outer(solved, solved))
    # What a squared distance adds, by -1/2.
    pairs = slope * (smooth + 3 * rough)
    moment = pairs.sum(axis=1) @ (scaled * scaled)
    by_length = 2 * (moment - (scaled * (pairs @ scaled)).sum(axis=0))
    if len(pull) == 1:
        by_length = by_length.sum(keepdims=True)
    by_size = (slope * smooth).sum(), (slope * rough * (1 + root)).sum()
    gradient = np.array([*by_size, slope[diagonal] @ noise, *by_length]) / n
    gradient[3:] += 2 * PULL * pull / len(pull)
    return loss / n + PULL * np.mean(pull**2), gradient

"""Regression tables: official splits, or random 90/10 splits."""

import numpy as np

from benchmarks.shared.data import FOLDER

# The regression tables, with official splits as far as there are any.
TABLES = ("yacht", "energy", "concrete", "power_plant", "speedflow_lane2", "geyser")
N_RANDOM_SPLITS = 5


def splits(name):
    """Return the number of splits of a table."""
    data = np.load(FOLDER / f"{name}.npz")
    return len(data["train_idx"]) if "train_idx" in data else N_RANDOM_SPLITS


def load(name, split):
    """Return ``(X, y, X_test, y_test)`` in raw units, float64."""
    data = np.load(FOLDER / f"{name}.npz")
    X, y = data["X"].astype(np.float64), data["y"].astype(np.float64)
    if "train_idx" in data:
        train, test = data["train_idx"][split], data["test_idx"][split]
    else:
        order = np.random.RandomState(split).permutation(len(X))
        train, test = order[len(X) // 10 :], order[: len(X) // 10]
    return X[train], y[train], X[test], y[test]


def multi_output(n_samples, n_targets, seed):
    """Draw rows with two branches; scale and weights depend on x, noise correlates.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    n_targets : int
        Number of targets.

    seed : int
        Of the rows; the map from contexts to targets is always the same.

    Returns
    -------
    X : ndarray of shape (n_samples, 4)
        Contexts, standard normal.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    truth : float
        Mean conditional log-likelihood of the rows.
    """
    fixed, rng = np.random.RandomState(7), np.random.RandomState(seed)
    maps = 0.6 * fixed.randn(2, 4, n_targets)
    slope = 0.8 * fixed.randn(4)
    raw = 0.5 * fixed.randn(2, n_targets, n_targets)
    roots = np.tril(raw, -1)
    for root, part in zip(roots, raw, strict=True):
        np.fill_diagonal(root, 0.6 + np.abs(np.diag(part)))
    X = rng.randn(n_samples, 4)
    share = 1 / (1 + np.exp(-X @ slope))
    means = np.tanh(X @ maps[0]) + 1.2, np.sin(X @ maps[1]) - 1.2
    scale = 0.15 + 0.15 / (1 + np.exp(-2 * X[:, 0]))
    second = rng.rand(n_samples) > share
    noise = rng.randn(n_samples, n_targets)
    draws = [
        m + scale[:, None] * noise @ L.T for m, L in zip(means, roots, strict=True)
    ]
    Y = np.where(second[:, None], draws[1], draws[0])
    log_prob = [
        np.log(weight)
        - 0.5 * (np.linalg.solve(L, (Y - m).T) ** 2).sum(axis=0) / scale**2
        - np.log(np.diag(L)).sum()
        - n_targets * np.log(scale * np.sqrt(2 * np.pi))
        for m, L, weight in zip(means, roots, (share, 1 - share), strict=True)
    ]
    return X, Y, float(np.logaddexp(*log_prob).mean())

"""Peers: ``fit(X, y, seed)`` gives ``predict(X)``.

All see standardised rows. `predict` returns one Gaussian mixture for each row,
or, for quantile regression, `Quantiles`.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.mixture import GaussianMixture
from torch import nn

from skgmje import Mixture, as_mixture

LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class Quantiles:
    """Predicted quantiles at `LEVELS`, shape (n_samples, n_levels), sorted."""

    values: Any

    def crps(self, y):
        """Return the CRPS, twice the mean pinball loss over the levels."""
        error = y[:, None] - self.values
        return 2 * np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(axis=1)

    def coverage(self, y):
        """Return the share of targets between the outer quantiles."""
        return np.mean((self.values[:, 0] <= y) & (y <= self.values[:, -1]))

    @property
    def mean(self):
        """Mean of the quantiles, shape (n_samples, 1)."""
        return self.values.mean(axis=1, keepdims=True)


class _Net(nn.Module):
    """An ordinary mixture density network: two tanh layers, diagonal components."""

    def __init__(self, n_in, n_out, n_components, random_state):
        super().__init__()
        self.k, self.d = n_components, n_out
        sizes = (n_in, 64, 64, n_components * (1 + 2 * n_out))
        self.layers = nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(fan_in)
            for shape in ((fan_out, fan_in), (fan_out,)):
                noise = torch.rand(shape, generator=random_state)
                self.layers.append(nn.Parameter((2 * noise - 1) * bound))
        if n_components > 1:
            centers = torch.randn(self.k * self.d, generator=random_state)
            self.layers[-1].data[self.k : self.k * (1 + self.d)] = centers

    def forward(self, x):
        *hidden, weight, bias = self.layers
        for w, b in zip(hidden[::2], hidden[1::2], strict=True):
            x = torch.tanh(nn.functional.linear(x, w, b))
        out = nn.functional.linear(x, weight, bias)
        logits, means, log_scale = out.split(
            [self.k, self.k * self.d, self.k * self.d], dim=1
        )
        shape = (-1, self.k, self.d)
        scale = torch.exp(log_scale.reshape(shape).clamp(-5.3, 3))
        return torch.log_softmax(logits, 1), means.reshape(shape), scale

    def loss(self, x, y):
        log_weights, means, scale = self(x)
        square = ((y[:, None] - means) / scale) ** 2
        log_prob = -0.5 * (square + 2 * torch.log(scale) + math.log(2 * math.pi))
        return -torch.logsumexp(log_weights + log_prob.sum(-1), 1).mean()


def _train(net, X, y, random_state, steps=2000):
    """Minimise the negative log-likelihood, keep the best on 15 % held out."""
    order = torch.randperm(len(X), generator=random_state)
    held, rows = order[: len(X) * 15 // 100], order[len(X) * 15 // 100 :]
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    best, state = math.inf, None
    for step in range(steps):
        batch = rows[torch.randint(len(rows), (256,), generator=random_state)]
        loss = net.loss(X[batch], y[batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            with torch.no_grad():
                value = net.loss(X[held], y[held]).item()
            if value < best:
                best = value
                state = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return net


def _ensemble(n_components, n_members):
    def fit(X, y, seed):
        X, y = (torch.from_numpy(a.astype(np.float32)) for a in (X, y))
        nets = []
        for member in range(n_members):
            state = torch.Generator().manual_seed(1000 * seed + member)
            net = _Net(X.shape[1], y.shape[1], n_components, state)
            nets.append(_train(net, X, y, state))

        def predict(X):
            with torch.no_grad():
                rows = torch.from_numpy(X.astype(np.float32))
                parts = [[p.double().numpy() for p in net(rows)] for net in nets]
            log_weights, means, scale = (
                np.concatenate(p, 1) for p in zip(*parts, strict=True)
            )
            weights = np.exp(log_weights)
            weights /= weights.sum(axis=1, keepdims=True)
            return Mixture(weights, means, scale**2, "diag")

        return predict

    return fit


def fit_mse(X, y, seed):
    """Least squares by a network, with the variance of its residuals."""
    X_, y_ = (torch.from_numpy(a.astype(np.float32)) for a in (X, y))
    state = torch.Generator().manual_seed(seed)
    net = _Net(X.shape[1], y.shape[1], 1, state)
    net.loss = lambda x, y: ((y - net(x)[1][:, 0]) ** 2).mean()
    _train(net, X_, y_, state)

    def mean(X):
        with torch.no_grad():
            return net(torch.from_numpy(X.astype(np.float32)))[1].double().numpy()

    variance = ((y - mean(X)[:, 0]) ** 2).mean(axis=0)

    def predict(X):
        ones = np.ones((len(X), 1))
        return Mixture(
            ones, mean(X), np.broadcast_to(variance, (1, len(variance))), "diag"
        )

    return predict


def fit_joint_mixture(X, y, seed):
    """scikit-learn's mixture of x and y, K by held-out conditional likelihood."""
    rows, d = np.hstack([X, y]), X.shape[1]
    order = np.random.RandomState(seed).permutation(len(rows))
    held, train = rows[order[: len(rows) // 5]], rows[order[len(rows) // 5 :]]

    def fit(K, rows):
        model = GaussianMixture(K, reg_covar=1e-4, random_state=seed)
        return as_mixture(model.fit(rows))

    def score(mixture):
        joint = mixture.log_prob(held)
        return np.mean(joint - mixture.marginal(range(d)).log_prob(held[:, :d]))

    sizes = [K for K in (1, 2, 3, 5, 8, 12, 20, 32) if 8 * K <= len(train)]
    mixture = fit(max(sizes, key=lambda K: score(fit(K, train))), rows)
    return lambda X: mixture.condition(range(d), X)


def fit_gaussian_process(X, y, seed):
    """scikit-learn's exact process, one length for each feature, on 1000 rows."""
    if len(X) > 1000:
        rows = np.random.RandomState(seed).choice(len(X), 1000, replace=False)
        X, y = X[rows], y[rows]
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(
        np.ones(X.shape[1]), (1e-2, 1e3)
    ) + WhiteKernel(0.1, (1e-6, 1.0))
    model = GaussianProcessRegressor(kernel, random_state=seed).fit(X, y[:, 0])

    def predict(X):
        mean, std = model.predict(X, return_std=True)
        ones = np.ones((len(X), 1))
        return Mixture(ones, mean[:, None, None], std[:, None, None] ** 2, "diag")

    return predict


def fit_ngboost(X, y, seed):
    """NGBoost with its defaults, a normal distribution for each row."""
    from ngboost import NGBRegressor

    model = NGBRegressor(random_state=seed, verbose=False).fit(X, y[:, 0])

    def predict(X):
        params = model.pred_dist(X).params
        ones = np.ones((len(X), 1))
        return Mixture(
            ones,
            params["loc"][:, None, None],
            params["scale"][:, None, None] ** 2,
            "diag",
        )

    return predict


def fit_quantile_boosting(X, y, seed):
    """LightGBM, one model for each of `LEVELS`."""
    from lightgbm import LGBMRegressor

    models = [
        LGBMRegressor(
            objective="quantile",
            alpha=level,
            n_estimators=200,
            learning_rate=0.05,
            num_leaves=15,
            min_child_samples=10,
            random_state=seed,
            n_jobs=1,
            verbose=-1,
        ).fit(X, y[:, 0])
        for level in LEVELS
    ]
    return lambda X: Quantiles(np.sort(np.column_stack([m.predict(X) for m in models])))


PEERS = {
    "MDN ensemble": _ensemble(n_components=5, n_members=5),
    "joint mixture (scikit-learn)": fit_joint_mixture,
    "deep ensemble": _ensemble(n_components=1, n_members=5),
    "Gaussian process": fit_gaussian_process,
    "NGBoost": fit_ngboost,
    "LightGBM quantiles": fit_quantile_boosting,
}

"""Densities of `tables.py`: ``fit(split, seed)`` gives a scorer.

The scorer takes rows and gives log-densities. Whatever is chosen is chosen on the
validation rows, or by the rule of the peer; what can be fitted again is fitted to
training and validation rows.
"""

import time
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import KernelDensity

from skgmje import StackingDensity

# CPU seconds that a flow may train.
FLOW_SECONDS = 40.0


def stack(effort):
    """Return the fit of a stack."""

    def fit(split, seed):
        density = StackingDensity(effort=effort, random_state=seed)
        return density.fit(split.fitted, groups=split.groups).score_samples

    return fit


def mixture_by_bic(split, seed):
    """Fit scikit-learn's mixtures of full covariances, and take the best BIC."""
    X = split.fitted
    fits = [
        GaussianMixture(k, reg_covar=1e-4, random_state=seed).fit(X)
        for k in (1, 2, 4, 8, 16, 32)
        if 8 * k <= len(X)
    ]
    return min(fits, key=lambda fit: fit.bic(X)).score_samples


def bayesian_mixture(split, seed):
    """Fit scikit-learn's variational mixture, which prunes 32 components."""
    n_components = min(32, len(split.fitted) // 8)
    density = BayesianGaussianMixture(
        n_components=n_components, reg_covar=1e-4, max_iter=200, random_state=seed
    )
    return density.fit(split.fitted).score_samples


def kernels_by_cv(split, seed):
    """Fit scikit-learn's kernel density with the bandwidth of the held-out rows."""
    X = split.fitted
    held_out = np.repeat([-1, 0], [len(split.train), len(split.validation)])
    search = GridSearchCV(
        KernelDensity(),
        {"bandwidth": np.geomspace(0.05, 1.0, 10)},
        cv=PredefinedSplit(held_out),
    )
    return search.fit(X).best_estimator_.score_samples


def flow(name):
    """Return the fit of a flow of zuko's, stopped by validation."""

    def fit(split, seed):
        import torch
        import zuko

        kinds = {"NSF": zuko.flows.NSF, "MAF": zuko.flows.MAF}
        with _own_torch(torch, seed):
            n_features = split.train.shape[1]
            net = kinds[name](n_features, transforms=3, hidden_features=(64, 64))
            best = _train(torch, net, split)
        net.load_state_dict(best)
        net.eval()

        def score_samples(X):
            with torch.no_grad():
                return net().log_prob(torch.as_tensor(X, dtype=torch.float32)).numpy()

        return score_samples

    return fit


@contextmanager
def _own_torch(torch, seed):
    """Let torch use one thread, as all others do here, and draw from a seed."""
    n_threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.random.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        torch.set_rng_state(state)


def _train(torch, net, split):
    """Train until validation is no better for 15 passes, or time is up."""
    rows, held_out = (
        torch.as_tensor(part, dtype=torch.float32)
        for part in (split.train, split.validation)
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-5)
    start, best, state, bad = time.process_time(), -np.inf, net.state_dict(), 0
    while time.process_time() - start < FLOW_SECONDS and bad < 15:
        net.train()
        for batch in torch.randperm(len(rows)).split(256):
            loss = -net().log_prob(rows[batch]).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
        net.eval()
        with torch.no_grad():
            score = float(net().log_prob(held_out).mean())
        if score > best:
            best, bad = score, 0
            state = {k: v.clone() for k, v in net.state_dict().items()}
        else:
            bad += 1
    return state


PEERS = {
    "stack, fast": stack("fast"),
    "stack, thorough": stack("thorough"),
    "zuko NSF": flow("NSF"),
    "zuko MAF": flow("MAF"),
    "scikit-learn mixture, BIC": mixture_by_bic,
    "scikit-learn Bayesian mixture": bayesian_mixture,
    "scikit-learn kernels, CV": kernels_by_cv,
}


def measure(label, split, seed):
    """Return mean test log-likelihood and CPU seconds of the fit."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        score_samples = PEERS[label](split, seed)
    seconds = time.process_time() - start
    return float(np.mean(score_samples(split.test))), seconds

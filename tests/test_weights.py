"""Row weights count as copies, also where starts are drawn from the rows."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from skgmje.mixture import (
    Codes,
    GasGrowth,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    Noise,
)

X, _ = make_blobs(120, 2, centers=3, cluster_std=2.0, random_state=0)
COUNTS = np.random.default_rng(0).integers(0, 4, len(X))
TEST, _ = make_blobs(400, 2, centers=3, cluster_std=2.0, random_state=0)
RULES = {"insertion_interval": 30}
SMALL_GAS = {"max_nodes": 12, "growth": GasGrowth(**RULES), "shrinkage": 2.0}
RAW = {"refine": None, "growth": GasGrowth(settle=False, **RULES)}
STEPS = {"max_iter": 15, "covariance_type": "full", "shrinkage": 2}
SMALL = {**STEPS, "generator": Codes(hidden_layer_sizes=(8,))}
NOISE = {**STEPS, "generator": Noise(hidden_layer_sizes=(8,))}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: GaussianMixture(4, random_state=seed),
        lambda seed: GaussianMixture(
            4, covariance_type="diag", init_params="k-means++", random_state=seed
        ),
        lambda seed: GaussianMixture("auto", shrinkage=2, random_state=seed),
        lambda seed: KernelMixtureDensity(4, **SMALL, random_state=seed),
        lambda seed: KernelMixtureDensity(
            4, **SMALL, cost="scalar", batch_size=32, random_state=seed
        ),
        lambda seed: KernelMixtureDensity(4, **NOISE, random_state=seed),
        lambda seed: GrowingNeuralGasMixture(**SMALL_GAS, random_state=seed),
        lambda seed: GrowingNeuralGasMixture(**SMALL_GAS | RAW, random_state=seed),
        lambda seed: GrowingNeuralGasMixture(
            **SMALL_GAS | {"max_nodes": "auto"}, random_state=seed
        ),
    ],
    ids=[
        "kmeans",
        "k-means++",
        "auto",
        "codes",
        "batches",
        "noise",
        "gas",
        "gas, raw",
        "gas, auto",
    ],
)
def test_weight_k_is_k_copies_on_average(make):
    """Over 20 seeds the mean difference stays within three standard errors."""
    differences = []
    for seed in range(20):
        weighted = make(seed).fit(X, sample_weight=COUNTS).score(TEST)
        copied = make(seed).fit(np.repeat(X, COUNTS, axis=0)).score(TEST)
        differences.append(weighted - copied)
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences)) <= 3 * error + 1e-9


def test_the_law_can_fail():
    """Ignoring the weights would be seen."""
    ignored = GaussianMixture(4, random_state=0).fit(X).score(TEST)
    weighted = GaussianMixture(4, random_state=0).fit(X, sample_weight=COUNTS)
    assert abs(ignored - weighted.score(TEST)) > 1e-3

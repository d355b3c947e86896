"""
=======================================================
Kernel costs as errors: landmarks, compressed densities
=======================================================

Claim: a kernel cost is the error of a known approximation. Landmarks that the
matrix-matrix cost has learned leave less of a kernel matrix unexplained than random
ones, those of k-means and those of a pivoted Cholesky factor. And in place of 1400
samples of two moons, 35 kernels predict as well and are scored far sooner.

The first problem is the Nystroem approximation, whose trace error is the matrix-matrix
cost. The second has two solutions: the density nearest to that of all samples, by the
scalar cost, and the likeliest one around the centers of k-means. Where kernels are too
few, the nearest density has a low likelihood.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_moons
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity

from skgmje.costs import compress, matrix_matrix_cost
from skgmje.em import kernel_bandwidth, weights_only
from skgmje.gaussian import grams

OUT = Path(__file__).parent / "out"
# Okabe and Ito's colours, and markers for who prints in grey.
STYLES = {
    "random": {"color": "#E69F00", "marker": "v"},
    "pivoted Cholesky": {"color": "#009E73", "marker": "s"},
    "k-means": {"color": "#0072B2", "marker": "o"},
    "learned": {"color": "#D55E00", "marker": "D"},
}

# %%
# Landmarks of a kernel matrix
# ----------------------------
# The kernel ``exp(-gamma |x - y|²)`` is the inner product of two Gaussians of standard
# deviation h, with gamma = 1 / 4 h².

X, held_out = train_test_split(load_digits().data / 16, test_size=0.3, random_state=0)
squares = euclidean_distances(X, squared=True)
gamma = 1 / np.median(squares[np.triu_indices(len(X), 1)])
bandwidth = 0.5 / np.sqrt(gamma)


def choose_at_random(k):
    """Return k samples."""
    return X[np.random.default_rng(0).choice(len(X), k, replace=False)]


def choose_pivots(k):
    """Return samples drawn in proportion to what the others leave unexplained."""
    rng, left, factor, pivots = np.random.default_rng(0), np.ones(len(X)), [], []
    for _ in range(k):
        pivots.append(rng.choice(len(X), p=left / left.sum()))
        column = rbf_kernel(X, X[pivots[-1:]], gamma=gamma)[:, 0]
        column -= sum(f * f[pivots[-1]] for f in factor)
        factor.append(column / np.sqrt(column[pivots[-1]]))
        left = np.maximum(left - factor[-1] ** 2, 0)
    return X[pivots]


def choose_means(k):
    """Return the centers of k-means."""
    return KMeans(k, n_init=1, random_state=0).fit(X).cluster_centers_


def learn(k, n_steps=60):
    """Return the centers of k-means, moved along the gradient of the cost."""
    landmarks = torch.tensor(choose_means(k), requires_grad=True)
    optimizer = torch.optim.Adam([landmarks], lr=0.02 * bandwidth)
    data = torch.tensor(X)
    for _ in range(n_steps):
        optimizer.zero_grad()
        matrix_matrix_cost(grams(data, landmarks, bandwidth)).backward()
        optimizer.step()
    return landmarks.detach().numpy()


# %%
# Fitted to as many landmarks as it has components, ``Nystroem`` takes them all. What
# its features leave of the trace of the kernel matrix of new samples is the cost.


def trace_error(landmarks):
    """Return the share of the trace that scikit-learn's features do not explain."""
    features = Nystroem(gamma=gamma, n_components=len(landmarks)).fit(landmarks)
    return 1 - np.sum(features.transform(held_out) ** 2) / len(held_out)


choices = choose_at_random, choose_pivots, choose_means, learn
n_landmarks = [10, 20, 50, 100, 200]
errors = {}
print(f"{'landmarks':18}" + "".join(f"{k:7}" for k in n_landmarks) + "   CPU s for all")
for name, choose in zip(STYLES, choices, strict=True):
    start = time.process_time()
    chosen = [choose(k) for k in n_landmarks]
    seconds = time.process_time() - start
    errors[name] = [trace_error(landmarks) for landmarks in chosen]
    figures = "".join(f"{error:7.3f}" for error in errors[name])
    print(f"{name:18}{figures}{seconds:10.1f}")
cost = matrix_matrix_cost(grams(held_out, chosen[-1], bandwidth), jitter=0)
print(f"the last cost is {cost:.10f}, the last error {errors['learned'][-1]:.10f}")

# %%
# Few kernels in place of many
# ----------------------------
# The kernel density estimate with the bandwidth that predicts left-out samples best,
# and two ways to fewer kernels: around the centers of k-means, with the weights and the
# variance that predict left-out samples best, and those nearest to the whole, by
# ``compress``. Means over three draws of the samples.

new, _ = make_moons(4000, noise=0.08, random_state=0)
samples = [make_moons(1400, noise=0.08, random_state=seed)[0] for seed in (1, 2, 3)]
draws = [(moons, kernel_bandwidth(moons)) for moons in samples]


def keep_all(moons, width):
    """Return the kernel density estimate of all samples."""
    return KernelDensity(bandwidth=width).fit(moons).score_samples


def spread_means(moons, width, k):
    """Return the best kernels of one width around the centers of k-means."""
    means = KMeans(k, n_init=1, random_state=0).fit(moons).cluster_centers_
    return weights_only(moons, means, left_out=True).log_prob


def find_nearest(moons, width, k):
    """Return the kernels nearest to the estimate of all samples."""
    return compress(moons, k, bandwidth=width, random_state=0).log_prob


def judge(fit, *args):
    """Return the mean log-density of new samples, and CPU milliseconds to score."""
    fitted = [fit(*draw, *args) for draw in draws]
    start = time.process_time()
    nats = np.mean([log_prob(new) for log_prob in fitted])
    return nats, 1000 * (time.process_time() - start) / len(draws)


whole, milliseconds = judge(keep_all)
print(
    f"all 1400 kernels: {whole:.3f} nats, {milliseconds:.1f} ms to score 4000 samples"
)
n_kernels = [20, 35, 70, 140]
nats = {}
for name, fit in {"k-means": spread_means, "compress": find_nearest}.items():
    nats[name], times = zip(*(judge(fit, k) for k in n_kernels), strict=True)
    for k, value, milliseconds in zip(n_kernels, nats[name], times, strict=True):
        print(f"{name:9} {k:4} kernels: {value:.3f} nats, {milliseconds:.1f} ms")

# %%
# Look at both
# ------------

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
for name, style in STYLES.items():
    left.loglog(n_landmarks, errors[name], label=name, linewidth=2, **style)
left.set(
    title="Nystroem approximation of digits",
    xlabel="landmarks",
    ylabel="trace error on held-out samples",
)
left.set_xticks(n_landmarks, n_landmarks)
left.set_yticks([0.1, 0.2, 0.3, 0.5], ["10 %", "20 %", "30 %", "50 %"])
right.axhline(whole, color="black", linestyle="--", label="all 1400 samples")
for name, style in zip(nats, [STYLES["k-means"], STYLES["learned"]], strict=True):
    right.semilogx(n_kernels, nats[name], label=name, linewidth=2, **style)
right.set(
    title="Kernel density estimate of two moons",
    xlabel="kernels",
    ylabel="log-density of new samples (nats)",
)
right.set_xticks(n_kernels, n_kernels)
for axis in (left, right):
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
figure.get_layout_engine().set(wspace=0.06)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "exact_errors.png", dpi=110)

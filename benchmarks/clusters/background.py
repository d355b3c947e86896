"""Clusters among uniform noise, and clusters with heavy tails.

Run ``python -m benchmarks.clusters.background`` (two CPU minutes). Figures are the
adjusted Rand index of labels, or held-out log-likelihoods in nats per sample.
"""

import warnings

import numpy as np
from scipy.stats import multivariate_t
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, StudentMixture

N_SEEDS = 10
CENTERS = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


def chevron():
    """Find two thin clusters in a cloud of noise, nothing told but their number."""
    file = np.load(FOLDER / "mclust_chevron.npz")
    X, y = file["X"], file["y"]
    models = [
        GaussianMixture(2, background=told, reg_covar="auto", random_state=seed)
        for told in (True, False)
        for seed in range(N_SEEDS)
    ]
    found = [adjusted_rand_score(y, model.fit(X).predict(X)) for model in models]
    told, plain = np.reshape(found, (2, N_SEEDS))
    yield "chevron, K = 2", told.mean(), told.min(), plain.mean()


def blobs():
    """Find blobs among uniform noise; figures are those of the samples of blobs."""
    for share in (0.05, 0.1, 0.2):
        found = []
        for seed in range(N_SEEDS):
            clean, labels = make_blobs(500, 2, centers=4, random_state=seed)
            rng = np.random.default_rng(seed)
            ends = clean.min(axis=0) - 2, clean.max(axis=0) + 2
            X = np.vstack([clean, rng.uniform(*ends, (int(500 * share), 2))])
            fits = (
                GaussianMixture(4, background=told, reg_covar="auto", random_state=0)
                for told in (True, False)
            )
            resp = [model.fit(X).predict_proba(clean)[:, :4] for model in fits]
            alone = GaussianMixture(4, reg_covar="auto", random_state=0).fit(clean)
            resp.append(alone.predict_proba(clean))
            found.append([adjusted_rand_score(labels, r.argmax(axis=1)) for r in resp])
        told, plain, alone = np.transpose(found)
        worst = (told - alone).min()
        yield f"blobs, {share:.0%} uniform", told.mean(), worst, plain.mean()
        yield "the same blobs without noise", alone.mean(), "", ""


def tails():
    """Compare held-out log-likelihoods where a twentieth of the samples is far out."""
    found = []
    for seed in range(N_SEEDS):
        parts = []
        for part in (2 * seed, 2 * seed + 1):
            X, _ = make_blobs(1500, centers=CENTERS, random_state=part)
            far = np.random.default_rng(part).random(1500) < 0.05
            X[far] += multivariate_t([0, 0], 25 * np.eye(2), 2, seed=part).rvs(
                far.sum()
            )
            parts.append(X)
        models = StudentMixture(3, random_state=0), GaussianMixture(3, random_state=0)
        found.append([model.fit(parts[0]).score(parts[1]) for model in models])
    ours, gauss = np.transpose(found)
    yield (
        "three clusters, 5 % with 2 degrees",
        ours.mean(),
        (ours - gauss).min(),
        (gauss.mean()),
    )
    for dof in (2.0, 3.0, 10.0):
        fits = [
            StudentMixture().fit(
                multivariate_t([0, 0], np.eye(2), dof, seed=s).rvs(5000)
            )
            for s in range(N_SEEDS)
        ]
        gaps = np.array([abs(fit.dof_[0] / dof - 1) for fit in fits])
        yield f"{dof:g} degrees of 5000 samples: error", gaps.mean(), gaps.max(), ""


def main():
    """Measure and publish everything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [row for part in (chevron, blobs, tails) for row in part()]
    header = "data", "ours", "worst, or worst gain", "plain Gaussian mixture"
    shown = [[f"{v:.3f}" if isinstance(v, float) else v for v in r] for r in rows]
    text = markdown(header, shown)
    publish(__file__, "background", {"header": header, "rows": rows}, text)
    print(text)


if __name__ == "__main__":
    main()

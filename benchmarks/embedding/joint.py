"""Embeddings of two views against peers and truth.

Run ``python -m benchmarks.embedding.joint`` for all parts (about half an hour on one
core), or name some: digits, views, latents. Tables and figures of each part go to
`results/joint-<part>.*`.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.cross_decomposition import CCA
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, GJEEmbedder, GMJEEmbedder
from skgmje.embedding import CollapseWarning

SEEDS = (0, 1, 2)
LOSSES = ("gje", "infonce", "pmi", "vicreg", "barlow", "naive")
MFEAT_VIEWS = ("pix", "fou", "fac", "zer", "kar", "mor")
MFEAT_PAIRS = (("pix", "fou"), ("fou", "zer"))


def mixture(n_components):
    """Return the density that is fitted to embeddings."""
    return GaussianMixture(n_components, shrinkage="auto", reg_covar=1e-4)


def affine(batch, generator):
    """Turn, scale, shift, brighten and blur digits with noise, another view of each."""
    n = len(batch)
    settings = {"generator": generator, "dtype": batch.dtype, "device": batch.device}

    def uniform(*shape):
        return torch.rand(shape, **settings) - 0.5

    angle, scale, shift = 0.6 * uniform(n), 1 + 0.4 * uniform(n), 0.5 * uniform(n, 2)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1)
    images = batch.view(n, 1, 8, 8)
    grid = functional.affine_grid(rows.view(n, 2, 3), images.shape, align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    noise = 0.1 * torch.randn(moved.shape, **settings)
    return (moved * (1 + 0.4 * uniform(n, 1, 1, 1)) + noise).reshape(n, 64)


def few_labels(train, test, y_train, y_test):
    """Return the accuracy of a linear classifier of 5 labels per class, of 8 draws."""
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    scores = []
    for draw in range(8):
        rng = np.random.RandomState(draw)
        rows = [rng.choice(np.flatnonzero(y_train == c), 5, False) for c in range(10)]
        rows = np.concatenate(rows)
        probe = LogisticRegression(max_iter=1000, C=0.1)
        scores.append(probe.fit(train[rows], y_train[rows]).score(test, y_test))
    return float(np.mean(scores))


def _digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.3, random_state=0, stratify=y)


def _measure_loss(loss, seed):
    X, X_test, y, y_test = _digits()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embedder = GMJEEmbedder(
            32, loss=loss, augmentation=affine, mixture=mixture(20), random_state=seed
        ).fit(X)
    return {
        "few labels": few_labels(*map(embedder.transform, (X, X_test)), y, y_test),
        "effective rank of 32": embedder.effective_rank_,
        "information, nats": embedder.score(X_test),
        "collapse warnings": sum(w.category is CollapseWarning for w in caught),
        "fit, CPU s": time.process_time() - start,
    }


def digits():
    """Compare losses on digits, beside the pixels."""
    X, X_test, y, y_test = _digits()
    raw = few_labels(X, X_test, y, y_test)
    results, rows = {"pixels": raw}, [["pixels", f"{raw:.3f}"]]
    for loss in LOSSES:
        runs = results[loss] = [_measure_loss(loss, seed) for seed in SEEDS]
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        rows.append([loss, *(f"{value:.3f}" for value in mean.values())])
        print(*rows[-1], flush=True)
    publish(
        __file__, "joint-digits", {"results": results}, markdown(["loss", *mean], rows)
    )


def views():
    """Few-label accuracy of two real views together."""
    if not (FOLDER / "mfeat_multiview.npz").exists():
        print(f"{FOLDER}/mfeat_multiview.npz is missing; its source is in README.md")
        return
    data = np.load(FOLDER / "mfeat_multiview.npz")
    bounds = dict(zip(MFEAT_VIEWS, data["view_bounds"], strict=True))
    results, rows = {}, []
    for names in MFEAT_PAIRS:
        pair = [data["X"][:, slice(*bounds[name])].astype(float) for name in names]
        runs = [_measure_views(pair, data["y"], seed) for seed in SEEDS]
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        results["/".join(names)] = mean
        rows.append(["/".join(names), *(f"{value:.3f}" for value in mean.values())])
        print(*rows[-1], flush=True)
    publish(
        __file__, "joint-views", {"results": results}, markdown(["views", *mean], rows)
    )


def _measure_views(pair, y, seed):
    train, test = train_test_split(
        np.arange(len(y)), test_size=0.3, random_state=seed, stratify=y
    )
    scaled = [StandardScaler().fit(view[train]).transform(view) for view in pair]
    both = np.hstack(scaled)

    def probe(Z):
        return few_labels(Z[train], Z[test], y[train], y[test])

    def embed(**params):
        embedder = GJEEmbedder(32, views="pair", random_state=seed, **params)
        embedder.fit(*(view[train] for view in pair))
        context, target = (
            embedder.transform(pair[0]),
            embedder.transform_target(pair[1]),
        )
        return probe(np.hstack([context, target]))

    # CCA of all columns fits noise: the first directions of each view regularise it.
    white = [PCA(min(46, v.shape[1] - 1)).fit(v[train]).transform(v) for v in scaled]
    fits = [CCA(k, max_iter=2000).fit(*(v[train] for v in white)) for k in (5, 9, 12)]
    pca = [PCA(k).fit(both[train]).transform(both) for k in (8, 12, 16, 24)]
    return {
        "GJEEmbedder": embed(),
        "PCA of both, best of 8 to 24": max(map(probe, pca)),
        "CCA, best of 5 to 12": max(
            probe(np.hstack(fit.transform(*white))) for fit in fits
        ),
        "untrained encoder": embed(max_iter=1, learning_rate=1e-12),
        "all columns": probe(both),
    }


def latents():
    """Energy distance of samples to held-out embeddings, K = 1 and 20."""
    X, X_test, _, _ = _digits()
    results, rows = {}, []
    for seed in SEEDS:
        make = partial(GMJEEmbedder, 32, augmentation=affine, random_state=seed)
        figures = {}
        for k in (1, 20):
            embedder = make(mixture=mixture(k)).fit(X)
            Z = embedder.transform(X_test)
            drawn = embedder.sample(4000, random_state=seed)[0]
            figures[f"K={k}"] = _energy_distance(drawn / Z.std(0), Z / Z.std(0))
        figures["K=20 / K=1"] = figures["K=20"] / figures["K=1"]
        results[seed] = figures
        rows.append([seed, *(f"{value:.4f}" for value in figures.values())])
        print(*rows[-1], flush=True)
    table = markdown(["seed", *figures], rows)
    publish(__file__, "joint-latents", {"results": results}, table)


def _energy_distance(first, second):
    """Return the unbiased estimate of the squared energy distance."""
    n, m = len(first), len(second)
    within = cdist(first, first).sum() / (n * (n - 1))
    within += cdist(second, second).sum() / (m * (m - 1))
    return float(2 * cdist(first, second).mean() - within)


PARTS = {"digits": digits, "views": views, "latents": latents}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {list(PARTS)}")
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()

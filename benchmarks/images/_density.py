"""The part `density`: mixtures on frozen embeddings of images.

An embedder learns from Fashion-MNIST without labels; a mixture is fitted to 32
principal components of one of its layers. What is it as a density, as a sampler, and
does it tell images of another kind? The distance to the fifth nearest training row, and
the same on a layer without training and on pixels, are the controls; views without
noise show what an encoder is blind to. The settings were chosen on validation rows;
labels only name the components of finished mixtures.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.images._data import eurosat, fashion
from benchmarks.images._tables import SEEDS, cells, energy_distance, seconds_of
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, GJEEmbedder
from skgmje.embedding._views import AUGMENTATIONS

SIZES = (1, 10, 20, 40, "auto")
N_DIRECTIONS = 32
N_NEIGHBORS = 5
PIXELS = f"pixels, PCA {N_DIRECTIONS}"
EMBEDDER = {
    "encoder": "convnet",
    "augmentation": "aligned",
    "views": "neighbors",
    "max_iter": 300,
    "batch_size": 256,
}
# What is changed of it, and layers.
VARIANTS = {
    "": ({}, ("hidden", "multi", "embedding")),
    "views without noise, ": (
        {"augmentation": replace(AUGMENTATIONS["aligned"], noise=0.0)},
        ("hidden", "multi"),
    ),
    "untrained, ": ({"max_iter": 0}, ("hidden",)),
}
# In squared units of the layers, whose directions have deviations of about 1 to 5.
MIXTURE = {"reg_covar": 1e-3}
# Figures of a mixture, and their digits.
DENSITY = {
    "held-out nats": 1,
    "gain over K=1": 1,
    "training nats": 1,
    "purity": 3,
    "energy distance of draws": 4,
    "fit, CPU s": 1,
}
SHIFTS = ("turned by 90°", "upside down", "shuffled", "uniform", "noise", "EuroSAT")


class Features(NamedTuple):
    """Features of rows: to fit, to test, and of each kind of other images."""

    train: Any
    test: Any
    others: dict


def density(seeds=SEEDS, *, validate=False):
    """Fit mixtures to layers of embedders of Fashion-MNIST, and to pixels."""
    split = fashion()
    if split is None:
        return
    split = split.validation if validate else split
    results = {}
    for seed in seeds:
        others = _others(split, seed)
        for label, encode in _encoders(split, seed):
            images = split.X, split.X_test, others
            for K, found in _measure(_features(encode, *images), split, seed):
                results.setdefault(label, {}).setdefault(str(K), []).append(found)
                rounded = {name: round(value, 3) for name, value in found.items()}
                print(seed, label, K, rounded, flush=True)
    tables = "\n\n".join([_density_table(results), _shift_table(results)])
    print(tables, flush=True)
    if tuple(seeds) == SEEDS and not validate:
        publish(__file__, "images-density", {"results": results}, tables)


def _others(split, seed):
    """Return images that are not like those to fit, by what was done to them."""
    rng = np.random.default_rng(seed)
    X = split.X_test
    shuffled = rng.permuted(X.reshape(len(X), -1), axis=1).reshape(X.shape)
    added = 0.5 * split.X.std() * rng.standard_normal(X.shape)
    turned = np.rot90(X, axes=(1, 2))
    images = [turned, X[:, ::-1], shuffled, rng.uniform(0, 255, X.shape), X + added]
    found = dict(zip(SHIFTS, images, strict=False))
    tiles = eurosat()
    if tiles is not None:
        found["EuroSAT"] = tiles.X[: len(X), 2:30, 2:30].mean(axis=-1)
    return found


def _encoders(split, seed):
    """Yield name and function of each kind of features."""
    for prefix, (params, layers) in VARIANTS.items():
        embedder = GJEEmbedder(64, **EMBEDDER | params, random_state=seed)
        seconds = seconds_of(embedder.fit, split.X)
        print(f"{prefix}embedder: {seconds:.0f} CPU s", flush=True)
        for layer in layers:
            label = {"embedding": "output"}.get(layer, layer)
            yield prefix + label, embedder.set_params(output=layer).transform
    yield PIXELS, lambda X: X.reshape(len(X), -1) / 255


def _features(encode, X, X_test, others):
    rows = encode(X)
    pca = PCA(N_DIRECTIONS, random_state=0).fit(rows)

    def reduced(images):
        return pca.transform(encode(np.ascontiguousarray(images))).astype(float)

    return Features(
        pca.transform(rows).astype(float),
        reduced(X_test),
        {name: reduced(images) for name, images in others.items()},
    )


def _measure(features, split, seed):
    """Yield figures of each mixture, and of the distance to neighbours."""
    first = None
    for size in SIZES:
        mixture = GaussianMixture(size, random_state=seed, **MIXTURE)
        seconds = seconds_of(mixture.fit, features.train)
        score = mixture.score(features.test)
        first = score if first is None else first
        draws, _ = mixture.sample(2000)
        yield (
            size,
            {
                "held-out nats": score,
                "gain over K=1": score - first,
                "training nats": mixture.score(features.train),
                "purity": _purity(mixture.predict(features.test), split.y_test),
                "energy distance of draws": energy_distance(draws, features.test),
                "fit, CPU s": seconds,
                "components": len(mixture.weights_),
                **_areas(mixture.score_samples, features),
            },
        )
    near = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(features.train)
    yield (
        f"{N_NEIGHBORS} neighbours",
        _areas(lambda Z: -near.kneighbors(Z)[0][:, -1], features),
    )


def _purity(component, y):
    """Return the share of rows that have the commonest label of their component."""
    groups = [y[component == k] for k in np.unique(component)]
    return float(sum(np.bincount(group).max() for group in groups) / len(y))


def _areas(score, features):
    """Return how often a test row is found likelier than one of another kind."""
    inside = score(features.test)
    found = {}
    for name, rows in features.others.items():
        outside = score(rows)
        is_inside = np.arange(len(inside) + len(outside)) < len(inside)
        found[name] = roc_auc_score(is_inside, np.concatenate([inside, outside]))
    return found


def _density_table(results):
    rows = [
        [label, _size(K, runs), *cells(runs, DENSITY)]
        for label, by_size in results.items()
        for K, runs in by_size.items()
        if "components" in runs[0]
    ]
    return markdown(["features", "mixture", *DENSITY], rows)


def _shift_table(results):
    columns = dict.fromkeys(SHIFTS, 3)
    rows = [
        [label, _size(K, runs), *cells(runs, columns)]
        for label, by_size in results.items()
        for K, runs in by_size.items()
    ]
    return markdown(["features", "score", *SHIFTS], rows)


def _size(K, runs):
    """Return the number of components, or what else makes the score, in words."""
    if "components" not in runs[0]:
        return K
    chosen = ", ".join(f"{run['components']:.0f}" for run in runs)
    return f"auto ({chosen})" if K == "auto" else f"K={K}"

"""The part `views`: two descriptors of digits, few labels."""

import time
from functools import partial

import numpy as np
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from benchmarks.images._data import two_views
from benchmarks.images._probes import few_labels, scaled
from benchmarks.images._tables import (
    LOSSES,
    SEEDS,
    figure,
    hand_over,
    quiet,
    seconds_of,
    steps_within,
)
from skgmje import GJEEmbedder
from skgmje.embedding import MLP

PAIRS = (("fou", "kar"), ("pix", "mor"))
SECONDS = 2.0
# Labels of the results, and outputs of an embedder.
LAYERS = {"hidden": "hidden", "output": "embedding"}
# Rows at most: principal components of both views, and of each one before CCA.
WIDTHS = (8, 16, 24, 32)
# Chosen for GJE on validation rows of each pair, and the same for all losses.
ENCODERS = {
    ("fou", "kar"): {"encoder": MLP((256, 256, 256)), "learning_rate": 0.01},
    ("pix", "mor"): {"encoder": MLP((256, 256)), "learning_rate": 0.002},
}


def views(seeds=SEEDS, budget=SECONDS, *, validate=False):
    """Train on two descriptors of the same digits; five labels of each class."""
    results = {}
    for names in PAIRS:
        steps = {}
        for seed in seeds:
            split = two_views(names, seed)
            if split is None:
                return
            split = split.validation if validate else split
            found = _measure(split, seed, budget, steps, ENCODERS[names])
            for label, scores in found.items():
                results.setdefault(label, {}).setdefault("-".join(names), []).append(
                    scores
                )
        print(*names, {k: _means(v, names) for k, v in results.items()}, flush=True)
    columns = [column for names in PAIRS for column in (*names, "both", "CPU s")]
    rows = [
        [label, *(cell for names in PAIRS for cell in _cells(scores, names))]
        for label, scores in results.items()
    ]
    is_whole = tuple(seeds) == SEEDS and budget == SECONDS and not validate
    hand_over("images-views", results, ["features", *columns], rows, keep=is_whole)


def _means(scores, names):
    runs = np.array(scores["-".join(names)], float)
    return [round(float(value), 3) for value in runs[:, :3].mean(axis=0)]


def _cells(scores, names):
    runs = np.array(scores["-".join(names)], float).T
    return [*map(figure, runs[:3]), f"{runs[3].mean():.1f}"]


def _measure(split, seed, budget, steps, encoder):
    """Return scores of view 1, view 2 and both, and CPU seconds, by method."""
    views = [scaled(*pair) for pair in zip(split.X, split.X_test, strict=True)]
    train, test = zip(*views, strict=True)
    score = partial(_score, y=split.y, y_test=split.y_test, seed=seed)
    found = {
        "columns": [*score(train, test), 0.0],
        "PCA of both": [*[np.nan] * 2, *_pca(split, seed), 0.0],
        "CCA": _cca(train, test, score),
    }
    make = partial(
        GJEEmbedder,
        min(16, *(view.shape[1] for view in train)),
        views="pair",
        random_state=seed,
        **encoder,
    )
    untrained = quiet(make(max_iter=0).fit, *train)
    for layer, output in LAYERS.items():
        answers = [_both(untrained, output, rows) for rows in (train, test)]
        found[f"untrained, {layer}"] = [*score(*answers), 0.0]
    for name, loss in LOSSES.items():
        model = make(loss=loss)
        if name not in steps:
            steps[name] = steps_within(
                lambda n, model=model: model.set_params(max_iter=n).fit(*train),
                budget,
                rounds=2,
            )
        seconds = seconds_of(model.set_params(max_iter=steps[name]).fit, *train)
        for layer, output in LAYERS.items():
            answers = [_both(model, output, rows) for rows in (train, test)]
            found[f"{name}, {layer}"] = [*score(*answers), seconds]
    return found


def _score(train, test, y, y_test, seed):
    """Return the accuracy with five labels of each class: two views, and both."""
    pairs = [*zip(train, test, strict=True), (np.hstack(train), np.hstack(test))]
    return [few_labels(*pair, y, y_test, 5, 10, 1000 * seed) for pair in pairs]


def _both(embedder, output, rows):
    """Return a layer of both encoders."""
    embedder.set_params(output=output)
    return [embedder.transform(rows[0]), embedder.transform_target(rows[1], output)]


def _pca(split, seed):
    """Score principal components of both views, as many as validation rows like."""

    def accuracy(part, width):
        views = [scaled(*pair) for pair in zip(part.X, part.X_test, strict=True)]
        train, test = map(np.hstack, zip(*views, strict=True))
        pca = PCA(width, random_state=0).fit(train)
        rows = pca.transform(train), pca.transform(test)
        return few_labels(*rows, part.y, part.y_test, 5, 10, 1000 * seed)

    best = max(WIDTHS, key=lambda width: accuracy(split.validation, width))
    return [accuracy(split, best)]


def _cca(train, test, score):
    """Score canonical correlations; of all columns they would fit noise."""
    start = time.process_time()
    pcas = [PCA(min(30, view.shape[1]), random_state=0).fit(view) for view in train]
    train, test = (
        [pca.transform(view) for pca, view in zip(pcas, part, strict=True)]
        for part in (train, test)
    )
    width = min(16, *(view.shape[1] for view in train))
    cca = quiet(CCA(width, max_iter=500).fit, *train)
    seconds = time.process_time() - start
    return [*score(cca.transform(*train), cca.transform(*test)), seconds]

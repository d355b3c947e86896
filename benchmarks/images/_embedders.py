"""The part `embedders`: losses at equal seconds, and bars.

All losses train the same network on the same views; each gets as many steps as fit
into the seconds. The network without training is the control, one trained with all
labels on the same views the ceiling.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem

from benchmarks.images._data import eurosat, fashion
from benchmarks.images._probes import PROBES, few_labels, probe
from benchmarks.images._supervised import supervised
from benchmarks.images._tables import (
    LOSSES,
    SEEDS,
    cells,
    hand_over,
    seconds_of,
    steps_within,
)
from skgmje import GJEEmbedder
from skgmje.embedding import ImageAugmentation

# Labels of the results, and outputs of an embedder.
LAYERS = {"hidden": "hidden", "multi": "multi", "output": "embedding"}
N_DIRECTIONS = 128
N_LANDMARKS = 512
# Of the kernel, times the number of features.
GAMMAS = (0.25, 0.5, 1.0, 2.0, 4.0)
COLUMNS = {**dict.fromkeys(PROBES, 3), "fit, CPU s": 1, "steps": 0}


class Task(NamedTuple):
    """Images, CPU seconds of each training, and what all losses are told.

    `others` are trained too: what not to do, and what a part of the recipe brings.
    """

    load: Any
    seconds: float
    params: dict
    others: dict


# Those of contrastive learning.
CROPS = ImageAugmentation(flip=True, crop=0.5)
# Chosen on validation rows.
TASKS = {
    "fashion": Task(
        fashion,
        80.0,
        {"embedding_dim": 96, "augmentation": "aligned", "views": "neighbors"},
        {
            "GJE without neighbours": {"views": "augment"},
            "GJE, crops": {"augmentation": CROPS, "views": "augment"},
        },
    ),
    "eurosat": Task(eurosat, 16.0, {"embedding_dim": 64, "augmentation": "scene"}, {}),
}


def embedders(seeds=SEEDS, budget=None, *, validate=False):
    """Train embedders of Fashion-MNIST and EuroSAT; probe all of their layers."""
    is_whole = tuple(seeds) == SEEDS and budget is None and not validate
    for name, task in TASKS.items():
        split = task.load()
        if split is None:
            continue
        split = split.validation if validate else split
        results = _bars(split)
        for found in _trained(split, task, budget or task.seconds, seeds):
            results |= found
            # A long run: what it has reached must not be lost.
            rows = [[label, *cells(runs, COLUMNS)] for label, runs in results.items()]
            header = ["features", *COLUMNS]
            hand_over(f"images-{name}", results, header, rows, keep=is_whole)


def _bars(split):
    """Score features that nothing was trained for."""
    answers = {
        "pixels": (lambda rows, _: _pixels(rows), [None]),
        f"PCA, {N_DIRECTIONS}": (_principal, [N_DIRECTIONS]),
        f"Nystroem, {N_LANDMARKS}": (_landmarks, GAMMAS),
    }
    return {
        label: [_best(features, settings, split)]
        for label, (features, settings) in answers.items()
    }


def _best(features, settings, split):
    """Score each probe at the setting, and scaling, that validation rows like best."""
    found = {}
    for name, score in PROBES.items():
        probes = [score]
        if score is few_labels:
            probes.append(partial(few_labels, one_scale=True))

        def accuracy(trial, rows):
            setting, score = trial
            return score(*features(rows, setting), rows.y, rows.y_test)

        trials = [(setting, score) for setting in settings for score in probes]
        best = trials[0]
        if len(trials) > 1:
            best = max(trials, key=lambda trial: accuracy(trial, split.validation))
        found[name] = accuracy(best, split)
    return found


def _pixels(rows):
    """Return flat images in units of all pixels."""
    first = rows.X.astype(np.float32)
    parts = [(part - first.mean()) / first.std() for part in (first, rows.X_test)]
    return [part.reshape(len(part), -1).astype(np.float32) for part in parts]


def _principal(rows, width):
    first, second = _pixels(rows)
    pca = PCA(width, random_state=0).fit(first)
    return pca.transform(first), pca.transform(second)


def _landmarks(rows, gamma):
    first, second = _pixels(rows)
    width = gamma / first.shape[1]
    model = Nystroem(gamma=width, n_components=N_LANDMARKS, random_state=0).fit(first)
    return model.transform(first), model.transform(second)


def _trained(split, task, seconds, seeds):
    """Yield scores of each network by layer, the first of one without training."""
    make = partial(GJEEmbedder, encoder="convnet", batch_size=256)
    yield _over_seeds("untrained", make(max_iter=0, **task.params), split, seeds)
    losses = {label: {"loss": loss} for label, loss in LOSSES.items()}
    for label, params in (losses | task.others).items():
        model = make(**task.params | params)

        def fit(n_steps, model=model):
            model.set_params(max_iter=n_steps, random_state=0).fit(split.X)

        model.set_params(max_iter=steps_within(fit, seconds))
        yield _over_seeds(label, model, split, seeds)
    runs = [supervised(split, task.params["augmentation"], seconds, s) for s in seeds]
    yield {"network that sees all labels": runs}


def _over_seeds(label, model, split, seeds):
    """Return the scores of all layers of a network, for each seed."""
    found = {f"{label}, {layer}": [] for layer in LAYERS}
    for seed in seeds:
        seconds = seconds_of(model.set_params(random_state=seed).fit, split.X)
        costs = {"fit, CPU s": seconds, "steps": model.max_iter}
        for layer, output in LAYERS.items():
            model.set_params(output=output)
            parts = model.transform(split.X), model.transform(split.X_test)
            scores = probe(*parts, split.y, split.y_test)
            found[f"{label}, {layer}"].append(scores | costs)
    return found

"""The part `decoder`: codes, and the images they are decoded to.

Energy distances are those of 2000 samples to held-out images, along the first 50
principal components of the training images; 2000 training images are 0.00 ± 0.002
from them, so that smaller differences mean nothing.
"""

from functools import partial

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.images._data import fashion
from benchmarks.images._tables import (
    SEEDS,
    cells,
    energy_distance,
    figure,
    hand_over,
    seconds_of,
    steps_within,
)
from skgmje.embedding import IsotropicKernel, KernelDecoder

N_SAMPLES = 2000
N_DIRECTIONS = 50
# Parameters, and CPU seconds of the fit.
MODELS = {
    "code 8, 1 centre": ({"code_dim": 8}, 20),
    "code 2, 1 centre": ({"code_dim": 2}, 12),
    "code 2, 4 centres": (
        {"code_dim": 2, "n_centers": 4, "kernel": IsotropicKernel(kappa=0.1)},
        12,
    ),
    "code 8, 1 centre, five bandwidths": (
        {"code_dim": 8, "kernel": IsotropicKernel("multiscale")},
        20,
    ),
    "code 2, 4 centres, five bandwidths": (
        {"code_dim": 2, "n_centers": 4, "kernel": IsotropicKernel("multiscale")},
        12,
    ),
    "code 8, 4 centres, one bound, variance 1": (
        {
            "code_dim": 8,
            "n_centers": 4,
            "objective": "batch",
            "kernel": IsotropicKernel(1.0),
        },
        12,
    ),
}
FIGURES = {
    "mean squared error": 4,
    "of the nearest centre": 4,
    "energy distance": 4,
    "the same, codes from N(0, I)": 4,
    "effective samples of 256": 1,
    "CPU s": 1,
    "steps": 0,
}


def decoder(seeds=SEEDS, budget=None, *, validate=False):
    """Train decoders of Fashion-MNIST; errors, and how far their samples are off."""
    split = fashion()
    if split is None:
        return
    split = split.validation if validate else split
    rows, held_out = (_pixels(images) for images in (split.X, split.X_test))
    pca = PCA(N_DIRECTIONS, random_state=0).fit(rows)
    n_same = N_SAMPLES if len(rows) >= N_SAMPLES else len(rows)
    results = {
        "training images": [
            {"energy distance": _distance(pca, rows[-n_same:], held_out)} for _ in seeds
        ]
    }
    for label, (params, seconds) in MODELS.items():
        make = partial(KernelDecoder, **params)
        seconds = budget or seconds
        n_steps = steps_within(
            lambda n, make=make: make(max_iter=n, random_state=0).fit(rows),
            seconds,
            rounds=5,
        )
        results[label] = [
            _measure(make(max_iter=n_steps, random_state=seed), rows, held_out, pca)
            for seed in seeds
        ]
        print(label, results[label], flush=True)
    results["ratios"] = _ratios(results)
    is_whole = tuple(seeds) == SEEDS and budget is None and not validate
    header = ["model", *FIGURES]
    hand_over("images-decoder", results, header, _rows(results), keep=is_whole)


def _pixels(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _distance(pca, rows, held_out):
    """Return the energy distance along principal components."""
    return energy_distance(pca.transform(rows), pca.transform(held_out))


def _measure(model, rows, held_out, pca):
    """Fit a decoder; return its figures by name."""
    seconds = seconds_of(model.fit, rows)
    rng = np.random.default_rng(model.random_state)
    normal = rng.normal(size=(N_SAMPLES, model.code_dim)).astype(np.float32)
    nearest = model.reconstruct(held_out)
    values = (
        -model.score(held_out),
        float(np.mean((nearest - held_out) ** 2)),
        _distance(pca, model.sample(N_SAMPLES, model.random_state)[0], held_out),
        _distance(pca, _decoded(model, normal, rng), held_out),
        model.effective_samples_,
        seconds,
        model.n_iter_,
    )
    return dict(zip(FIGURES, values, strict=True))


def _decoded(model, codes, rng):
    """Return one of the centres of each code."""
    centers = model.decode(codes).means
    chosen = rng.integers(centers.shape[1], size=len(centers))
    return centers[np.arange(len(centers)), chosen]


def _ratios(results):
    """Return ratios of energy distances, seed by seed."""
    one, several = results["code 2, 1 centre"], results["code 2, 4 centres"]
    name, other = "energy distance", "the same, codes from N(0, I)"
    return {
        "4 centres / 1, code 2": [
            b[name] / a[name] for a, b in zip(one, several, strict=True)
        ],
        "mixture / N(0, I), code 8": [
            run[name] / run[other] for run in results["code 8, 1 centre"]
        ],
    }


def _rows(results):
    """Return the rows of the table; ratios stand below their energy distances."""
    rows = [
        [label, *cells(runs, FIGURES)]
        for label, runs in results.items()
        if label != "ratios"
    ]
    blank = [""] * (len(FIGURES) - 3)
    for label, values in results["ratios"].items():
        rows.append([f"ratio: {label}", "", "", figure(values), *blank])
    return rows

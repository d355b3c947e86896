"""The part `images` of `gpu.py`: embedders of 60 000 images, by loss."""

import time

from benchmarks.images._data import fashion
from benchmarks.images._probes import probe
from benchmarks.images._tables import LOSSES, quiet
from skgmje import GJEEmbedder

BATCH_ROWS, DIMENSIONS = 1024, 128
# The part of an epoch whose steps are timed on the CPU.
CPU_STEPS = 4


def image_rows(n, device, limits, *, epochs):
    """Yield seconds of training, and probes of the hidden layer, by loss."""
    split = fashion(n, 10_000)
    if split is None:
        return
    n_steps = epochs * len(split.X) // BATCH_ROWS
    for label, loss in (LOSSES | {"GJE + SIGReg": "gje+sigreg"}).items():
        model = _embedder(loss, n_steps, device)
        start = time.perf_counter()
        quiet(model.fit, split.X)
        seconds = time.perf_counter() - start
        parts = model.transform(split.X), model.transform(split.X_test)
        host = _cpu_step(loss, split.X) * n_steps
        scores = probe(*parts, split.y, split.y_test)
        words = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
        yield {
            "what": f"{label}, {epochs} epochs: {words}",
            "dtype": "bfloat16 and float32",
            "rows": len(split.X),
            "seconds": seconds,
            "cpu_seconds": host,
            "speed_up": host / seconds,
            **scores,
        }


def _embedder(loss, n_steps, device):
    return GJEEmbedder(
        DIMENSIONS,
        encoder="convnet",
        augmentation="aligned",
        views="neighbors",
        output="hidden",
        loss=loss,
        max_iter=n_steps,
        batch_size=BATCH_ROWS,
        device=device,
        random_state=0,
    )


def _cpu_step(loss, X):
    """Return the seconds of a step on the CPU, by two short fits."""
    seconds = []
    for n_steps in (CPU_STEPS, 2 * CPU_STEPS):
        start = time.perf_counter()
        quiet(_embedder(loss, n_steps, "cpu").fit, X[: 2 * BATCH_ROWS])
        seconds.append(time.perf_counter() - start)
    return max(1e-9, seconds[1] - seconds[0]) / CPU_STEPS

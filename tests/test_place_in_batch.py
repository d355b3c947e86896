"""What a sample is answered depends on the sample alone, not on its place."""

import inspect
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits

from skgmje.compose import TransformedMixture
from skgmje.conditional import (
    ConditionalMixtureDensity,
    MixtureNetwork,
    TrainedModule,
)
from skgmje.embedding import ConvNet, GJEEmbedder, GMJEEmbedder, KernelDecoder
from skgmje.ensemble import StackingConditionalDensity
from skgmje.gaussian import Mixture, Region
from skgmje.mixture import GaussianMixture
from skgmje.modules import MixtureDensityNetwork
from skgmje.outlier import DensityOutlierDetector, conformal_p_values
from skgmje.utils import all_estimators
from tests.sources import targets_of
from tests.test_common import DEFAULTS, FIRST, OTHERS, SMALL_STACK

# Of all samples at once, or of a fit.
NO_ANSWERS = (
    "fit",
    "calibrate",
    "aic",
    "bic",
    "icl",
    "sample",
    "save",
    "set_",
    "partial_",
    "get_",
)
TOL = {np.float64: 1e-12, np.float32: 1e-6}
N_TRAIN = 60
HERE = Path(__file__).parent

NETWORK = MixtureDensityNetwork(3, 1, torch.Generator().manual_seed(0))
# What other settings evaluate on the way to a prediction.
FURTHER = [
    ConditionalMixtureDensity(MixtureNetwork(max_iter=30)),
    ConditionalMixtureDensity(TrainedModule(NETWORK, max_iter=30)),
    GMJEEmbedder(2, mixture=MixtureNetwork(max_iter=5), max_iter=5),
    *(
        StackingConditionalDensity([member], **SMALL_STACK)
        for member in ("gp", "trees", "boosting", "network")
    ),
]
HARD = [
    GaussianMixture(3),
    *(
        StackingConditionalDensity([member], **SMALL_STACK)
        for member in ("gp", "trees", "boosting")
    ),
]
OF_IMAGES = [
    GJEEmbedder(2, encoder=ConvNet(image_shape=(8, 8)), max_iter=5),
    KernelDecoder(n_centers=3, max_iter=20, hidden_layer_sizes=(64,)),
]

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        ":sklearn.exceptions.ConvergenceWarning",
        ":skgmje.embedding.CollapseWarning",
        "cost=.*compares operators:UserWarning",
        "Only .* pairs of a sample:UserWarning",
        ".*of the values of target:UserWarning",
        "StackingDensity. .*columns:UserWarning",
    )
]


def rows_of(n, dtype=np.float64, seed=0):
    """Return samples of three features in two clusters, and targets of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.3] + [0.0, 5.0, -1.0]
    X[: n // 2] += 3.0
    y = np.sin(X[:, 0]) + 0.1 * X[:, 1] ** 2 + 0.1 * rng.normal(size=n)
    return X.astype(dtype), y.astype(dtype)


def methods_of(estimator):
    """Return the names of the methods that answer for each sample."""
    found = []
    for name in dir(type(estimator)):
        silent = name == "score" or name.startswith(("_", *NO_ANSWERS))
        if silent or not hasattr(estimator, name):
            continue
        method = getattr(estimator, name)
        if callable(method):
            first = next(iter(inspect.signature(method).parameters), "")
            if first in ("X", "Z", "y", "codes", "indices"):
                found.append(name)
    return found


def ask(estimator, name, X, y):
    """Return the arrays of an answer, one entry for each sample; None if it has none.

    What takes coordinates or codes gets those of the samples.
    """
    method = getattr(estimator, name)
    parameters = list(inspect.signature(method).parameters)
    options = {"return_std": True, "random_state": 0}
    options = {key: value for key, value in options.items() if key in parameters}
    if name == "condition":
        args = ([0], X[:, :1])
    elif name == "marginal":
        return None
    elif name == "denoise":
        args = (X, np.full(X.shape, 0.1))
    elif name == "transform_target":
        args = (X,)
    elif name in ("inverse_transform", "decode"):
        width = estimator.transform(X[:1]).shape[1]
        args = (np.clip(X[:, np.arange(width) % X.shape[1]], -3, 3),)
    elif parameters[1:2] == ["y"] and name == "log_prob":
        args = (X, y)
    else:
        args = (X,)
    try:
        answer = method(*args, **options)
    except (TypeError, AttributeError) as error:
        # A density that has no closed form says so; all else is a fault.
        if not any(words in str(error) for words in NO_CLOSED_FORM):
            raise
        return None
    except ValueError as error:
        # A sample is outside of the image of a transformer, wherever it stands.
        if "has no density in the columns" not in str(error):
            raise
        return None
    return list(arrays_of(answer, len(X)))


NO_CLOSED_FORM = ("no Gaussian mixture", "no closed form", "not known", "has no")


def arrays_of(answer, n):
    """Yield the arrays of an answer, n entries each."""
    if isinstance(answer, Mixture):
        parts = [answer.mean, answer.covariance, answer.weights, answer.means]
        for part, n_core in zip(parts, (1, 2, 1, 2), strict=True):
            core = part.shape[part.ndim - n_core :]
            yield np.broadcast_to(part, (n, *core))
    elif isinstance(answer, TransformedMixture):
        yield from arrays_of(answer.mixture, n)
        yield np.broadcast_to(answer.mass, n)
    elif isinstance(answer, Region):
        yield np.broadcast_to(answer.log_threshold, n)
    elif isinstance(answer, tuple):
        for part in answer:
            yield from arrays_of(part, n)
    elif isinstance(answer, dict):
        yield from arrays_of(tuple(answer.values()), n)
    elif hasattr(answer, "parts") and not isinstance(answer, np.ndarray):
        return
    else:
        assert len(answer) == n
        yield np.asarray(answer)


def places(n):
    """Yield names, and the lists of samples that are asked together."""
    order = np.random.default_rng(1).permutation(n)
    yield "alone", [np.array([i]) for i in (0, 1, n // 2, n - 1)]
    yield "permuted", [order]
    yield "batches of 7", np.split(order, range(7, n, 7))
    yield "batches of 2", [order[:2], order[3:5]]
    yield "many copies", [np.resize(order, 5 * n + 3)]


def layouts(X):
    """Yield names, and the same samples laid out otherwise in memory."""
    yield "Fortran", np.asfortranarray(X)
    wide = np.zeros((2 * len(X), 2 * X.shape[1]), X.dtype)
    wide[::2, ::2] = X
    yield "strided", wide[::2, ::2]
    yield "backwards", np.ascontiguousarray(X[::-1])[::-1]


def differences(estimator, X, y, tol):
    """Yield words for each answer that depends on the place of a sample."""
    for name in methods_of(estimator):
        whole = ask(estimator, name, X, y)
        if whole is None:
            continue
        cases = [
            (place, rows, ask(estimator, name, X[rows], y[rows]))
            for place, groups in places(len(X))
            for rows in groups
        ]
        every = np.arange(len(X))
        cases += [(way, every, ask(estimator, name, L, y)) for way, L in layouts(X)]
        for place, rows, found in cases:
            for part, expected in zip(found, whole, strict=True):
                wanted = expected[rows].astype(np.float64)
                # What is infinite is the same or not.
                other = np.where(part == expected[rows], wanted, part)
                gap = np.zeros(wanted.shape)
                np.subtract(other, wanted, out=gap, where=other != wanted)
                gap = np.abs(gap)
                worst = np.max(gap / np.maximum(1.0, np.abs(wanted)), initial=0.0)
                single = part.dtype == np.float32
                if not worst <= (TOL[np.float32] if single else tol):
                    yield f"{name} {place}: {worst:.1e}"


def is_conditional(estimator):
    """Tell whether an estimator learns targets of samples."""
    return hasattr(estimator, "log_prob") or is_classifier(estimator)


def check_places(estimator, X, y, X_new):
    """Fit an estimator, and ask it in many ways of samples old and new."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    learned = (X, targets_of(estimator, y)) if is_conditional(estimator) else (X,)
    estimator.fit(*learned)
    asked, tol = np.vstack([X[:9], X_new]), TOL[X.dtype.type]
    targets = np.resize(X[:, 0] if y is None else y, len(asked))
    found = list(differences(estimator, asked, targets, tol))
    assert not found, found


def table(dtype):
    """Return samples to fit, their targets, and others, one of them far away."""
    X, y = rows_of(N_TRAIN, dtype)
    X_new = rows_of(16, dtype, seed=1)[0]
    X_new[-1] += 30
    return X, y, X_new


def hard_table():
    """Return nearly collinear samples far from zero, whose targets have no noise."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 8))
    X += 1e-2 * rng.normal(size=X.shape) + 100
    X_new = X[20:32] + 1e-2 * rng.normal(size=(12, 8))
    return X, np.sin(2 * X[:, 0]) + 0.3 * X[:, 1], X_new


@pytest.mark.parametrize("estimator", FIRST + FURTHER, ids=repr)
def test_the_place_of_a_sample_does_not_matter(estimator):
    check_places(estimator, *table(np.float64))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", OTHERS + DEFAULTS, ids=repr)
def test_the_place_of_a_sample_does_not_matter_in_other_settings(estimator):
    check_places(estimator, *table(np.float64))


@pytest.mark.parametrize("estimator", FIRST, ids=repr)
def test_the_place_of_a_sample_does_not_matter_in_single_precision(estimator):
    check_places(estimator, *table(np.float32))


@pytest.mark.parametrize("estimator", HARD, ids=repr)
def test_rounding_does_not_grow_where_samples_are_nearly_collinear(estimator):
    check_places(estimator, *hard_table())


@pytest.mark.parametrize("dtype", TOL)
@pytest.mark.parametrize("estimator", OF_IMAGES, ids=repr)
def test_the_place_of_an_image_does_not_matter(estimator, dtype):
    X = load_digits().data[:120].astype(dtype)
    check_places(estimator, X[:100], None, X[100:])


def test_outliers_at_the_threshold_are_told_alike():
    X = hard_table()[0]
    detector = DensityOutlierDetector(random_state=0).fit(X)
    alone = [detector.predict(X[i : i + 1])[0] for i in range(len(X))]
    assert list(detector.predict(np.asfortranarray(X))) == alone
    known = conformal_p_values(detector, X, X)
    lone = [conformal_p_values(detector, X, X[i : i + 1])[0] for i in range(len(X))]
    assert list(known) == lone


def test_every_public_estimator_is_asked():
    asked = {type(estimator) for estimator in FIRST}
    assert asked == {cls for _, cls in all_estimators()}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="no AVX")
def test_nothing_depends_on_wide_instructions():
    found = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    disabled = [name for name in found if name[:6] in ("AVX512", "X86_V4")]
    settings = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(disabled),
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }
    # Of the slow settings, those of covariances, each of which has loops of its own.
    chosen = "(place_of or rounding or alike) and not settings"
    chosen = f"{chosen} or place_of and GaussianMixture and type"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-k", chosen, __file__]
    done = subprocess.run(
        command,
        env=os.environ | settings,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "passed" in done.stdout

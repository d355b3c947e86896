"""What a sample is answered depends on the sample alone, not on its place."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from test_common import ESTIMATORS, FIRST, OTHERS

from skgmje.embedding import GJEEmbedder, KernelDecoder
from skgmje.ensemble import StackingConditionalDensity
from skgmje.gaussian import Mixture
from skgmje.mixture import ConditionalMixtureDensity
from skgmje.modules import MixtureDensityNetwork
from skgmje.outlier import DensityOutlierDetector
from skgmje.utils import all_estimators

# Of all samples at once, or of a fit.
NO_ANSWERS = ("fit", "aic", "bic", "score", "sample", "save", "set_", "partial_", "get_")
TOL = {np.float64: 1e-12, np.float32: 1e-6}
N_TRAIN = 60

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        ":sklearn.exceptions.ConvergenceWarning",
        ":skgmje.embedding.CollapseWarning",
        "cost=.*compares operators:UserWarning",
        "Only .* pairs of a row:UserWarning",
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
        if name.startswith(("_", *NO_ANSWERS)) or not hasattr(estimator, name):
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
    options = {"return_std": True} if "return_std" in parameters else {}
    if name == "condition":
        args = ([0], X[:, :1])
    elif name == "marginal":
        return None
    elif name == "transform_target":
        args = (X,)
    elif name in ("inverse_transform", "decode"):
        width = estimator.transform(X[:1]).shape[1]
        args = (X[:, np.arange(width) % X.shape[1]],)
    elif parameters[1:2] == ["y"] and name == "log_prob":
        args = (X, y)
    else:
        args = (X,)
    try:
        answer = method(*args, **options)
    except (TypeError, AttributeError) as error:
        # A density that has no closed form says so; all else is a fault.
        assert any(words in str(error) for words in NO_CLOSED_FORM), error
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
                gap = np.abs(part.astype(np.float64) - wanted)
                gap[part == expected[rows]] = 0.0
                if part.dtype == np.float32:
                    tol = max(tol, TOL[np.float32])
                worst = np.max(gap / np.maximum(1.0, np.abs(wanted)), initial=0.0)
                if not worst <= tol:
                    yield f"{name} {place}: {worst:.1e}"


def check_places(estimator, dtype, *, images=False):
    """Fit an estimator and ask it in many ways."""
    if images:
        X = load_digits().data[:200].astype(dtype)
        y, X_new = X[:, 0], X[100:141] + dtype(0.5)
        y_new = y[:41]
        estimator = clone(estimator).fit(X)
    else:
        X, y = rows_of(N_TRAIN, dtype)
        X_new, y_new = rows_of(31, dtype, seed=1)
        # Samples that were learned from, and one that is far from all.
        X_new, y_new = np.vstack([X[:9], X_new]), np.append(y[:9], y_new)
        X_new[-1] += 30
        estimator = clone(estimator)
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=0)
        estimator.fit(X, y) if hasattr(estimator, "predict_mixture") and not hasattr(
            estimator, "transform"
        ) else estimator.fit(X)
    found = list(differences(estimator, X_new, y_new, TOL[dtype]))
    assert not found, found

"""What a process has set for all of its code changes no number of the library's."""

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone

import skgmje
from skgmje import costs
from skgmje.conditional import ConditionalMixtureDensity
from skgmje.costs import COSTS
from skgmje.embedding import Encoder, GJEEmbedder, GMJEEmbedder, KernelDecoder
from skgmje.gaussian import grams
from skgmje.mixture import GaussianMixture, KernelMixtureDensity
from tests.sources import targets_of
from tests.test_common import FIRST, NOISE
from tests.test_place_in_batch import FURTHER, ask, methods_of, rows_of

pytestmark = IGNORED = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        ":sklearn.exceptions.ConvergenceWarning",
        ":skgmje.embedding.CollapseWarning",
        "cost=.*compares operators:UserWarning",
        "Only .* pairs of a sample:UserWarning",
        "n_samples=.* are few for n_features:UserWarning",
        ".*of the values of target:UserWarning",
        "StackingDensity. .*columns:UserWarning",
    )
]


@contextmanager
def default_dtype(dtype=torch.float64):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def configured(**params):
    return lambda: sklearn.config_context(**params)


SETTINGS = {
    "default_dtype": default_dtype,
    # Where there is no second device: tensors there have no values.
    "default_device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "errstate": lambda: np.errstate(all="raise"),
    "polars": configured(transform_output="polars"),
    "pandas": configured(transform_output="pandas"),
    "assume_finite": configured(assume_finite=True),
    "routing": configured(enable_metadata_routing=True),
    "array_api_dispatch": configured(array_api_dispatch=True),
}


@contextmanager
def everything():
    """Set all that can be set at once; tables can be of one library only."""
    with ExitStack() as stack:
        for setting in SETTINGS.values():
            stack.enter_context(setting())
        yield


X, Y = rows_of(60)
NETWORKS = [
    KernelMixtureDensity(**NOISE),
    GJEEmbedder(
        2,
        max_iter=5,
        views="neighbors",
        encoder=Encoder(norm="batch"),
        output=["embedding", "input"],
    ),
    GMJEEmbedder(2, max_iter=5, loss="joint", mixture=GaussianMixture(2, shrinkage=2)),
    *FURTHER,
]
# The others take longer: stacks of experts, in which networks are trained too.
QUICK = [*FIRST, *(e for e in NETWORKS if not isinstance(e, type(FURTHER[-1])))]


TRAINED = (ConditionalMixtureDensity, GMJEEmbedder, KernelDecoder, KernelMixtureDensity)


def name_of(estimator):
    return type(estimator).__name__


def first_of(kind):
    return next(estimator for estimator in FIRST if type(estimator) is kind)


def fitted(estimator, X=X, y=None, **params):
    """Return a copy that is fitted, with a seed where it takes one."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator.fit(X, targets_of(estimator, Y) if y is None else y, **params)


def answers(estimator):
    """Return what a fitted estimator answers, as bytes by method."""
    found = {name: ask(estimator, name, X, Y) for name in methods_of(estimator)}
    draw = getattr(estimator, "sample", None)
    if draw is not None:
        args = (X, 3) if "X" in inspect.signature(draw).parameters else (3,)
        found["sample"] = draw(*args, random_state=0)
    return {
        name: [np.ascontiguousarray(part).tobytes() for part in parts]
        for name, parts in found.items()
        if parts is not None
    }


def check(estimator, settings):
    """Fit and ask with and without settings: all answers are the same."""
    plain = fitted(estimator)
    expected = answers(plain)
    assert expected
    for setting in settings:
        with setting():
            other = fitted(estimator)
            assert answers(other) == expected
            assert answers(plain) == expected
        assert answers(other) == expected


@pytest.mark.parametrize("estimator", QUICK, ids=name_of)
def test_settings_change_no_answer(estimator):
    check(estimator, [everything])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [*map(first_of, TRAINED)], ids=name_of)
def test_each_setting_changes_no_answer(estimator):
    check(estimator, SETTINGS.values())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", NETWORKS, ids=name_of)
def test_settings_change_no_answer_of_other_parameters(estimator):
    check(estimator, [everything])


def test_settings_are_as_they_were():
    with everything():
        before = settings()
        fitted(first_of(ConditionalMixtureDensity)).predict(X)
        assert settings() == before


def settings():
    """Return what is set."""
    return (
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        np.geterr(),
        sklearn.get_config(),
    )


def test_other_threads_see_their_own_settings():
    """Fits change nothing for code that runs beside them."""
    seen = set()
    fits = [GJEEmbedder(2, max_iter=20), first_of(ConditionalMixtureDensity)]
    with ThreadPoolExecutor(2) as pool, torch.no_grad(), default_dtype():
        work = [pool.submit(fitted, estimator) for estimator in fits]
        while not all(task.done() for task in work):
            seen.add((torch.get_default_dtype(), torch.is_grad_enabled()))
        for task in work:
            task.result()
    assert seen == {(torch.float64, False)}


@pytest.mark.parametrize("kind", [GJEEmbedder, KernelDecoder])
def test_files_are_read_in_any_settings(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    saved = kind(max_iter=5, random_state=0).fit(X)
    saved.save(path)
    expected = answers(saved)
    with everything():
        loaded = skgmje.load(path)
        assert answers(loaded) == expected


def test_gradients_after_a_fit_without_them():
    with torch.no_grad():
        embedder = GJEEmbedder(2, max_iter=5, random_state=0).fit(X)
    rows = torch.tensor(X, requires_grad=True)
    embedder.encoder_.double()(rows).sum().backward()
    assert bool((rows.grad != 0).any())


@pytest.mark.parametrize("name", [*COSTS, "logdet"])
def test_what_underflows_in_a_cost_is_no_error(name):
    cost = getattr(costs, f"{name.replace('-', '_')}_cost")
    pairs = grams(100 * X, 100 * X[:5], 14.7)
    expected = cost(pairs)
    with np.errstate(all="raise"):
        assert cost(pairs) == expected


ORDERS = "torch skgmje", "skgmje sklearn torch"
ANSWER = """
import hashlib, numpy as np
from skgmje import GaussianMixture, GMJEEmbedder
X = np.random.default_rng(0).normal(size=(60, 3))
mixture = GaussianMixture(2)
z = GMJEEmbedder(2, max_iter=5, mixture=mixture, random_state=0).fit_transform(X)
print(hashlib.sha256(z.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_order_of_imports_changes_no_answer():
    found = set()
    for names in ORDERS:
        code = "".join(f"import {name}\n" for name in names.split()) + ANSWER
        command = [sys.executable, "-W", "ignore", "-c", code]
        found.add(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(found) == 1

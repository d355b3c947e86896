"""What would make answers meaningless is said: in words, before work, and once."""

import inspect
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.utils import get_tags

from skgmje import GaussianMixture, modules
from skgmje.ensemble import StackingConditionalDensity, StackingDensity
from skgmje.mixture import GrowingNeuralGasMixture, KernelMixtureDensity
from skgmje.modules import CodeGenerator, MixtureDensityNetwork, NoiseGenerator
from tests.sources import targets_of
from tests.test_common import SMALL_STACK
from tests.test_place_in_batch import (
    FIRST,
    FURTHER,
    is_conditional,
    pytestmark,
    rows_of,
)

__all__ = ["pytestmark"]

X, Y = rows_of(60)
RNG = np.random.default_rng(0)
BINARY = (RNG.normal(size=(200, 3)) > 0).astype(float)
# More than any mixture of few components can tell apart, with an atom at zero.
INFLATED = np.where(RNG.uniform(size=(200, 2)) < [0.5, 0], 0, RNG.exponential(size=2))
INFLATED = INFLATED * RNG.exponential(size=(200, 2))

# Hidden layers ------------------------------------------------------------

BAD_LAYERS = [(0,), (16.0,), (-3,), (8, "a"), [[8]], (True,), {8}, "many", 16, None]
LAYERED = [e for e in FIRST + FURTHER if "hidden_layer_sizes" in e.get_params()]


def fit(estimator, *args, **params):
    """Fit a clone to samples, and to targets if it learns some."""
    X_, *y = args or ((X, Y) if is_conditional(estimator) else (X,))
    y = [targets_of(estimator, part) for part in y]
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator.fit(X_, *y, **params)


@pytest.mark.parametrize("sizes", BAD_LAYERS, ids=repr)
@pytest.mark.parametrize("estimator", LAYERED, ids=lambda e: type(e).__name__)
def test_layers_that_cannot_be_are_named_before_work(estimator, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        fit(clone(estimator).set_params(hidden_layer_sizes=sizes))


@pytest.mark.parametrize("sizes", BAD_LAYERS, ids=repr)
@pytest.mark.parametrize(
    ("module", "args"),
    [
        (MixtureDensityNetwork, (2, 1)),
        (CodeGenerator, (3, 2, 1.0)),
        (NoiseGenerator, (3, 2, 1.0)),
    ],
)
def test_modules_name_layers_that_cannot_be(module, args, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        module(*args, torch.Generator(), hidden_layer_sizes=sizes)


def test_every_module_with_layers_is_asked():
    classes = [getattr(modules, name) for name in modules.__all__]
    layered = {
        c
        for c in classes
        if inspect.isclass(c)
        and "hidden_layer_sizes" in inspect.signature(c).parameters
    }
    assert layered == {MixtureDensityNetwork, CodeGenerator, NoiseGenerator}


# Masked arrays ------------------------------------------------------------


def masked(array, at):
    """Return an array of which one entry is masked, with a wild value beneath."""
    raw = np.array(array, float)
    raw[at] = 1e6
    return np.ma.masked_array(raw, mask=raw > 1e5)


@pytest.mark.parametrize("estimator", FIRST, ids=lambda e: type(e).__name__)
def test_what_is_masked_is_missing(estimator):
    with nullcontext() if takes_nan(estimator) else refused():
        rows = masked(X, (3, 1))
        targets = (Y,) if is_conditional(estimator) else ()
        fitted = fit(estimator, rows, *targets)
        same = fit(estimator, rows.filled(np.nan), *targets)
        answer = "predict" if hasattr(fitted, "predict") else "transform"
        filled = rows.filled(np.nan)
        answers = (getattr(each, answer)(filled) for each in (fitted, same))
        np.testing.assert_array_equal(*answers)
    # A label that is missing is none.
    if is_conditional(estimator) and not is_classifier(estimator):
        with pytest.raises(ValueError, match="y contains NaN"):
            fit(estimator, X, masked(Y, 4))
    if "sample_weight" in inspect.signature(estimator.fit).parameters:
        with pytest.raises(ValueError, match="sample_weight contains NaN"):
            fit(estimator, sample_weight=masked(np.ones(60), 5))


def takes_nan(estimator):
    """Tell whether an estimator takes missing samples."""
    return get_tags(estimator).input_tags.allow_nan


def refused():
    """Return a context that expects missing entries to be refused."""
    return pytest.raises(ValueError, match="NaN")


# Ties ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("estimator", "rows"),
    [
        (KernelMixtureDensity(8, max_iter=10, refine="em", random_state=0), BINARY),
        (KernelMixtureDensity(8, max_iter=10, refine="em", random_state=0), INFLATED),
        (GrowingNeuralGasMixture(10, random_state=0), INFLATED),
        (GrowingNeuralGasMixture(10, random_state=0), BINARY),
        (StackingDensity(spaces=("identity",), random_state=0), BINARY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_densities_that_narrow_to_ties_say_so_once(estimator, rows):
    with pytest.warns(UserWarning, match="columns 0 .*repeat others") as caught:
        clone(estimator).fit(rows)
    assert sum("repeat" in str(w.message) for w in caught) == 1


def test_several_tied_targets_are_said_once():
    targets = np.c_[Y.round(), Y, Y.round(1)]
    density = StackingConditionalDensity(["gp"], **SMALL_STACK)
    with pytest.warns(UserWarning, match=r"target 0 .*, 2 .*repeat others") as caught:
        density.fit(X, targets)
    assert sum("repeat" in str(w.message) for w in caught) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ties_that_are_wider_than_their_gaps_are_no_trouble():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*converge")
        for estimator in (KernelMixtureDensity(2, max_iter=10), GaussianMixture(2)):
            estimator.set_params(random_state=0).fit(X.round(1))

"""Tensors are taken wherever arrays are: with gradients, of half precision, from afar.

What a library function returns for them is what it returns for the same numbers in
single or double precision.
"""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import is_regressor
from sklearn.utils.validation import has_fit_parameter

from skgmje.conditional import ConditionalMixtureDensity
from skgmje.costs import COSTS
from skgmje.embedding import GJEEmbedder
from skgmje.gaussian import grams
from skgmje.metrics import crps, mean_log_likelihood, rmse
from skgmje.mixture import GaussianMixture
from tests.sources import targets_of
from tests.test_common import FIRST
from tests.test_integer_inputs import CALLS, VALUES, Given, flat, listed
from tests.test_place_in_batch import methods_of, rows_of
from tests.test_process_settings import IGNORED, fitted, name_of

pytestmark = [
    *IGNORED,
    pytest.mark.filterwarnings("ignore:.*many of the values of columns:UserWarning"),
]


class Afar(torch.Tensor):
    """A tensor as on another device: NumPy gets nothing of it before ``cpu``."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def numpy(self, *args, **kwargs):
        raise TypeError("This tensor is on another device.")

    __array__ = numpy


def _of(dtype, **options):
    return lambda X: torch.tensor(np.asarray(X), dtype=dtype).requires_grad_(**options)


def _graph(X):
    """Return the numbers as what has been computed with a gradient."""
    return 1 * _of(torch.float64)(X)


# How tensors are given, and the data type of the same numbers in an array.
KINDS = {
    "float16": (_of(torch.float16, requires_grad=False), np.float32),
    "bfloat16": (_of(torch.bfloat16, requires_grad=False), np.float32),
    "bfloat16 with a gradient": (_of(torch.bfloat16), np.float32),
    "with a gradient": (_of(torch.float64), np.float64),
    "computed": (_graph, np.float64),
    "afar": (lambda X: _graph(X).as_subclass(Afar), np.float64),
}
# Whole numbers up to 200 are exact in all of them.
PLAIN = _of(torch.float64, requires_grad=False)


# This one makes an array of its weights itself.
MAKES_ARRAYS = "neural_gas.gas_errors-1"
EVERY_CALL = [p for p in [*listed(CALLS), *listed(VALUES)] if p.id != MAKES_ARRAYS]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("call", EVERY_CALL)
def test_functions(call):
    try:
        expected = [*flat(call(Given(PLAIN, binary=False)))]
    except (TypeError, ValueError):
        return  # tensors are refused
    for kind, (convert, dtype) in KINDS.items():
        if kind == "afar":
            continue
        actual = [*flat(call(Given(convert, binary=False)))]
        # Estimators keep single precision.
        tol = 1e-9 if dtype == np.float64 else 1e-6
        for pair in zip(actual, expected, strict=True):
            one, other = (part.astype(float) for part in pair)
            assert_allclose(one, other, tol, tol, err_msg=kind)


X, Y = rows_of(60)
X, Y = X.round(), Y.round(1)


def told(estimator, convert):
    """Fit to what `convert` makes of the samples; return what the estimator says."""
    rows, targets = convert(X), convert(targets_of(estimator, Y))
    params = {"sample_weight": convert(np.arange(len(X)) % 3 + 1.0)}
    takes = has_fit_parameter(estimator, "sample_weight")
    fit = fitted(estimator, rows, targets, **params if takes else {})
    found = {}
    for name in methods_of(fit):
        if name in ("predict_mixture", "condition", "marginal", "decode", "impute"):
            continue
        if name == "denoise":
            # tests/mixture/test_noise.py has tensors of noise.
            continue
        args = (rows,)
        if name == "inverse_transform":
            args = (convert(np.zeros((4, fit.transform(X[:2]).shape[1]))),)
        elif name == "log_prob" and is_regressor(fit):
            args = rows, targets
        found[name] = [*flat(getattr(fit, name)(*args))]
    return found


def check(estimator, kinds):
    """Fit and ask with tensors and with arrays of the same numbers."""
    known = {}
    for kind in kinds:
        convert, dtype = KINDS[kind]

        def as_array(values, convert=convert, dtype=dtype):
            return to_array(convert(values)).astype(dtype)

        numbers = as_array(X).tobytes() + as_array(Y).tobytes()
        if numbers not in known:
            known[numbers] = told(estimator, as_array)
        expected, actual = known[numbers], told(estimator, convert)
        assert expected.keys() == actual.keys()
        for name, values in expected.items():
            for one, other in zip(values, actual[name], strict=True):
                assert one.tobytes() == other.tobytes(), (kind, name)


HARDEST = "bfloat16 with a gradient", "afar"


@pytest.mark.parametrize("estimator", FIRST, ids=name_of)
def test_estimators(estimator):
    check(estimator, HARDEST)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", FIRST, ids=name_of)
def test_estimators_with_other_tensors(estimator):
    check(estimator, set(KINDS) - set(HARDEST))


def as_rows(X):
    """Return samples as a list of tensors with gradients."""
    return [*_graph(X)]


@pytest.mark.parametrize("convert", [*(pair[0] for pair in KINDS.values()), as_rows])
def test_parameters_of_a_start(convert):
    given = np.eye(2) * 4
    params = {"means_init": X[:2, :2], "weights_init": [0.25, 0.75]}
    params["precisions_init"] = np.stack([given, given])
    expected, actual = (
        GaussianMixture(2, **{k: make(v) for k, v in params.items()}).fit(X[:, :2])
        for make in (np.asarray, convert)
    )
    assert_allclose(actual.means_, expected.means_)
    parts = [0.5, 0.5], given, [given] * 2
    one = GaussianMixture.from_parameters(*map(convert, parts))
    assert_allclose(one.covariances_, [given] * 2)
    assert one.means_.dtype == np.float64


def test_pair_of_a_low_rank_type():
    factors, diagonal = np.ones((1, 2, 1)), np.ones((1, 2))
    parts = [1.0], np.zeros((1, 2)), (factors, diagonal)
    given = [1.0], _graph(parts[1]), (_graph(factors), _graph(diagonal))
    make = partial(GaussianMixture.from_parameters, covariance_type="low-rank")
    one, other = (make(*p).score_samples(X[:, :2]) for p in (parts, given))
    assert_allclose(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_second_view(kind):
    convert, dtype = KINDS[kind]
    make = partial(GJEEmbedder, 2, max_iter=5, views="pair", random_state=0)
    targets = X[:, ::-1].copy()
    expected = make().fit(X, targets.astype(dtype)).transform(X)
    embedder = make().fit(X, convert(targets))
    assert embedder.transform(X).tobytes() == expected.tobytes()
    assert np.isfinite(embedder.score(X, convert(targets)))


def test_weights_of_a_cost_that_compares_arrays():
    pairs, weights = grams(X, X[:3], 2.0), np.array([0.25, 0.25, 0.5])
    for name, cost in COSTS.items():
        for convert, _ in KINDS.values():
            value = cost(pairs, convert(weights))
            assert_allclose(value, cost(pairs, weights), err_msg=name)


def test_displays_and_metrics_take_targets():
    model = ConditionalMixtureDensity(GaussianMixture(2), random_state=0)
    distribution = model.fit(X, Y).predict_mixture(X)
    for convert, dtype in KINDS.values():
        targets = convert(Y)
        rounded = to_array(targets).astype(dtype)
        for metric in (crps, mean_log_likelihood, rmse):
            expected = metric(rounded, distribution)
            assert_allclose(metric(targets, distribution), expected)


def to_array(tensor):
    """Return the numbers of a tensor of any kind, in double precision."""
    return tensor.detach().cpu().double().numpy()

"""Whole numbers, truth values and lists give what the same floats give.

Every public function is called by `CALLS`, or has no arrays: a new one must be
entered in one of the two. What a library cannot read it refuses.
"""

from functools import cache, partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import is_regressor
from sklearn.datasets import load_digits

from skgmje import costs, embedding, metrics, modules, neural_gas, particles
from skgmje import em as em_steps
from skgmje.conditional import ConditionalMixtureDensity
from skgmje.costs import COSTS, approximate_identity
from skgmje.datasets import ALIGNMENT_TASKS
from skgmje.embedding import LOSSES, ImageAugmentation
from skgmje.ensemble import StackingDensity
from skgmje.gaussian import Bandwidths, Grams, Mixture, Region, gaussian_log_gram, grams
from skgmje.impute import pool_estimates
from skgmje.inspection import DensityDisplay, GraphDisplay, MixtureDisplay
from skgmje.mixture import GasGrowth, GaussianMixture, GrowingNeuralGasMixture
from skgmje.neural_gas import GasState
from skgmje.outlier import DensityOutlierDetector, conformal_p_values
from skgmje.particles import BankState
from skgmje.utils import all_functions


def _numpy(dtype):
    return lambda X: np.asarray(X).astype(dtype)


def _torch(dtype):
    return lambda X: torch.asarray(X).to(dtype)


# How numbers are given, and how the same numbers are given as floats.
KINDS = {
    **{
        name: (_numpy(name), _numpy("float64"))
        for name in ("int64", "int32", "uint8", "bool", "float16", ">f8")
    },
    "list": (lambda X: np.asarray(X).astype(int).tolist(), _numpy("float64")),
    **{
        f"torch.{name}": (_torch(getattr(torch, name)), _torch(torch.float64))
        for name in ("int64", "int32", "uint8", "bool")
    },
}


@cache
def numbers(binary, n, d, seed):
    """Return whole numbers, in which bytes would wrap around."""
    rng = np.random.default_rng(seed)
    if binary:
        X = rng.integers(2, size=(n, d))
        return np.r_[np.eye(d), 1 - np.eye(d), X][:n]
    return rng.integers(21, size=(n, d)) * np.array([1, 10, 1])[:d]


class Given:
    """Tables of whole numbers, as one kind of array."""

    def __init__(self, convert, binary):
        self.convert, self.binary = convert, binary

    def rows(self, n=24, d=2, seed=0):
        return self.convert(numbers(self.binary, n, d, seed))

    def weights(self, n):
        counts = np.arange(n) % 4 + 1
        return self.convert(np.minimum(counts, 1) if self.binary else counts)

    def grams(self, n=24, **params):
        centers = self.rows(5, seed=1)
        return grams(self.rows(n), centers, 1.7 if self.binary else 14.7, **params)

    def gas(self):
        gas = neural_gas.adapt_gas(
            neural_gas.start_gas(self.rows()), self.rows(), insertion_interval=4
        )
        return gas

    def own_gas(self):
        """Return a gas whose nodes, errors and utilities are whole numbers."""
        like = self.rows(4)
        long = partial(np.asarray, dtype=np.int64)
        if isinstance(like, torch.Tensor):
            long = partial(torch.asarray, dtype=torch.int64)
        errors = self.weights(4)
        parts = long([0, 0, 0, 0]), long([0, 1, 2, 3]), long([[0, 1], [2, 3]])
        return GasState(like, errors, errors, *parts, long([0, 0]), 4, 4)

    def views(self):
        return self.rows(), self.rows(seed=2)

    def bank(self):
        rows = self.rows(6)
        ages = np.zeros(6, np.int64)
        return BankState(rows, _like(np.full(6, 1 / 6), rows), _like(ages, rows))


def _like(array, rows):
    return torch.asarray(array) if isinstance(rows, torch.Tensor) else array


@cache
def mixture(torch_too=False):
    parts = [0.3, 0.7], [[1.0, 2.0], [9.0, 60.0]], [[[40.0, 9], [9, 900]]] * 2
    convert = torch.tensor if torch_too else np.asarray
    return Mixture(*(convert(part) for part in parts))


def fitting_mixture(g):
    return mixture(isinstance(g.rows(), torch.Tensor))


def one_of(values, index=0):
    return Mixture([1.0], np.zeros((1, values)), [[4.0] * values], "diag")


@cache
def detector():
    X = numbers(False, 24, 2, 0).astype(float)
    return DensityOutlierDetector(mixture_of_rows(), random_state=0).fit(X)


def mixture_of_rows():
    return GaussianMixture(2, random_state=0)


def em(g, **params):
    start = one_of(2)
    return em_steps.expectation_maximization(g.rows(), start, max_iter=2, **params)


def stack(g):
    density = StackingDensity(
        estimators=[("one", mixture_of_rows())], spaces=("identity",), random_state=0
    )
    return density.fit(g.rows()).score_samples(g.rows())


# A function of a `Given` for each public function; some have several.
CALLS = {
    "skgmje.neural_gas.adapt_gas": [
        lambda g: g.gas(),
        lambda g: neural_gas.adapt_gas(g.own_gas(), g.rows(), mode="sequential"),
    ],
    "skgmje.particles.bank_mixture": lambda g: particles.bank_mixture(g.bank(), 1.5),
    "skgmje.em.block_stats": lambda g: em_steps.block_stats(
        mixture(), g.rows(), center=[1, 2], sample_weight=g.weights(24)
    ),
    "skgmje.embedding.sigreg_term": lambda g: embedding.sigreg_term(g.rows()),
    "skgmje.particles.effective_sample_size": lambda g: particles.effective_sample_size(
        g.weights(7)
    ),
    "skgmje.em.expectation_maximization": [
        em,
        lambda g: em(g, sample_weight=g.weights(24)),
    ],
    "skgmje.neural_gas.gas_components": lambda g: neural_gas.gas_components(
        g.own_gas()
    ),
    "skgmje.neural_gas.gas_errors": [
        lambda g: neural_gas.gas_errors(g.own_gas(), g.rows()),
        lambda g: neural_gas.gas_errors(
            g.gas(), g.rows(), sample_weight=np.asarray(g.weights(24))
        ),
    ],
    "skgmje.neural_gas.gas_labels": lambda g: neural_gas.gas_labels(
        g.own_gas(), g.rows(), sample_weight=g.weights(24)
    ),
    "skgmje.neural_gas.gas_mixture": lambda g: neural_gas.gas_mixture(
        g.own_gas(), g.rows(), "diag", sample_weight=g.weights(24)
    ),
    "skgmje.em.kernel_bandwidth": lambda g: em_steps.kernel_bandwidth(
        g.rows(), g.rows(6, seed=1), g.weights(6)
    ),
    "skgmje.em.merge_stats": lambda g: em_steps.merge_stats(
        mixture(),
        *[
            em_steps.block_stats(mixture(), g.rows(seed=i), center=np.zeros(2))
            for i in range(2)
        ],
    ),
    "skgmje.neural_gas.nearest_nodes": lambda g: neural_gas.nearest_nodes(
        g.rows(5, seed=1), g.rows()
    ),
    "skgmje.em.multiscale_bandwidths": lambda g: (
        (
            em_steps.multiscale_bandwidths(g.rows(), g.rows(5, seed=1), g.weights(24))
        ).values
    ),
    "skgmje.neural_gas.refine_gas": lambda g: neural_gas.refine_gas(
        g.own_gas(), g.rows(), sample_weight=g.weights(24)
    ),
    "skgmje.em.score_block": lambda g: em_steps.score_block(
        mixture(), g.rows(), g.weights(24)
    ),
    "skgmje.particles.start_bank": lambda g: particles.start_bank(g.rows()),
    "skgmje.neural_gas.start_gas": lambda g: neural_gas.start_gas(g.rows()),
    "skgmje.em.start_mixture": lambda g: em_steps.start_mixture(
        g.rows(), np.arange(24) % 2, sample_weight=g.weights(24)
    ),
    "skgmje.particles.step_bank": [
        lambda g: particles.step_bank(g.bank(), g.rows(), 1.5, random_state=0),
        lambda g: particles.step_bank(
            g.bank(), g.rows(), 1.5, ess_threshold=2.0, random_state=0
        ),
    ],
    "skgmje.em.weights_only": lambda g: em_steps.weights_only(
        g.rows(), g.rows(3, seed=1), sample_weight=g.weights(24)
    ),
    "skgmje.particles.systematic_resampling": lambda g: particles.systematic_resampling(
        g.weights(9), 20, random_state=0
    ),
    "skgmje.costs.approximate_identity": [
        (
            lambda g, method=method: approximate_identity(
                g.rows(12), g.rows(4), 1.7, method, weights=g.weights(4)
            )
        )
        for method in COSTS
    ],
    "skgmje.costs.compress": lambda g: costs.compress(
        g.rows(), 3, bandwidth=1.7, sample_weight=g.weights(24), random_state=0
    ),
    "skgmje.embedding.joint_loss": lambda g: embedding.joint_loss(
        *(view[:, :1] for view in map(_array, g.views())), fitting_mixture(g)
    ),
    "skgmje.embedding.logdet_term": [
        lambda g: embedding.logdet_term(g.rows()),
        lambda g: embedding.logdet_term(g.rows(), 1.0, g.convert(np.eye(2))),
    ],
    "skgmje.embedding.mahalanobis_term": [
        lambda g: embedding.mahalanobis_term(g.rows()),
        lambda g: embedding.mahalanobis_term(g.rows(), 1.0, g.convert(np.eye(2))),
    ],
    "skgmje.gaussian.gaussian_log_gram": [
        lambda g: gaussian_log_gram(g.rows(), g.rows(5, seed=1), 1.7),
        lambda g: gaussian_log_gram(g.rows(), g.rows(), g.convert(1), [[0], [1]]),
    ],
    "skgmje.gaussian.grams": [
        lambda g: all_logs(g.grams()),
        lambda g: all_logs(g.grams(log_data_weights=g.weights(24))),
        lambda g: all_logs(g.grams(blocks=[[0], [1]])),
        lambda g: all_logs(grams(g.rows(), g.rows(3), g.convert(1))),
        lambda g: all_logs(
            grams(g.rows(), g.rows(3), Bandwidths(g.convert([1, 1]), g.convert([1, 1])))
        ),
    ],
    "skgmje.impute.pool_estimates": lambda g: pool_estimates(
        g.rows(), g.convert([[1, 1]] * 24)
    ),
    "skgmje.metrics.bootstrap_mixture": lambda g: metrics.bootstrap_mixture(
        mixture_of_rows().fit(g.rows()), g.rows(), n_resamples=3, random_state=0
    ),
    "skgmje.metrics.likelihood_ratio_test": lambda g: metrics.likelihood_ratio_test(
        mixture_of_rows(), g.rows(), n_resamples=3, random_state=0
    ),
    "skgmje.metrics.conditional_surprise": lambda g: metrics.conditional_surprise(
        mixture(), g.rows()
    ),
    "skgmje.metrics.feature_surprise": lambda g: metrics.feature_surprise(
        mixture(), g.rows()
    ),
    "skgmje.metrics.two_sample_test": lambda g: metrics.two_sample_test(
        g.rows(), g.rows(seed=1), n_permutations=9, random_state=0
    ),
    "skgmje.outlier.conformal_p_values": lambda g: conformal_p_values(
        detector(), g.rows(), g.rows(seed=1)
    ),
    **{
        f"skgmje.costs.{name}": (
            lambda g, name=name: getattr(costs, name)(g.grams(12), g.weights(5))
        )
        for name in costs.__all__
        if name.endswith("_cost") or name == "pair_ess"
    },
    **{
        f"skgmje.costs.{name}": lambda g, name=name: getattr(costs, name)(g.grams(12))
        for name in (
            "effective_rank",
            "optimal_weights",
            "principal_cosines",
        )
    },
    **{
        f"skgmje.embedding.{name}": (
            lambda g, name=name: getattr(embedding, name)(*g.views())
        )
        for name in (
            "barlow_loss",
            "gaussian_mutual_information",
            "gje_loss",
            "gje_sigreg_loss",
            "infonce_loss",
            "naive_loss",
            "pmi_loss",
            "sigreg_loss",
            "vicreg_loss",
        )
    },
    **{
        f"skgmje.metrics.{name}": (
            lambda g, name=name: getattr(metrics, name)(g.rows(), mixture())
        )
        for name in ("crps_samples", "probability_integral_transform")
    },
    "skgmje.metrics.energy_score_samples": lambda g: metrics.energy_score_samples(
        g.rows(), mixture(), random_state=0
    ),
    **{
        f"skgmje.metrics.{name}": (
            lambda g, name=name, more=more: getattr(metrics, name)(
                g.rows(), mixture(), sample_weight=g.weights(24), **more
            )
        )
        for name, more in {
            "crps": {},
            "energy_score": {"random_state": 0},
            "interval_coverage": {},
            "mean_log_likelihood": {},
            "rmse": {},
        }.items()
    },
}

# Functions of densities, estimators or settings, not of arrays.
NO_ARRAYS = {
    "skgmje.em.tree_reduce",
    "skgmje.as_mixture",
    "skgmje.datasets.make_alignment",
    "skgmje.datasets.make_digit_views",
    "skgmje.embedding.diagnose",  # calls the estimator's transform
    "skgmje.embedding.export_onnx",
    "skgmje.load",
    "skgmje.metrics.cauchy_schwarz_divergence",
    "skgmje.metrics.entropy",
    "skgmje.metrics.kl_divergence",
    "skgmje.metrics.l2_distance",
    "skgmje.metrics.make_mixture_scorer",
    "skgmje.metrics.monte_carlo_cauchy_schwarz",
    "skgmje.metrics.monte_carlo_kl",
    "skgmje.metrics.monte_carlo_l2",
    "skgmje.metrics.mutual_information",
    "skgmje.metrics.transport_map",
    "skgmje.metrics.wasserstein",
    "skgmje.modules.mlp",
    "skgmje.to_sklearn",
    "skgmje.utils.all_estimators",
    "skgmje.utils.all_functions",
    "skgmje.utils.check_density_estimator",
}


def module_of(name, *size, **params):
    cls = getattr(modules, name)
    return cls(*size, torch.Generator().manual_seed(0), dtype=torch.float64, **params)


def network(g):
    module = module_of("MixtureDensityNetwork", 2, 2)
    context, y = (torch.as_tensor(rows) for rows in g.views())
    return module(context), module.heads(context), module.log_prob(context, y)


def heads(g):
    rows = np.asarray(numbers(False, 24, 2, 0))[:, None, :] * [[[0.5], [1.5]]]
    parts = np.log(np.full((24, 2), 0.5)), rows, np.ones((24, 2, 2))
    convert = torch.asarray if isinstance(g.rows(), torch.Tensor) else np.asarray
    made = module_of("MixtureDensityNetwork", 2, 2).heads(torch.zeros(1, 2).double())
    own = type(made)(*map(convert, parts))
    return own.log_prob(g.rows()), own.distortion(g.rows(), 2.0)


def augmented(g):
    images = g.convert(numbers(g.binary, 12, 2, 0).reshape(2, 1, 4, 3))
    views = ImageAugmentation(True, True, 0.5, 0.5, 0.5, 0.5, 0.5)
    return views(torch.as_tensor(images), torch.Generator().manual_seed(0))


def fitted(estimator, g):
    target = [_array(g.rows())[:, 0]] if is_regressor(estimator) else []
    estimator.fit(g.rows(), *target, sample_weight=g.weights(24))
    return estimator.predict(g.rows()), estimator.score(g.rows(), *target)


def displayed(g):
    density = mixture_of_rows().fit(numbers(False, 24, 2, 0))
    display = DensityDisplay.from_estimator(density, g.rows(), grid_resolution=2)
    plt.close("all")
    return display.log_density, display.grid


def plotted(g):
    parts = MixtureDisplay.from_estimator(mixture(), g.rows()).data
    nodes = GraphDisplay(g.rows(3), [[0, 1]], data=g.rows()).plot().nodes
    plt.close("all")
    return parts, nodes


def own_mixture(g):
    covariances = g.convert(np.ones(3))
    weights = [0.2, 0.3, 0.5]
    own = Mixture(weights, g.rows(3), covariances, "spherical")
    return own, own.log_prob(g.rows(seed=1)), own.sample(5, random_state=0)


VALUES = {
    "Mixture": own_mixture,
    "Mixture.affine": lambda g: fitting_mixture(g).affine(
        g.convert(np.eye(2)), g.convert([1, 0])
    ),
    "Mixture.cdf": lambda g: (
        fitting_mixture(g).marginal([0]).cdf(_array(g.rows())[:, 0])
    ),
    "Mixture.condition": [
        lambda g: fitting_mixture(g).condition([0], g.rows(d=1)),
        lambda g: fitting_mixture(g).condition([0], g.convert([1])),
    ],
    **{
        f"Mixture.{name}": (
            lambda g, name=name: getattr(fitting_mixture(g), name)(g.rows())
        )
        for name in (
            "component_log_prob",
            "grad_log_prob",
            "log_prob",
            "responsibilities",
        )
    },
    "Grams": lambda g: all_logs(Grams(g.rows(), g.rows(3), g.convert(1), g.convert(1))),
    "Grams.with_centers": [
        lambda g: all_logs(g.grams().with_centers(g.rows(3), 1.7)),
        lambda g: all_logs(g.grams().with_centers(g.rows(3), g.convert(1))),
    ],
    "Heads": heads,
    "MixtureDensityNetwork": network,
    "ImageAugmentation": augmented,
    "AlignmentTask": [
        lambda g, task=task: task.log_prob(
            g.convert(np.ones((3, task.n_context))),
            g.convert(np.ones((3, task.n_targets))),
        )
        for task in ALIGNMENT_TASKS.values()
    ],
    "StackedMixture": lambda g: stack(g),
    "DensityDisplay": displayed,
    "MixtureDisplay": plotted,
    "GaussianMixture": lambda g: fitted(mixture_of_rows(), g),
    "GrowingNeuralGasMixture": lambda g: fitted(
        GrowingNeuralGasMixture(
            4, growth=GasGrowth(insertion_interval=5), shrinkage=1.0, random_state=0
        ),
        g,
    ),
    "ConditionalMixtureDensity": lambda g: fitted(
        ConditionalMixtureDensity(
            GaussianMixture(2, shrinkage=1.0, max_iter=3), random_state=0
        ),
        g,
    ),
}


def _array(rows):
    return np.asarray(rows) if isinstance(rows, list) else rows


def all_logs(pairs):
    return pairs.log_xx, pairs.log_xy, pairs.log_yy, pairs.log_data_norm


def flat(answer):
    """Yield the arrays of an answer as NumPy's."""
    if isinstance(answer, torch.Tensor):
        yield answer.detach().numpy()
    elif isinstance(answer, Mixture):
        yield from flat([answer.weights, answer.means, answer.covariances])
    elif isinstance(answer, Region):
        yield from flat([answer.log_threshold, answer.mixture])
    elif isinstance(answer, tuple | list):
        for part in answer:
            yield from flat(part)
    elif answer is not None:
        yield np.asarray(answer)


def listed(table):
    for name, calls in table.items():
        for i, call in enumerate(calls if isinstance(calls, list) else [calls]):
            yield pytest.param(call, id=f"{name.removeprefix('skgmje.')}-{i}")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("call", [*listed(CALLS), *listed(VALUES)])
def test_whole_numbers_give_what_their_floats_give(call):
    refusals = []
    for kind, (convert, as_floats) in KINDS.items():
        binary = "bool" in kind
        try:
            expected = list(flat(call(Given(as_floats, binary))))
        except (TypeError, ValueError):
            assert kind.startswith("torch.") or binary, "the floats are refused"
            continue
        try:
            actual = list(flat(call(Given(convert, binary))))
        except (TypeError, ValueError):
            refusals.append(kind)
            continue
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_allclose(
                one.astype(float), other.astype(float), 1e-9, 1e-9, err_msg=kind
            )
    assert not {"int64", "int32", "uint8", "float16", "torch.int64"} & {*refusals}


def test_every_public_function_is_listed():
    assert {name for name, _ in all_functions()} == {*CALLS} | NO_ARRAYS
    assert not {*CALLS} & NO_ARRAYS


def test_every_loss_and_cost_is_called():
    costs = (cost.function for cost in COSTS.values())
    functions = {*LOSSES.values(), *costs}
    known = dict(all_functions())
    assert functions <= {known[name] for name in CALLS}


def test_gradients_pass_through():
    X = torch.tensor(numbers(False, 12, 2, 0), dtype=torch.float64, requires_grad=True)
    centers = torch.tensor(numbers(False, 3, 2, 1))
    COSTS["svd"](grams(X, centers, 14.7)).backward()
    assert bool((X.grad != 0).any())


def test_pixels_as_bytes():
    X = load_digits().data[:200]
    bytes_ = X.astype(np.uint8)
    expected, actual = (
        GaussianMixture(2, covariance_type="diag", random_state=0).fit(rows).score(rows)
        for rows in (X, bytes_)
    )
    assert actual == expected


@pytest.mark.parametrize("rows", [[["a", "b"]], [[1j, 2j]], [[1, 2], [3]]])
def test_what_are_no_numbers_is_refused(rows):
    for function in (neural_gas.start_gas, particles.start_bank):
        with pytest.raises(TypeError, match="real numbers"):
            function(rows)
    with pytest.raises(TypeError, match="real numbers"):
        grams(rows, rows, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixtures_of_half_precision_compute_in_double(dtype):
    arrays = [[0.5, 0.5], [[0.0, 0.0], [32.0, 1.0]], [[1.0, 2.0], [16.0, 4.0]]]
    half = Mixture(*(torch.tensor(a, dtype=dtype) for a in arrays), "diag")
    X = [[5.0, 1.0], [30.0, 2.0]]
    found = half.log_prob(torch.tensor(X, dtype=dtype))
    assert_allclose(found, Mixture(*arrays, "diag").log_prob(X), rtol=1e-12)
    fitted = GaussianMixture(random_state=0).fit(torch.tensor(X * 3, dtype=dtype))
    assert_allclose(fitted.means_, np.mean(X, axis=0, keepdims=True))

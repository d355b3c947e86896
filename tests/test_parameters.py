"""Each parameter of each public estimator changes something public."""

import io
import re
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import (
    FunctionTransformer,
    PowerTransformer,
    StandardScaler,
)

from skgmje import conditional, embedding, mixture
from skgmje.compose import (
    GaussianMixtureCopula,
    MarginalGaussianizer,
    ResidualCoordinates,
    TransformedDensity,
)
from skgmje.conditional import (
    ConditionalMixtureDensity,
    MemoryBank,
    MixtureNetwork,
    NeuralGas,
    TrainedModule,
)
from skgmje.embedding import (
    MLP,
    ConvNet,
    Encoder,
    GJEEmbedder,
    GJELoss,
    GMJEEmbedder,
    IsotropicKernel,
    JointLoss,
    KernelDecoder,
    PatchKernel,
    SIGRegLoss,
)
from skgmje.ensemble import StackingConditionalDensity, StackingDensity
from skgmje.impute import MixtureImputer
from skgmje.mixture import (
    Codes,
    GasGrowth,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    MixtureClassifier,
    Noise,
    StudentMixture,
)
from skgmje.modules import Prototypes
from skgmje.outlier import DensityOutlierDetector
from skgmje.utils import all_estimators
from tests.test_integer_inputs import flat
from tests.test_place_in_batch import ask, methods_of

RNG = np.random.default_rng(0)
# Two crescents in unlike units.
ANGLE = RNG.uniform(0, np.pi, 120)
SIDE = RNG.choice([-1.0, 1.0], 120)
MOONS = np.column_stack([np.cos(ANGLE) + SIDE / 2, SIDE * (np.sin(ANGLE) - 0.25)])
MOONS = (MOONS + RNG.normal(scale=0.1, size=MOONS.shape)) * [3.0, 0.2]
# One context with two likely targets; a second target depends on both.
CONTEXT = RNG.uniform(size=(80, 1))
BRANCH = RNG.choice([-1.0, 1.0], 80) * np.sqrt(CONTEXT[:, 0])
BRANCHES = np.column_stack([BRANCH, CONTEXT[:, 0] ** 2])
BRANCHES += 0.05 * RNG.normal(size=BRANCHES.shape)
# The same with gaps, and a column without a value.
HOLES = np.where(np.arange(240).reshape(120, 2) % 7 == 0, np.nan, MOONS)
HOLES = np.column_stack([HOLES, np.full(120, np.nan)])
# Columns that the others tell of.
PARABOLAS = np.column_stack([MOONS, MOONS**2, MOONS[:, :1] * MOONS[:, 1:]])
PARABOLAS += 0.05 * RNG.normal(size=PARABOLAS.shape)
# Noise of unlike scales, read as images of 4 x 4 pixels.
IMAGES = RNG.normal(size=(80, 16)) * RNG.uniform(0.5, 3, 16)

SGD = {"optimizer": torch.optim.SGD}
SEED = {"random_state": 0}

# What is meant to change no number, only time, and what has a test of its own.
ELSEWHERE = {"n_jobs", "device", "warm_start"}

KERNEL = {
    "covariance_type": "full",
    "shrinkage": 2.0,
    "cost": "scalar",
    "generator": Codes(hidden_layer_sizes=(8,)),
    "max_iter": 12,
    **SEED,
}
AUTO = KERNEL | {"covariance_type": "auto", "shrinkage": "auto"}
LOW_RANK = GaussianMixture(
    shrinkage=5.0, reg_covar=1e-3, rank=1, covariance_type="low-rank"
)
KERNEL_CASES = [
    (
        KernelMixtureDensity(4, **KERNEL),
        MOONS,
        {
            "n_components": [5, "auto"],
            "covariance_type": ["diag", "auto"],
            "shrinkage": [20.0, "auto"],
            "cost": ["svd", "vector-matrix", "matrix-matrix", "likelihood"],
            "generator": ["codes", "noise", Noise()],
            "bandwidth": [0.7, "loo"],
            "refine": ["em", "weights", None, GaussianMixture(shrinkage=2.0)],
            "standardize": [False],
            "max_iter": [24],
            "learning_rate": [0.05],
            "batch_size": [20],
            "tol": [1.0],
            "trainer": [SGD],
            "random_state": [1],
            "verbose": [1],
            "generator__init": ["random_from_data", "noise"],
            "generator__code_dim": [3],
            "generator__hidden_layer_sizes": [(16,)],
        },
    ),
    (
        KernelMixtureDensity(
            4, **KERNEL | {"generator": Noise(hidden_layer_sizes=(8,))}
        ),
        MOONS,
        {
            "generator__network": [torch.nn.Linear],
            "generator__code_dim": [3],
            "generator__hidden_layer_sizes": [(16,)],
        },
    ),
    (
        KernelMixtureDensity(4, **AUTO, refine=LOW_RANK),
        MOONS,
        {
            "refine__covariance_type": ["tied"],
            "refine__shrinkage": [30.0],
            "refine__rank": [2],
            "refine__reg_covar": [0.1],
            "refine__tol": [1.0],
            "refine__max_iter": [1],
            "refine__annealing": [0.2],
        },
    ),
]


def network(**params):
    return MixtureNetwork(n_members=2, hidden_layer_sizes=(8,), max_iter=20, **params)


def module(seed=0):
    return Prototypes(4, 3, torch.Generator().manual_seed(seed))


CONDITIONAL_CASES = [
    (
        ConditionalMixtureDensity(network(), **SEED),
        (CONTEXT, BRANCHES),
        {
            "source": ["prototypes", "neural-gas", "memory-bank"],
            "random_state": [1],
            "verbose": [1],
            "source__n_components": [2],
            "source__hidden_layer_sizes": [(4,)],
            "source__n_members": [3],
            "source__covariance_type": ["diag"],
            "source__max_iter": [10],
            "source__batch_size": [16],
            "source__learning_rate": [1e-3],
            "source__min_scale": [0.5],
            "source__trainer": [SGD],
        },
    ),
    (
        ConditionalMixtureDensity(GaussianMixture(5, shrinkage=1.0), **SEED),
        (CONTEXT, BRANCHES),
        {
            "source__n_components": [2, "auto"],
            "source__covariance_type": ["diag"],
            "source__shrinkage": [5.0, "auto"],
            "source__reg_covar": [1e-2],
            "source__tol": [0.5],
            "source__max_iter": [1],
            "source__n_init": [5],
            "source__annealing": [0.5],
        },
    ),
    (
        ConditionalMixtureDensity(NeuralGas(4, shrinkage=2.0), **SEED),
        (CONTEXT, BRANCHES),
        {
            "source__n_components": [2, "auto"],
            "source__covariance_type": ["diag"],
            "source__shrinkage": [9.0, "auto"],
            "source__reg_covar": [1e-2],
            "source__max_iter": [1],
            "source__tol": [0.5],
        },
    ),
    (
        ConditionalMixtureDensity(MemoryBank(30, max_iter=1), **SEED),
        (CONTEXT, BRANCHES),
        {
            "source__n_components": [20, "auto"],
            "source__covariance_type": ["diag"],
            "source__shrinkage": [2.0],
            "source__reg_covar": [1e-2],
            "source__max_iter": [0, "auto"],
            "source__batch_size": [10],
        },
    ),
    (
        ConditionalMixtureDensity(TrainedModule(module(), max_iter=20), **SEED),
        (CONTEXT, BRANCHES),
        {
            "source__module": [module(1)],
            "source__max_iter": [10],
            "source__batch_size": [16],
            "source__learning_rate": [1e-3],
            "source__trainer": [SGD],
        },
    ),
]

EMBEDDER = {
    "embedding_dim": 3,
    "encoder": MLP((6,)),
    "loss": GJELoss(),
    "max_iter": 8,
    **SEED,
}


def add_noise(batch, generator):
    return batch + torch.randn(batch.shape, generator=generator)


EMBEDDED = {
    "embedding_dim": [2],
    "views": ["neighbors"],
    "augmentation": [add_noise],
    "encoder": ["auto", ConvNet((6,), image_shape=(4, 4)), torch.nn.Linear(16, 3)],
    "loss": ["pmi", "joint"],
    "output": ["hidden", ["embedding", "input"]],
    "standardize": [False],
    "max_iter": [9],
    "batch_size": [20],
    "learning_rate": [1e-2],
    "trainer": [SGD],
    "random_state": [1],
    "verbose": [1],
}
LATENT = GaussianMixture(2, shrinkage=1.0, reg_covar=1e-3)
DECODER = {
    "code_dim": 2,
    "n_centers": 2,
    "hidden_layer_sizes": (6,),
    "n_components": 2,
    "max_iter": 8,
    **SEED,
}
EMBEDDING_CASES = [
    (
        GJEEmbedder(**EMBEDDER),
        IMAGES,
        EMBEDDED
        | {
            "encoder__hidden_layer_sizes": [(5,)],
            "encoder__norm": ["sphere", "batch"],
            "encoder__target": ["ema"],
            "encoder__image_shape": [(4, 4)],
            "loss__rho": [0.5],
            "loss__logdet_weight": [2.0],
            "loss__moment_decay": [0.5],
        },
    ),
    (
        GMJEEmbedder(**EMBEDDER, mixture=LATENT),
        IMAGES,
        EMBEDDED
        | {
            "mixture": ["prototypes", "neural-gas", "memory-bank"],
            "mixture__n_components": [3],
            "mixture__covariance_type": ["diag"],
            "mixture__shrinkage": [5.0],
            "mixture__reg_covar": [1e-1],
            "mixture__tol": [1.0],
            "mixture__max_iter": [1],
        },
    ),
    (
        GJEEmbedder(**EMBEDDER | {"loss": SIGRegLoss()}),
        IMAGES,
        {
            "loss__weight": [0.5],
            "loss__gje": [GJELoss()],
            "loss__n_slices": [4],
            "loss__n_knots": [3, None],
            "loss__pooled": [True],
        },
    ),
    (
        GJEEmbedder(**EMBEDDER | {"encoder": ConvNet((6,), image_shape=(4, 4))}),
        IMAGES,
        {
            "encoder__hidden_layer_sizes": [(5,)],
            "encoder__norm": ["sphere", "batch"],
            "encoder__target": ["ema"],
            "encoder__image_shape": [(2, 8)],
        },
    ),
    (
        GJEEmbedder(**EMBEDDER | {"encoder": Encoder()}),
        IMAGES,
        {
            "encoder__network": [torch.nn.Linear(16, 3)],
            "encoder__norm": ["sphere", "batch"],
            "encoder__target": ["ema"],
            "encoder__image_shape": [(4, 4)],
        },
    ),
    (
        GMJEEmbedder(**EMBEDDER | {"loss": JointLoss(2)}, mixture=LATENT),
        IMAGES,
        {
            "loss__n_components": [3],
            "loss__logdet_weight": [2.0],
            "loss__moment_decay": [0.5],
        },
    ),
    (
        KernelDecoder(**DECODER, kernel=IsotropicKernel()),
        IMAGES,
        {
            "code_dim": [3],
            "n_centers": [3],
            "objective": ["batch"],
            "kernel": [PatchKernel(2, image_shape=(4, 4))],
            "kernel__variance": [5.0],
            "kernel__kappa": [0.1],
            "code_noise": [0.2],
            "n_components": [1, "auto"],
            "hidden_layer_sizes": [(5,)],
            "bounded": [False],
            "standardize": [True],
            "max_iter": [9],
            "batch_size": [20],
            "learning_rate": [1e-2],
            "trainer": [SGD],
            "random_state": [1],
            "verbose": [1],
        },
    ),
    (
        KernelDecoder(**DECODER, kernel=PatchKernel(2, image_shape=(4, 4))),
        IMAGES,
        {
            "kernel__size": [4],
            "kernel__image_shape": [(2, 8)],
            "kernel__variance": [5.0],
            "kernel__kappa": [0.1],
        },
    ),
]
MIXTURE_CASES = [
    (
        GaussianMixture(5, shrinkage=1.0, verbose=0, max_iter=30, **SEED),
        MOONS,
        {
            "n_components": [2, "auto"],
            "covariance_type": ["diag", "low-rank", "auto", "VEV"],
            "tol": [0.5],
            "reg_covar": [0.1, "auto"],
            "max_iter": [1],
            "n_init": [4],
            "init_params": ["random", "k-means++", "random_from_data", "auto"],
            "weights_init": [[0.1, 0.1, 0.1, 0.1, 0.6]],
            "means_init": [MOONS[:5]],
            "precisions_init": [np.array([np.eye(2)] * 5)],
            "random_state": [1],
            "verbose": [2],
            "shrinkage": [30.0, "auto"],
            "annealing": [0.3],
            "background": [True],
        },
    ),
    (
        GaussianMixture(5, verbose=2, tol=0, max_iter=12, **SEED),
        MOONS,
        {"verbose_interval": [3]},
    ),
    (
        GaussianMixture("auto", covariance_type="VVI", **SEED),
        MOONS,
        {"criterion": ["bic", "icl"]},
    ),
    (
        GaussianMixture(12, shrinkage=5.0, **SEED),
        MOONS,
        {"shrinkage_target": ["neighbors"]},
    ),
    (
        GaussianMixture(3, covariance_type="low-rank", rank=1, **SEED),
        IMAGES,
        {"rank": [2]},
    ),
]
GAUSS = GaussianMixture(2, **SEED)


def row_sums(X):
    """Return the log-determinants of exp(x) - 1."""
    return X.sum(axis=1)


SIGNS = np.where(np.arange(120) % 3, -1, MOONS[:, 0] > 0)
OTHER_CASES = [
    (
        StudentMixture(4, shrinkage=1.0, **SEED),
        MOONS,
        {
            "n_components": [5],
            "covariance_type": ["tied"],
            "dof": ["each", 2.0, [3, 4, 5, 6]],
            "tol": [0.5],
            "reg_covar": [0.1],
            "max_iter": [2],
            "n_init": [4],
            "shrinkage": [30.0],
            "random_state": [1],
        },
    ),
    (
        StudentMixture(2, covariance_type="low-rank", rank=1, **SEED),
        IMAGES,
        {"rank": [2]},
    ),
    (
        MixtureClassifier(2, **SEED),
        (MOONS, SIGNS),
        {
            "n_components_per_class": [1, "auto"],
            "covariance_type": ["diag"],
            "shrinkage": [50.0],
            "unlabelled_weight": [0, 0.5],
            "reg_covar": [0.1],
            "max_iter": [2],
            "tol": [1.0],
            "random_state": [1],
        },
    ),
    (
        MixtureClassifier(covariance_type="low-rank", rank=1, **SEED),
        (IMAGES, np.where(np.arange(80) % 2, IMAGES[:, 0] > 0, -1)),
        {"rank": [2]},
    ),
    (MarginalGaussianizer(), MOONS, {"bounds": [[(-30, 40), None]]}),
    (
        GaussianMixtureCopula(GAUSS),
        MOONS,
        {"density": [KernelDensity()], "bounds": [[(-30, 40), None]]},
    ),
    (GaussianMixtureCopula(**SEED), MOONS[:80], {"random_state": [1]}),
    (
        MixtureImputer(**SEED),
        HOLES,
        {
            "density": [GAUSS],
            "strategy": ["sample", "mode"],
            "add_indicator": [True],
            "keep_empty_features": [True],
            "random_state": [1],
        },
    ),
    (
        TransformedDensity(StandardScaler(), GAUSS),
        MOONS,
        {
            "transformer": [PowerTransformer(), "passthrough"],
            "density": [KernelDensity()],
            "bounds": [{0: (-30, 40)}],
        },
    ),
    (
        TransformedDensity(
            FunctionTransformer(np.expm1, np.log1p), GAUSS, log_det=row_sums
        ),
        MOONS / 10,
        {"log_det": [lambda X: row_sums(X) + 1.0]},
    ),
    (
        DensityOutlierDetector(GAUSS, **SEED),
        MOONS,
        {
            "density": [None, KernelDensity()],
            "contamination": [0.2],
            "marginal_weight": [0.1],
            "max_samples": [50],
        },
    ),
    (
        DensityOutlierDetector(max_samples=60, **SEED),
        MOONS,
        {"random_state": [1]},
    ),
    (
        ResidualCoordinates(n_landmarks=30),
        PARABOLAS,
        {
            "max_columns": [1],
            "min_gain": [0.9],
            "n_landmarks": [10],
            "gaussianize": [True],
            "random_state": [1],
        },
    ),
    (
        StackingDensity(spaces=("identity",), **SEED),
        MOONS,
        {
            "effort": ["thorough"],
            "estimators": [[("one", GAUSS)]],
            "spaces": [("marginal",)],
            "cv": [KFold(3)],
            "dequantize": [True],
            "random_state": [1],
            "verbose": [1],
        },
    ),
]
GROWTH = GasGrowth(insertion_interval=30)
TARGET = MOONS[:, :1] ** 2 + 0.5 * RNG.normal(size=(120, 1))
GAS_CASES = [
    (
        GrowingNeuralGasMixture(12, shrinkage=2.0, growth=GROWTH, **SEED),
        MOONS,
        {
            "max_nodes": [6, "auto"],
            "component": ["cluster"],
            "covariance_type": ["tied", "diag", "spherical", "auto"],
            "shrinkage": [20.0, "auto"],
            "reg_covar": [0.1],
            "refine": [None, GaussianMixture(shrinkage=2.0, max_iter=2)],
            "growth": ["batch", "sequential"],
            "output": ["distances"],
            "random_state": [1],
            "growth__mode": ["sequential"],
            "growth__winner_rate": [0.05],
            "growth__neighbor_rate": [0.05],
            "growth__max_age": [1],
            "growth__insertion_interval": [60],
            "growth__error_split": [0.2],
            "growth__error_decay": [0.9],
            "growth__utility_threshold": [0.1],
            "growth__settle": [False],
        },
    ),
]
STACK = StackingConditionalDensity(
    ["network", ("ridge", Ridge())],
    n_components=2,
    n_members=2,
    hidden_layer_sizes=(8,),
    max_iter=30,
    n_folds=2,
    **SEED,
)
STACK_CASES = [
    (
        STACK,
        (MOONS, TARGET),
        {
            "estimators": [["gp"], [Ridge(9.0)]],
            "n_components": [4],
            "n_members": [4],
            "hidden_layer_sizes": [(4,)],
            "max_iter": [60],
            "min_scale": [0.7],
            "crps_weight": [0.0],
            "recalibrate": [False],
            "max_components": [1],
            "n_folds": [3],
            "random_state": [1],
            "verbose": [1],
        },
    ),
    (
        STACK,
        (MOONS, np.hstack([TARGET, TARGET - MOONS[:, :1]])),
        {"covariance_type": ["diag"]},
    ),
]
CASES = [
    *MIXTURE_CASES,
    *KERNEL_CASES,
    *GAS_CASES,
    *OTHER_CASES,
    *CONDITIONAL_CASES,
    *EMBEDDING_CASES,
    *STACK_CASES,
]
# Those that train networks for longer than an instant.
SLOW = (
    ConditionalMixtureDensity,
    GJEEmbedder,
    GMJEEmbedder,
    KernelDecoder,
    StackingConditionalDensity,
)


def variations():
    for estimator, data, changes in CASES:
        kind, case = type(estimator).__name__, (estimator, data)
        marks = [pytest.mark.slow] * isinstance(estimator, SLOW)
        for parameter, values in changes.items():
            name = f"{kind}-{parameter}"
            yield pytest.param(*case, parameter, values, id=name, marks=marks)


def told(estimator, data):
    """Return all that a fit says: what it prints, learns and answers, or its error."""
    X, *targets = data if isinstance(data, tuple) else (data,)
    printed = io.StringIO()
    with redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = clone(estimator).fit(X, *targets)
        names = [name for name in sorted(vars(fitted)) if _is_told(name)]
        learned = [vars(fitted)[name] for name in names]
        asked, y = X[::3], targets[0][::3] if targets else None
        answers = [ask(fitted, name, asked, y) for name in methods_of(fitted)]
        scores = [fitted.score(X, *targets)] if hasattr(fitted, "score") else []
    parts = [*learned, *answers, *scores]
    return printed.getvalue(), [bytes_of(part) for part in parts]


def _is_told(name):
    is_public = name.endswith("_") and not name.startswith("_")
    return is_public and "times" not in name


def bytes_of(value):
    """Return numbers as bytes, words as they are, and of all else the kind."""
    if isinstance(value, str | bool | int | float | None):
        return repr(value)
    if isinstance(value, dict):
        return [(name, bytes_of(part)) for name, part in value.items()]
    if isinstance(value, tuple | list) and not hasattr(value, "weights"):
        return [bytes_of(part) for part in value]
    if isinstance(value, torch.nn.Module):
        return bytes_of(list(value.parameters()))
    if isinstance(value, np.ndarray | torch.Tensor) or hasattr(value, "means"):
        return [np.ascontiguousarray(part).tobytes() for part in flat(value)]
    return type(value).__name__


KNOWN = {}


@pytest.mark.parametrize(("estimator", "data", "parameter", "values"), [*variations()])
def test_a_parameter_changes_something(estimator, data, parameter, values):
    case = id(estimator), id(data)
    if case not in KNOWN:
        KNOWN[case] = told(estimator, data)
        assert told(estimator, data) == KNOWN[case]
    for value in values:
        changed = clone(estimator).set_params(**{parameter: value})
        assert told(changed, data) != KNOWN[case], value


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_every_parameter_is_varied(name, cls):
    varied = {p for case, _, changes in CASES if type(case) is cls for p in changes}
    assert set(cls._get_param_names()) - ELSEWHERE <= varied


def is_options(cls):
    """Tell whether a class has parameters, and nothing else."""
    return hasattr(cls, "get_params") and not hasattr(cls, "fit")


def test_every_option_is_varied():
    packages = conditional, embedding, mixture
    found = [getattr(package, name) for package in packages for name in package.__all__]
    varied = {cls: set() for cls in found if is_options(cls)}
    assert varied
    for estimator, _, changes in CASES:
        for parameter in changes:
            part, _, inner = parameter.rpartition("__")
            kind = type(estimator.get_params().get(part))
            if kind in varied:
                varied[kind].add(inner)
    for cls, names in varied.items():
        assert set(cls._get_param_names()) <= names, cls


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_constructors_can_be_read(name, cls):
    most = 21 if cls is GaussianMixture else 16
    assert len(cls._get_param_names()) <= most


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_no_parameter_hides_a_method(name, cls):
    hidden = [name for name in cls._get_param_names() if hasattr(cls, name)]
    assert hidden == []


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_unknown_devices_are_named(name, cls):
    if "device" not in cls._get_param_names():
        pytest.skip("it has no device")
    estimator, data = next(case[:2] for case in CASES if type(case[0]) is cls)
    data = data if isinstance(data, tuple) else (data,)
    with pytest.raises(ValueError, match="device='abacus'"):
        clone(estimator).set_params(device="abacus").fit(*data)


def objects():
    """Return estimators, their data, and parameters that are objects, each once."""
    found = {}
    for estimator, data, _ in CASES:
        for name, value in estimator.get_params(deep=False).items():
            if hasattr(value, "get_params"):
                found[type(estimator), name] = (estimator, data, name)
    return [
        pytest.param(*case, id=f"{kind.__name__}-{name}")
        for (kind, name), case in found.items()
    ]


@pytest.mark.parametrize(("estimator", "data", "name"), objects())
def test_what_is_no_object_is_refused_by_name(estimator, data, name):
    data = data if isinstance(data, tuple) else (data,)
    kind = type(getattr(estimator, name))
    wrong = {kind: f"{name}: {kind.__name__} is a class", "mistyped": name, 3: name}
    wrong[ConvNet if name != "encoder" else NeuralGas] = f"{name}: .* is a class"
    for value, words in wrong.items():
        with pytest.raises((TypeError, ValueError), match=words) as caught:
            clone(estimator).set_params(**{name: value}).fit(*data)
        # No class that nobody can import.
        assert not re.search(r"(Options|Source)'", str(caught.value))


@pytest.mark.parametrize("wrong", [MixtureNetwork, "mistyped", Prototypes, 3])
def test_what_is_no_object_in_a_list_is_refused(wrong):
    density = ConditionalMixtureDensity(["prototypes", wrong])
    with pytest.raises(ValueError, match=r"is a class|no source"):
        density.fit(CONTEXT, BRANCHES)

"""Fitted estimators of every kind, with a few rows, and all that they answer."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GJEEmbedder,
    GMJEEmbedder,
    GrowingNeuralGasMixture,
    KernelDecoder,
    KernelMixtureDensity,
    MixtureImputer,
    StackingConditionalDensity,
    StackingDensity,
    TransformedDensity,
)
from skgmje.compose import (
    GaussianMixtureCopula,
    MarginalGaussianizer,
    ResidualCoordinates,
)
from skgmje.conditional import TrainedModule
from skgmje.embedding import (
    MLP,
    ConvNet,
    Encoder,
    GJELoss,
    ImageAugmentation,
    IsotropicKernel,
    JointLoss,
    PatchKernel,
)
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import Codes, GasGrowth, MixtureClassifier, Noise, StudentMixture
from skgmje.modules import Prototypes
from tests.sources import WORDS, make_source, targets_of

RNG = np.random.RandomState(0)
X = RNG.normal(size=(120, 3)).round(6)
Y = (X[:, :2] + 0.1 * RNG.normal(size=(120, 2))).round(6)

SEED = {"random_state": 0}
SMALL = {"max_iter": 5, "hidden_layer_sizes": (4,), **SEED}
NETWORKS = {**SMALL, "n_members": 2}
CODES = {"max_iter": 5, "generator": Codes(hidden_layer_sizes=(4,)), **SEED}
SHORT = {"max_iter": 5, **SEED}
EMBEDDER = {"encoder": MLP((4,)), **SHORT}
SGD = {"optimizer": torch.optim.SGD}


def build_network(n_in, n_out):
    return torch.nn.Sequential(torch.nn.Linear(n_in, 3), torch.nn.Linear(3, n_out))


def add_noise(batch, generator):
    return batch + torch.randn(batch.shape, generator=generator)


def own_cost(grams):
    return -grams.log_xy.exp().mean()


def log_det(rows):
    return np.log(np.cosh(rows)).sum(axis=1)


def make_module():
    generator = torch.Generator().manual_seed(0)
    return Prototypes(2, 5, generator, covariance_type="diag")


def transformed(transformer, density=None, **params):
    density = GaussianMixture(2, **SEED) if density is None else density
    return TransformedDensity(transformer, density, **params)


MODULE = make_module()
OWN_NETWORK = torch.nn.Linear(2, 2)
# Estimator, and those of its parameters that are code.
CASES = {
    **{
        f"gaussian-{kind}": (GaussianMixture(2, covariance_type=kind, rank=1, **SEED),)
        for kind in COVARIANCE_TYPES
    },
    "gaussian-auto": (
        GaussianMixture("auto", covariance_type="auto", shrinkage="auto", **SEED),
    ),
    "gaussian-background": (GaussianMixture(2, background=True, **SEED),),
    "gaussian-generator": (GaussianMixture(2, random_state=np.random.RandomState(1)),),
    "decoder": (KernelDecoder(2, n_centers=2, **SMALL),),
    "kernel": (KernelMixtureDensity(3, **CODES),),
    "kernel-auto": (KernelMixtureDensity(**CODES),),
    "kernel-word": (KernelMixtureDensity(3, generator="noise", max_iter=5, **SEED),),
    "kernel-noise": (
        KernelMixtureDensity(
            3, **CODES | {"generator": Noise(code_dim=3, hidden_layer_sizes=(4,))}
        ),
    ),
    "decoder-patches": (
        KernelDecoder(2, kernel=PatchKernel(1, image_shape=(3, 1)), **SMALL),
    ),
    "decoder-optimizer": (
        KernelDecoder(2, kernel=IsotropicKernel(0.5), trainer=SGD, **SMALL),
        {"trainer": SGD},
    ),
    "kernel-network": (
        KernelMixtureDensity(3, generator=build_network, max_iter=5, **SEED),
        {"generator": build_network},
    ),
    "kernel-own": (
        KernelMixtureDensity(
            3, generator=Noise(build_network, code_dim=3), max_iter=5, **SEED
        ),
        {"generator.network": build_network},
    ),
    "kernel-mixture": (
        KernelMixtureDensity(
            3, refine=GaussianMixture(covariance_type="diag", shrinkage=2), **CODES
        ),
    ),
    "kernel-cost": (KernelMixtureDensity(3, cost=own_cost, **CODES), {"cost": None}),
    "kernel-optimizer": (
        KernelMixtureDensity(3, trainer={"optimizer": torch.optim.SGD}, **CODES),
        {"trainer": {"optimizer": torch.optim.SGD}},
    ),
    "gas": (
        GrowingNeuralGasMixture(8, growth=GasGrowth(insertion_interval=20), **SEED),
    ),
    "gas-distances": (
        GrowingNeuralGasMixture(
            8,
            growth=GasGrowth(insertion_interval=20),
            output="distances",
            component="cluster",
            **SEED,
        ),
    ),
    **{
        f"conditional-{word}": (
            ConditionalMixtureDensity(make_source(word, **NETWORKS), **SEED),
        )
        for word in WORDS
    },
    "conditional-word": (ConditionalMixtureDensity("prototypes", **SEED),),
    "conditional-optimizer": (
        ConditionalMixtureDensity(
            make_source("network", trainer={"optimizer": torch.optim.SGD}, **NETWORKS),
            **SEED,
        ),
        {"source.trainer": {"optimizer": torch.optim.SGD}},
    ),
    "conditional-module": (
        ConditionalMixtureDensity(TrainedModule(MODULE, max_iter=5), **SEED),
        {"source.module": MODULE},
    ),
    "gje": (GJEEmbedder(2, **EMBEDDER),),
    "gje-own": (
        GJEEmbedder(2, encoder=build_network, augmentation=add_noise, **SHORT),
        {"encoder": build_network, "augmentation": None},
    ),
    "gje-own-sphere": (
        GJEEmbedder(2, encoder=Encoder(build_network, norm="sphere"), **SHORT),
        {"encoder.network": build_network},
    ),
    "gje-own-pair": (
        GJEEmbedder(2, views="pair", encoder=("mlp", OWN_NETWORK), **SHORT),
        {"encoder.1": OWN_NETWORK},
    ),
    "gje-ema": (
        GJEEmbedder(2, encoder=MLP((4,), target="ema"), views="neighbors", **SHORT),
    ),
    "gje-pair": (GJEEmbedder(2, views="pair", output="hidden", **EMBEDDER),),
    "gje-images": (
        GJEEmbedder(
            2,
            encoder=ConvNet((4,), image_shape=(3, 1)),
            augmentation=ImageAugmentation(noise=0.5),
            output=["multi", "input"],
            loss=GJELoss(rho=0.5),
            **SHORT,
        ),
    ),
    "gmje": (GMJEEmbedder(2, mixture=GaussianMixture(2), **EMBEDDER),),
    "gmje-network": (
        GMJEEmbedder(
            2,
            mixture=make_source("network", **NETWORKS),
            loss=JointLoss(2),
            **EMBEDDER,
        ),
    ),
    "classifier": (MixtureClassifier(**SEED),),
    "classifier-several": (MixtureClassifier("auto", **SEED),),
    "imputer": (MixtureImputer(add_indicator=True, **SEED),),
    "imputer-given": (
        MixtureImputer(GaussianMixture(2, **SEED), strategy="sample", **SEED),
    ),
    "outliers": (DensityOutlierDetector(**SEED),),
    "outliers-given": (DensityOutlierDetector(transformed(StandardScaler()), **SEED),),
    "normal-scores": (MarginalGaussianizer(),),
    "transformed-bounds": (transformed("passthrough", bounds={0: (-9, 99), 1: None}),),
    "copula": (GaussianMixtureCopula(bounds=[(-9, None), (-9, 99), None], **SEED),),
    "residuals": (ResidualCoordinates(min_gain=0, gaussianize=True),),
    "stack-conditional": (
        StackingConditionalDensity(
            ["gp", "trees", "boosting", "network"], **NETWORKS, max_components=4
        ),
    ),
    "stack-process": (StackingConditionalDensity(["gp"], **NETWORKS),),
    "stack": (StackingDensity(effort="fast", **SEED),),
    "stack-given": (
        StackingDensity(
            estimators=[
                ("a", GaussianMixture(2, **SEED)),
                ("b", transformed(MarginalGaussianizer())),
            ],
            **SEED,
        ),
    ),
    "student": (StudentMixture(2, dof="each", **SEED),),
    "transformed": (transformed(StandardScaler()),),
    "transformed-power": (transformed(PowerTransformer(), SklearnMixture(2, **SEED)),),
    "transformed-quantile": (
        transformed(
            QuantileTransformer(n_quantiles=10, output_distribution="normal", **SEED),
            BayesianGaussianMixture(n_components=2, **SEED),
        ),
    ),
    "transformed-columns": (
        transformed(
            ColumnTransformer(
                [
                    ("power", make_pipeline(StandardScaler(), PowerTransformer()), [0]),
                    ("robust", RobustScaler(), [1]),
                ],
                remainder="passthrough",
            )
        ),
    ),
    "transformed-pipeline": (
        transformed(
            make_pipeline(MinMaxScaler(), MaxAbsScaler(), PCA()),
            KernelMixtureDensity(2, **CODES),
        ),
    ),
    "transformed-function": (
        transformed(
            FunctionTransformer(np.sinh, inverse_func=np.arcsinh), log_det=log_det
        ),
        {
            "transformer.func": np.sinh,
            "transformer.inverse_func": np.arcsinh,
            "log_det": log_det,
        },
    ),
}


def fit(name):
    """Return a fitted estimator, and its code."""
    estimator, custom = (*CASES[name], {})[:2]
    paired = "views" in estimator.get_params() and estimator.views == "pair"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if paired or is_regressor(estimator) or is_classifier(estimator):
            return estimator.fit(X, targets_of(estimator, Y)), custom
        return estimator.fit(X), custom


def answers(fitted):
    """Return what a fitted estimator says of the rows, by the method."""
    out = {}
    for name in ("score_samples", "predict_proba", "predict", "transform"):
        if hasattr(fitted, name):
            out[name] = getattr(fitted, name)(X[:20])
    for name in ("sample", "sample_generator"):
        if hasattr(fitted, name):
            drawn = getattr(fitted, name)(5, random_state=1)
            out[name] = drawn[0] if isinstance(drawn, tuple) else drawn
    if hasattr(fitted, "sample_y"):
        out["sample_y"] = fitted.sample_y(X[:5], 2, random_state=1)
    return {name: np.asarray(value) for name, value in out.items()}


@pytest.fixture
def cases():
    """Names of all kinds of estimators."""
    return CASES


@pytest.fixture(params=CASES, scope="session")
def fitted_case(request):
    """A fitted estimator of each kind, and its code; no test may change them."""
    return fit(request.param)


@pytest.fixture
def fit_case():
    """The function that fits a case by its name."""
    return fit


@pytest.fixture(name="answers")
def answers_fixture():
    """The function that asks a fitted estimator everything."""
    return answers

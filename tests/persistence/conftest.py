"""Fitted estimators of every kind, with a few rows, and all that they answer."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import is_regressor
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
    StackingConditionalDensity,
    StackingDensity,
    TransformedDensity,
)
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates
from skgmje.embedding import ImageAugmentation
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import GasGrowth
from skgmje.modules import Prototypes

RNG = np.random.RandomState(0)
X = RNG.normal(size=(120, 3)).round(6)
Y = (X[:, :2] + 0.1 * RNG.normal(size=(120, 2))).round(6)

SEED = {"random_state": 0}
SMALL = {"max_iter": 5, "hidden_layer_sizes": (4,), **SEED}
NETWORKS = {**SMALL, "n_members": 2}


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


SOURCES = sorted(ConditionalMixtureDensity._parameter_constraints["mixture"][0].options)
MODULE = make_module()
# Estimator, and those of its parameters that are code.
CASES = {
    **{
        f"gaussian-{kind}": (GaussianMixture(2, covariance_type=kind, rank=1, **SEED),)
        for kind in COVARIANCE_TYPES
    },
    "gaussian-auto": (
        GaussianMixture("auto", covariance_type="auto", shrinkage="auto", **SEED),
    ),
    "gaussian-generator": (GaussianMixture(2, random_state=np.random.RandomState(1)),),
    "decoder": (KernelDecoder(2, n_centers=2, **SMALL),),
    "kernel": (KernelMixtureDensity(3, **SMALL),),
    "kernel-auto": (KernelMixtureDensity(**SMALL),),
    "kernel-noise": (KernelMixtureDensity(3, generator="noise", **SMALL),),
    "kernel-network": (
        KernelMixtureDensity(3, generator=build_network, **SMALL),
        {"generator": build_network},
    ),
    "kernel-cost": (KernelMixtureDensity(3, cost=own_cost, **SMALL), {"cost": None}),
    "kernel-optimizer": (
        KernelMixtureDensity(3, net_params={"optimizer": torch.optim.SGD}, **SMALL),
        {"net_params": {"optimizer": torch.optim.SGD}},
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
        f"conditional-{source}": (ConditionalMixtureDensity(source, **NETWORKS),)
        for source in SOURCES
    },
    "conditional-module": (
        ConditionalMixtureDensity(MODULE, **NETWORKS),
        {"mixture": MODULE},
    ),
    "gje": (GJEEmbedder(2, **SMALL),),
    "gje-own": (
        GJEEmbedder(2, encoder=build_network, augmentation=add_noise, **SMALL),
        {"encoder": build_network, "augmentation": None},
    ),
    "gje-ema": (GJEEmbedder(2, target="ema", views="neighbors", **SMALL),),
    "gje-pair": (GJEEmbedder(2, views="pair", embedding_layer="hidden", **SMALL),),
    "gje-images": (
        GJEEmbedder(
            2,
            image_shape=(3, 1),
            augmentation=ImageAugmentation(noise=0.5),
            embedding_layer="multi",
            passthrough=True,
            **SMALL,
        ),
    ),
    "gmje": (GMJEEmbedder(2, n_components=2, **SMALL),),
    "gmje-network": (
        GMJEEmbedder(
            2,
            n_components=2,
            mixture="network",
            mixture_params={"max_iter": 5, "hidden_layer_sizes": (4,), "n_members": 2},
            **SMALL,
        ),
    ),
    "outliers": (DensityOutlierDetector(**SEED),),
    "outliers-given": (DensityOutlierDetector(transformed(StandardScaler()), **SEED),),
    "normal-scores": (MarginalGaussianizer(),),
    "residuals": (ResidualCoordinates(min_gain=0, gaussianize=True),),
    "stack-conditional": (
        StackingConditionalDensity(
            ["gp", "trees", "boosting", "network"], **NETWORKS, max_components=4
        ),
    ),
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
            KernelMixtureDensity(2, **SMALL),
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
        if paired or is_regressor(estimator):
            return estimator.fit(X, Y), custom
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

"""scikit-learn's own checks, on every public estimator in several settings."""

from functools import cache

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgmje.compose import (
    GaussianMixtureCopula,
    MarginalGaussianizer,
    ResidualCoordinates,
    TransformedDensity,
)
from skgmje.conditional import ConditionalMixtureDensity, MixtureNetwork, NeuralGas
from skgmje.costs import COSTS
from skgmje.embedding import (
    LOSSES,
    MLP,
    Encoder,
    GJEEmbedder,
    GJELoss,
    GMJEEmbedder,
    IsotropicKernel,
    KernelDecoder,
)
from skgmje.ensemble import StackingConditionalDensity, StackingDensity
from skgmje.gaussian import COVARIANCE_TYPES
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
from skgmje.outlier import DensityOutlierDetector
from skgmje.utils import all_estimators
from tests.sources import WORDS, make_source

AUTO = {
    "n_components": "auto",
    "covariance_type": "auto",
    "shrinkage": "auto",
    "reg_covar": "auto",
}

# Small enough for the suite's tables of 10 to 200 rows; the one place that says so.
SMALL = {"n_components": 3, "max_iter": 20, "hidden_layer_sizes": (8,)}
STEPS = {"n_components": 3, "max_iter": 20}
CODES = {**STEPS, "generator": Codes(hidden_layer_sizes=(8,))}
NOISE = {**STEPS, "generator": Noise(hidden_layer_sizes=(8,))}

MIXTURES = [
    GaussianMixture(),
    GaussianMixture(**AUTO),
    *(
        GaussianMixture(2, covariance_type=kind, rank=1, shrinkage=2)
        for kind in COVARIANCE_TYPES
    ),
    # The other models; the four above are the rest of the fourteen.
    *(
        GaussianMixture(2, covariance_type=model, shrinkage=2)
        for model in "EII EEI VEI EVI VEE EVE VVE EEV VEV EVV".split()
    ),
    GaussianMixture(9, shrinkage=2, shrinkage_target="neighbors", annealing=0.5),
    GaussianMixture(2, init_params="k-means++", n_init=2),
    GaussianMixture(2, background=True),
    GaussianMixture(2, init_params="auto", shrinkage=2),
    GaussianMixture("auto", covariance_type=["EII"], criterion=["icl", "held-out"]),
]
STUDENTS = [
    StudentMixture(),
    StudentMixture(2, covariance_type="tied", dof="each", shrinkage=2),
    StudentMixture(2, covariance_type="low-rank", rank=1, dof=3.0, shrinkage=2),
    StudentMixture(2, covariance_type="diag", dof=5.0, n_init=2, shrinkage=2),
]
CLASSIFIERS = [
    MixtureClassifier(covariance_type="full", shrinkage=2.0),
    MixtureClassifier(2, covariance_type="diag", shrinkage=2.0, reg_covar=1e-6),
    MixtureClassifier("auto", covariance_type="tied", shrinkage=0),
    MixtureClassifier(covariance_type="low-rank", rank=1),
]
KERNEL_DENSITIES = [
    KernelMixtureDensity(**CODES, covariance_type="full", shrinkage=2.0),
    KernelMixtureDensity(max_iter=20),
    *(
        KernelMixtureDensity(**CODES, cost=cost, covariance_type=kind)
        for cost, kind in zip((*COSTS, "likelihood"), COVARIANCE_TYPES, strict=True)
    ),
    KernelMixtureDensity(**CODES, refine="em", batch_size=16),
    *(KernelMixtureDensity(**CODES, refine=word) for word in ("weights", None)),
    KernelMixtureDensity(**CODES, refine=GaussianMixture(reg_covar="auto")),
    KernelMixtureDensity(**NOISE),
    KernelMixtureDensity(**NOISE, cost="scalar", refine=None),
]
CONDITIONALS = [
    ConditionalMixtureDensity(make_source("network", **SMALL, n_members=2)),
    *(
        ConditionalMixtureDensity(
            make_source(word, max_iter=30, n_members=2, hidden_layer_sizes=(8,))
        )
        for word in WORDS
    ),
]

SMALL_EMBEDDER = {"embedding_dim": 2, "max_iter": 5, "encoder": MLP((8,))}
SMALL_LATENT = {**SMALL_EMBEDDER, "mixture": GaussianMixture(2, shrinkage=2)}
EMBEDDERS = [
    GJEEmbedder(max_iter=5),
    *(GJEEmbedder(**SMALL_EMBEDDER, loss=loss) for loss in LOSSES),
    GJEEmbedder(2, encoder=Encoder(target="ema"), views="neighbors", max_iter=5),
    GJEEmbedder(
        **SMALL_EMBEDDER, output=["multi", "input"], loss=GJELoss(moment_decay=0.5)
    ),
    GJEEmbedder(**{**SMALL_EMBEDDER, "max_iter": 0}),
    GMJEEmbedder(**SMALL_LATENT),
    *(
        GMJEEmbedder(
            **SMALL_EMBEDDER,
            mixture=make_source(word, n_components=2, max_iter=5, n_members=1),
        )
        for word in ("network", "neural-gas", "memory-bank")
    ),
    GMJEEmbedder(**SMALL_LATENT, loss="joint"),
]
SMALL_DECODER = {"code_dim": 2, "max_iter": 5, "hidden_layer_sizes": (8,)}
DECODERS = [
    KernelDecoder(**SMALL_DECODER),
    KernelDecoder(
        **SMALL_DECODER,
        n_centers=3,
        kernel=IsotropicKernel(kappa=0.1),
        n_components="auto",
    ),
    KernelDecoder(**SMALL_DECODER, objective="batch", bounded=False, standardize=True),
]
FAST = {"insertion_interval": 20}
SMALL_GAS = {"max_nodes": 20, "growth": GasGrowth(**FAST), "shrinkage": 2.0}
GASES = [
    GrowingNeuralGasMixture(growth=GasGrowth(**FAST)),
    GrowingNeuralGasMixture("auto", component="cluster", growth=GasGrowth(**FAST)),
    *(
        GrowingNeuralGasMixture(**SMALL_GAS, covariance_type=name)
        for name, kind in COVARIANCE_TYPES.items()
        if not kind.needs_start
    ),
    GrowingNeuralGasMixture(**SMALL_GAS, component="cluster", refine=None),
    GrowingNeuralGasMixture(
        **SMALL_GAS | {"growth": GasGrowth("sequential", settle=False, **FAST)},
        output="distances",
    ),
    GrowingNeuralGasMixture(
        12,
        growth=GasGrowth(utility_threshold=20.0, **FAST),
        device="cpu:0",
        refine=GaussianMixture(covariance_type="diag", shrinkage=2.0, max_iter=20),
    ),
]
TRANSFORMED = [
    TransformedDensity(StandardScaler(), GaussianMixture()),
    TransformedDensity(PowerTransformer(), KernelDensity()),
    TransformedDensity(
        QuantileTransformer(n_quantiles=10, output_distribution="normal"),
        GaussianMixture(covariance_type="diag"),
    ),
    TransformedDensity(
        ColumnTransformer(
            [("power", make_pipeline(StandardScaler(), PowerTransformer()), [0])],
            remainder="passthrough",
        ),
        GaussianMixture(),
    ),
    GaussianMixtureCopula(GaussianMixture()),
]
SMALL_STACK = {**SMALL, "n_members": 2}
STACKS = [
    StackingConditionalDensity([("ridge", Ridge())], **SMALL_STACK),
    StackingConditionalDensity(["gp", "network"], **SMALL_STACK),
    StackingConditionalDensity(["trees", "boosting"], **SMALL_STACK),
    MarginalGaussianizer(),
    ResidualCoordinates(),
    ResidualCoordinates(gaussianize=True, min_gain=0, n_landmarks=20),
    StackingDensity(estimators=[("a", GaussianMixture()), ("b", KernelDensity())]),
]
DETECTORS = [
    DensityOutlierDetector(),
    DensityOutlierDetector(contamination=0.2, max_samples=50, marginal_weight=0),
    DensityOutlierDetector(KernelDensity(kernel="tophat", bandwidth=3.0)),
    DensityOutlierDetector(GaussianMixture(), marginal_weight=1),
    DensityOutlierDetector(TransformedDensity(StandardScaler(), KernelDensity())),
]
IMPUTERS = [
    MixtureImputer(),
    MixtureImputer(GaussianMixture(2, shrinkage=2), add_indicator=True),
    MixtureImputer(GaussianMixture(covariance_type="diag"), strategy="mode"),
    MixtureImputer(strategy="sample", keep_empty_features=True),
]
ESTIMATORS = (
    MIXTURES
    + STUDENTS
    + CLASSIFIERS
    + KERNEL_DENSITIES
    + CONDITIONALS
    + EMBEDDERS
    + DECODERS
    + GASES
    + TRANSFORMED
    + STACKS
    + DETECTORS
    + IMPUTERS
)
# The first setting of each estimator; the others are left to the slow tests.
FIRST = [*{type(e): e for e in reversed(ESTIMATORS)}.values()]
OTHERS = [estimator for estimator in ESTIMATORS if estimator not in FIRST]

# The table of this check is too small for them to draw rows, or not compared.
NO_ROWS_DRAWN = (
    DensityOutlierDetector,
    GJEEmbedder,
    GMJEEmbedder,
    GaussianMixtureCopula,
    KernelDecoder,
    MarginalGaussianizer,
    MixtureImputer,
    ResidualCoordinates,
    StackingDensity,
    TransformedDensity,
)

DRAWS_ROWS = (
    "starts are drawn from the rows (k-means++): weights and copies give other "
    "draws; tests/test_weights.py holds the law that takes its place"
)

ROUNDED_UNITS = (
    "weights and copies are standardized with other roundings, which move the "
    "thresholds of trees; tests/conditional/test_conditional_stack.py holds the law "
    "that takes its place"
)


WEIGHTS_CHECK = "check_sample_weight_equivalence_on_dense_data"


def expected_failures(estimator):
    """Return the one kind of failure that estimators may have."""
    if isinstance(estimator, NO_ROWS_DRAWN):
        return {}
    if isinstance(estimator, StackingConditionalDensity):
        # Copies are weights, but rounded units move the thresholds of trees.
        has_trees = {"trees", "boosting"} & {*map(str, estimator.estimators)}
        return {WEIGHTS_CHECK: ROUNDED_UNITS} if has_trees else {}
    if isinstance(estimator, ConditionalMixtureDensity):
        drawn = isinstance(estimator.source, MixtureNetwork | NeuralGas)
        return {WEIGHTS_CHECK: DRAWS_ROWS} if drawn else {}
    if isinstance(estimator, GrowingNeuralGasMixture):
        # The few rows of this check are one connected component, and of so few the
        # automatic choice takes one, too.
        shrinkage = getattr(estimator.refine, "shrinkage", estimator.shrinkage)
        one = estimator.component == "cluster" or shrinkage == "auto"
        return {} if one else {WEIGHTS_CHECK: DRAWS_ROWS}
    if isinstance(estimator, MixtureClassifier):
        drawn = estimator.n_components_per_class in (2, 3)
        return {WEIGHTS_CHECK: DRAWS_ROWS} if drawn else {}
    # One component needs no start, and the table of this check has too few
    # distinct rows for the automatic choice to take more.
    if estimator.n_components == "auto":
        return {}
    plain = isinstance(estimator, GaussianMixture | StudentMixture)
    if plain and estimator.n_components == 1:
        return {}
    return {WEIGHTS_CHECK: DRAWS_ROWS}


pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        ":sklearn.exceptions.ConvergenceWarning",
        ":skgmje.embedding.CollapseWarning",
        "cost=.*compares operators:UserWarning",
        "Only .* pairs of a sample:UserWarning",
        ".*of the values of target:UserWarning",
        "StackingDensity. .*columns:UserWarning",
        # Some checks fit 27 samples of 30 features, columns of two values, or samples
        # about 100, of which it is right to warn.
        "n_samples=.* are few:UserWarning",
        "background=True. .*:UserWarning",
        ".*many of the values of columns:UserWarning",
        "y has no values but -1 and 1:UserWarning",
        # scikit-learn's checks set n_components=1.
        "criterion=.*chooses nothing:UserWarning",
        "PowerTransformer.* loses what tells samples apart:UserWarning",
    )
]


# What the class decides, or the reading of its input, before any setting is asked. The
# first setting of a class has all checks, the others and its defaults all but these.
OF_CLASSES = {
    f"check_{name}"
    for name in """
    complex_data do_not_raise_errors_in_init_or_set_params dtype_object
    estimator_sparse_array estimator_sparse_matrix estimator_sparse_tag
    estimator_tags_renamed estimators_empty_data_messages estimators_fit_returns_self
    estimators_partial_fit_n_features regressors_no_decision_function
    estimators_unfitted fit1d fit2d_predict1d fit_check_is_fitted fit_score_takes_y
    mixin_order n_features_in n_features_in_after_fitting no_attributes_set_in_init
    parameters_default_constructible positive_only_tag_during_fit
    sample_weights_list sample_weights_not_an_array sample_weights_pandas_series
    sample_weights_shape supervised_y_2d supervised_y_no_nan requires_y_none
    array_api_input pipeline_consistency regressors_int
    classifier_data_not_an_array regressor_data_not_an_array
    transformer_data_not_an_array transformers_unfitted valid_tag_types
    """.split()
}


def may_depend_on_settings(check):
    """Tell whether a check may fail in one setting of a class only."""
    name = check.func.__name__
    # check_readonly_memmap_input asks the same of each setting.
    again = check.keywords.get("readonly_memmap") and name != "check_estimators_pickle"
    return name not in OF_CLASSES and not again


def by_checks(estimators, wanted=lambda check: True):
    """Return the parametrization by those of scikit-learn's checks that are wanted."""
    mark = parametrize_with_checks(estimators, expected_failed_checks=expected_failures)
    names, cases = mark.args
    # A case that is expected to fail has its values in an attribute.
    pairs = [(case, getattr(case, "values", case)[1]) for case in cases]
    chosen = [case for case, check in pairs if wanted(check)]
    # The name of an estimator takes longer to make than many a check.
    return pytest.mark.parametrize(names, chosen, ids=cache(mark.kwargs["ids"]))


@by_checks(FIRST)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@by_checks(OTHERS, may_depend_on_settings)
def test_scikit_learn_checks_of_other_settings(estimator, check):
    check(estimator)


def with_defaults(cls):
    """Return an estimator with nothing but the arguments that it requires."""
    required = (StandardScaler(), GaussianMixture())
    return cls(*required) if cls is TransformedDensity else cls()


CHECKED = {*map(repr, ESTIMATORS)}
DEFAULTS = [with_defaults(cls) for _, cls in all_estimators()]
DEFAULTS = [estimator for estimator in DEFAULTS if repr(estimator) not in CHECKED]


@pytest.mark.slow
@by_checks(DEFAULTS, may_depend_on_settings)
def test_scikit_learn_checks_of_default_settings(estimator, check):
    check(estimator)


def test_every_public_estimator_is_checked():
    checked = {type(estimator) for estimator in ESTIMATORS}
    assert checked == {cls for _, cls in all_estimators()}

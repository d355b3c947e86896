"""Classes that a file may hold, by the names that stand in it."""

import importlib

CLASSES = {
    # Public estimators
    "ConditionalMixtureDensity": (
        "skgmje.conditional._conditional_mixture.ConditionalMixtureDensity"
    ),
    "DensityOutlierDetector": "skgmje.outlier._detector.DensityOutlierDetector",
    "GJEEmbedder": "skgmje.embedding._gmje.GJEEmbedder",
    "GMJEEmbedder": "skgmje.embedding._gmje.GMJEEmbedder",
    "GaussianMixture": "skgmje.mixture._gaussian_mixture.GaussianMixture",
    "GaussianMixtureCopula": "skgmje.compose._transformed.GaussianMixtureCopula",
    "GrowingNeuralGasMixture": (
        "skgmje.mixture._neural_gas_mixture.GrowingNeuralGasMixture"
    ),
    "KernelDecoder": "skgmje.embedding._decoder.KernelDecoder",
    "KernelMixtureDensity": "skgmje.mixture._kernel_mixture.KernelMixtureDensity",
    "MixtureClassifier": "skgmje.mixture._classifier.MixtureClassifier",
    "MixtureImputer": "skgmje.impute._imputer.MixtureImputer",
    "MarginalGaussianizer": (
        "skgmje.compose._marginal_gaussianizer.MarginalGaussianizer"
    ),
    "ResidualCoordinates": "skgmje.compose._residual_coordinates.ResidualCoordinates",
    "StackingConditionalDensity": (
        "skgmje.conditional._stack.StackingConditionalDensity"
    ),
    "StackingDensity": "skgmje.ensemble._stacking_density.StackingDensity",
    "StudentMixture": "skgmje.mixture._student_mixture.StudentMixture",
    "TransformedDensity": "skgmje.compose._transformed.TransformedDensity",
    # Options of their parts
    **{
        name: f"skgmje.embedding._embedder_options.{name}"
        for name in ("ConvNet", "Encoder", "GJELoss", "JointLoss", "MLP", "SIGRegLoss")
    },
    "IsotropicKernel": "skgmje.embedding._decoder_cost.IsotropicKernel",
    "PatchKernel": "skgmje.embedding._decoder_cost.PatchKernel",
    "MemoryBank": "skgmje.conditional._joint_sources.MemoryBank",
    "MixtureNetwork": "skgmje.conditional._network_sources.MixtureNetwork",
    "NeuralGas": "skgmje.conditional._joint_sources.NeuralGas",
    "TrainedModule": "skgmje.conditional._network_sources.TrainedModule",
    "Codes": "skgmje.mixture._kernel_generators.Codes",
    "GasGrowth": "skgmje.mixture._gas_growth.GasGrowth",
    "Noise": "skgmje.mixture._kernel_generators.Noise",
    # Values that they are made of
    "Blend": "skgmje.conditional._stack_model.Blend",
    "Boosted": "skgmje.conditional._member_trees.Boosted",
    "BoostingMember": "skgmje.conditional._member_trees.BoostingMember",
    "Bandwidths": "skgmje.gaussian._grams.Bandwidths",
    "Calibration": "skgmje.conditional._stack_model.Calibration",
    "Forest": "skgmje.conditional._member_trees.Forest",
    "ForestMember": "skgmje.conditional._member_trees.ForestMember",
    "JointMember": "skgmje.conditional._members.JointMember",
    "NetworkMember": "skgmje.conditional._members.NetworkMember",
    "Process": "skgmje.conditional._member_process.Process",
    "ProcessMember": "skgmje.conditional._member_process.ProcessMember",
    "StackNetwork": "skgmje.conditional._stack_model.StackNetwork",
    "StackedConditional": "skgmje.conditional._stack_model.StackedConditional",
    "TargetLogarithm": "skgmje.conditional._member_process.Logarithm",
    "TreeNodes": "skgmje.conditional._member_trees.Nodes",
    "AutomaticMixture": "skgmje.impute._imputer.AutomaticMixture",
    "AugmentedViews": "skgmje.embedding._views.AugmentedViews",
    "Coordinates": "skgmje.outlier._union.Coordinates",
    "ColumnDensity": "skgmje.compose._marginal_gaussianizer.ColumnDensity",
    "ColumnShift": "skgmje.compose._marginal_gaussianizer.Shift",
    "ImageAugmentation": "skgmje.embedding._views.ImageAugmentation",
    "ImageFormat": "skgmje.embedding._views.ImageFormat",
    "GasState": "skgmje.neural_gas._state.GasState",
    "GivenViews": "skgmje.embedding._views.GivenViews",
    "JointConditional": "skgmje.conditional._models.JointConditional",
    "KernelRidge": "skgmje.compose._residual_coordinates.KernelRidge",
    "LatentDensity": "skgmje.embedding._base.LatentDensity",
    "Mixture": "skgmje.gaussian._mixture.Mixture",
    "ModuleConditional": "skgmje.conditional._torch_sources.ModuleConditional",
    "NeighborViews": "skgmje.embedding._views.NeighborViews",
    "NetworkConditional": "skgmje.conditional._models.NetworkConditional",
    "PairMoments": "skgmje.embedding._views.PairMoments",
    "Patches": "skgmje.embedding._decoder_cost.Patches",
    "PooledConditional": "skgmje.conditional._models.PooledConditional",
    "RemovedColumn": "skgmje.compose._residual_coordinates.RemovedColumn",
    "Selection": "skgmje.em._select.Selection",
    "Statistics": "skgmje.gaussian._covariance_type.Statistics",
    "UnionDensity": "skgmje.outlier._union.UnionDensity",
    "Units": "skgmje._standardize.Standardization",
    # scikit-learn's, as parts of compositions
    "sklearn.BayesianGaussianMixture": (
        "sklearn.mixture._bayesian_mixture.BayesianGaussianMixture"
    ),
    "sklearn.ColumnTransformer": (
        "sklearn.compose._column_transformer.ColumnTransformer"
    ),
    "sklearn.FunctionTransformer": (
        "sklearn.preprocessing._function_transformer.FunctionTransformer"
    ),
    "sklearn.GaussianMixture": "sklearn.mixture._gaussian_mixture.GaussianMixture",
    "sklearn.MaxAbsScaler": "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.MinMaxScaler": "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.PCA": "sklearn.decomposition._pca.PCA",
    "sklearn.Pipeline": "sklearn.pipeline.Pipeline",
    "sklearn.PowerTransformer": "sklearn.preprocessing._data.PowerTransformer",
    "sklearn.QuantileTransformer": "sklearn.preprocessing._data.QuantileTransformer",
    "sklearn.RobustScaler": "sklearn.preprocessing._data.RobustScaler",
    "sklearn.StandardScaler": "sklearn.preprocessing._data.StandardScaler",
}

_NAMES = {path: name for name, path in CLASSES.items()}


def name_of(cls):
    """Return the name of a class in files, or None if it has none."""
    return _NAMES.get(f"{cls.__module__}.{cls.__qualname__}")


def class_of(name):
    """Return the class that a name in a file stands for."""
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f"it holds {str(name)[:80]!r}, which this version of skgmje does not know"
        )
    module, _, attribute = CLASSES[name].rpartition(".")
    return getattr(importlib.import_module(module), attribute)

"""The classes that a file may hold, by the names that stand in it.

A name stays for ever, wherever its class moves. Nothing else is ever made when
a file is read.
"""

import importlib

CLASSES = {
    # Public estimators
    "ConditionalMixtureDensity": (
        "skgmje.mixture._conditional_mixture.ConditionalMixtureDensity"
    ),
    "DensityOutlierDetector": "skgmje.outlier._detector.DensityOutlierDetector",
    "GJEEmbedder": "skgmje.embedding._gje.GJEEmbedder",
    "GMJEEmbedder": "skgmje.embedding._gmje.GMJEEmbedder",
    "GaussianMixture": "skgmje.mixture._gaussian_mixture.GaussianMixture",
    "GrowingNeuralGasMixture": (
        "skgmje.mixture._neural_gas_mixture.GrowingNeuralGasMixture"
    ),
    "KernelDecoder": "skgmje.embedding._decoder.KernelDecoder",
    "KernelMixtureDensity": "skgmje.mixture._kernel_mixture.KernelMixtureDensity",
    "MarginalGaussianizer": (
        "skgmje.compose._marginal_gaussianizer.MarginalGaussianizer"
    ),
    "ResidualCoordinates": ("skgmje.compose._residual_coordinates.ResidualCoordinates"),
    "StackingConditionalDensity": (
        "skgmje.ensemble._conditional.StackingConditionalDensity"
    ),
    "StackingDensity": "skgmje.ensemble._stacking_density.StackingDensity",
    "TransformedDensity": "skgmje.compose._transformed.TransformedDensity",
    # Values that they are made of
    "Blend": "skgmje.ensemble._conditional_network.Blend",
    "Boosted": "skgmje.ensemble._experts_models.Boosted",
    "BoostingExpert": "skgmje.ensemble._experts_models.BoostingExpert",
    "Calibration": "skgmje.ensemble._conditional_calibration.Calibration",
    "Forest": "skgmje.ensemble._experts_trees.Forest",
    "ForestExpert": "skgmje.ensemble._experts_trees.ForestExpert",
    "JointExpert": "skgmje.ensemble._experts_joint.JointExpert",
    "NetworkExpert": "skgmje.ensemble._experts_models.NetworkExpert",
    "Process": "skgmje.ensemble._experts_gp.Process",
    "ProcessExpert": "skgmje.ensemble._experts_gp.ProcessExpert",
    "StackNetwork": "skgmje.ensemble._conditional_network.StackNetwork",
    "StackedConditional": "skgmje.ensemble._conditional_model.StackedConditional",
    "TargetLogarithm": "skgmje.ensemble._experts_gp.Logarithm",
    "TreeNodes": "skgmje.ensemble._experts.Nodes",
    "AugmentedViews": "skgmje.embedding._views.AugmentedViews",
    "Coordinates": "skgmje.outlier._coordinates.Coordinates",
    "ColumnDensity": "skgmje.compose._column_density.ColumnDensity",
    "ColumnShift": "skgmje.compose._column_density.Shift",
    "ImageAugmentation": "skgmje.embedding._augmentation.ImageAugmentation",
    "ImageFormat": "skgmje.embedding._images.ImageFormat",
    "GasState": "skgmje.adaptation._neural_gas.GasState",
    "GivenViews": "skgmje.embedding._views.GivenViews",
    "JointConditional": "skgmje._joint._models.JointConditional",
    "KernelRidge": "skgmje.compose._kernel_ridge.KernelRidge",
    "LatentDensity": "skgmje.embedding._density.LatentDensity",
    "Mixture": "skgmje.gaussian._mixture.Mixture",
    "ModuleConditional": "skgmje._joint._module.ModuleConditional",
    "NeighborViews": "skgmje.embedding._views.NeighborViews",
    "NetworkConditional": "skgmje._joint._network.NetworkConditional",
    "PairMoments": "skgmje.embedding._density.PairMoments",
    "Patches": "skgmje.embedding._decoder_cost.Patches",
    "PooledConditional": "skgmje._joint._pool.PooledConditional",
    "RemovedColumn": "skgmje.compose._residual_coordinates.RemovedColumn",
    "Selection": "skgmje._selection.Selection",
    "Statistics": "skgmje._kernels._kernel.Statistics",
    "UnionDensity": "skgmje.outlier._union.UnionDensity",
    "Units": "skgmje._units.Units",
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
    """Return the class that a name in a file stands for.

    Raises
    ------
    ValueError
        If the name stands for none.
    """
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f"it holds {str(name)[:80]!r}, which this version of skgmje does not know"
        )
    module, _, attribute = CLASSES[name].rpartition(".")
    return getattr(importlib.import_module(module), attribute)

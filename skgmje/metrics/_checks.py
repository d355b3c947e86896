"""Checks and averages that all metrics share."""

import numpy as np
from sklearn.utils.validation import check_array

from skgmje._base import as_mixture, check_weights


def check_pair(mixture, y):
    """Return a mixture of NumPy arrays and targets (n_samples, n_features).

    Raises
    ------
    ValueError
        If the targets are not finite numbers, or do not fit the mixture.
    """
    mixture = as_mixture(mixture).to_numpy()
    targets = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    columns = targets[:, None] if targets.ndim == 1 else targets
    leading = mixture.means.shape[:-2]
    if columns.shape[1] != mixture.n_features:
        raise ValueError(
            f"y has shape {targets.shape} but the mixture has {mixture.n_features} "
            "features. Give one column for each of them."
        )
    if leading and leading != (len(columns),):
        raise ValueError(
            f"y has {len(columns)} rows but the mixture has leading axes {leading}. "
            "Give one mixture for each row, or one for all."
        )
    return mixture, columns


def like_targets(values, y):
    """Return scores (n_samples, n_features) in the number of axes that `y` has."""
    return values[:, 0] if np.ndim(y) == 1 else values


def each_column(function, mixture, columns):
    """Apply `function` to the marginal and the values of each target."""
    return np.stack(
        [
            function(mixture.marginal([j]), columns[:, j])
            for j in range(mixture.n_features)
        ],
        axis=1,
    )


def average_rows(values, sample_weight):
    """Return the weighted mean over the first axis."""
    return np.average(values, axis=0, weights=check_weights(sample_weight, values))


def average_outputs(values, multioutput):
    """Combine scores of the targets, as scikit-learn's metrics of regression do."""
    if isinstance(multioutput, str):
        if multioutput not in ("raw_values", "uniform_average"):
            raise ValueError(
                f"multioutput={multioutput!r}; choose 'raw_values', "
                "'uniform_average' or give weights of the targets."
            )
        return values if multioutput == "raw_values" else float(np.mean(values))
    weights = np.asarray(multioutput, np.float64)
    if weights.shape != values.shape:
        raise ValueError(
            f"multioutput has shape {weights.shape}; give {len(values)} weights, one "
            "for each target."
        )
    return float(np.average(values, weights=weights))

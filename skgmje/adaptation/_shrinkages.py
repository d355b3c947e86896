"""Covariance types and pseudo-counts that automatic settings try."""

from skgmje._kernels._kernel import FEW_ROWS_PER_FEATURE

# Candidates of covariance_type="auto" with the pseudo-counts worth trying:
# moderate shrinkage hardly changes few parameters, and none changes a tied type.
SHRINKAGES = {
    "full": (0.0, 2.0, 20.0, 100.0),
    "tied": (0.0,),
    "diag": (2.0,),
    "spherical": (2.0,),
    "low-rank": (2.0, 20.0),
}
AUTO_TYPES = ("full", "tied", "diag", "spherical")

# The same below ten rows per feature, where pseudo-counts shrink correlations, too.
FEW_SHRINKAGES = {
    "full": (0.0, 2.0, 20.0, 100.0, 1000.0),
    "tied": (0.0, 2.0, 20.0, 1000.0),
    "low-rank": (2.0, 20.0, 100.0, 1000.0),
}
# So few held-out rows often prefer what fits by chance: correlations, or equal scales.
FEWEST_ROWS, FEWEST_SHRINKAGE = 10, 20.0


def shrinkage_grid(covariance_type, n_rows, n_features):
    """Return the pseudo-counts worth trying for so many rows to fit.

    Parameters
    ----------
    covariance_type : str
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`.

    n_rows : int
        Number of distinct rows.

    n_features : int
        Number of features.

    Returns
    -------
    shrinkages : tuple of float
        Ascending; where rows are few, without those that trust chance correlations.
    """
    grid = SHRINKAGES[covariance_type]
    if n_features == 1 or n_rows >= FEW_ROWS_PER_FEATURE * n_features:
        return grid
    least = _least_shrinkage(covariance_type, n_rows, n_features)
    grid = FEW_SHRINKAGES.get(covariance_type, grid)
    return tuple(s for s in grid if s >= least)


def _least_shrinkage(covariance_type, n_rows, n_features):
    """Return the smallest pseudo-count that so few rows leave any hope to."""
    if covariance_type not in FEW_SHRINKAGES or n_features == 1:
        return 0.0
    if n_rows < min(FEWEST_ROWS, FEW_ROWS_PER_FEATURE * n_features):
        return FEWEST_SHRINKAGE
    # Plain covariances of n rows cost about n / (n - d - 2) times what true ones do.
    return 2.0 if n_rows < 2 * (n_features + 4) else 0.0


def candidate_settings(covariance_type, shrinkage, n_rows, n_features):
    """List pairs of a covariance type and a pseudo-count that are to be tried.

    Parameters
    ----------
    covariance_type : str
        Covariance type, or 'auto'.

    shrinkage : float or 'auto'
        Pseudo-count of the shrinkage target.

    n_rows : int
        Number of distinct rows to fit.

    n_features : int
        Number of features.

    Returns
    -------
    settings : list of (str, float)
        What is fixed is in all of them.
    """
    types = (covariance_type,)
    if covariance_type == "auto":
        types = AUTO_TYPES if n_features > 1 else ("full",)
        if n_features > 1 and n_rows < FEWEST_ROWS:
            types = types[:-1]
    if shrinkage == "auto":
        return [
            (kind, count)
            for kind in types
            for count in shrinkage_grid(kind, n_rows, n_features)
        ]
    return [
        (kind, float(shrinkage))
        for kind in types
        if covariance_type != "auto"
        or shrinkage >= _least_shrinkage(kind, n_rows, n_features)
    ]

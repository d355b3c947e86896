"""The density of codes that new rows are decoded from."""

import numpy as np

from skgmje._selection import ROWS_PER_COMPONENT, kmeans_labels, select_mixture
from skgmje.adaptation import EMResult, expectation_maximization, start_mixture

_KIND = "full"
# Rows that each component borrows from all, and a floor, in standard units.
_SHRINKAGE = 2.0
_PRIOR = {"shrinkage": _SHRINKAGE, "reg_covar": 1e-4}
_N_STEPS = 200
# Codes are trained to have unit variance; what varies less is rounding.
_LEAST_STD = 1e-4


def fit_codes(codes, n_components, random_state, task):
    """Fit a mixture to codes by expectation-maximisation.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, code_dim)
        Codes.

    n_components : int or 'auto'
        Number of components, of which each has eight rows at least; 'auto' takes
        what held-out likelihood says.

    random_state : RandomState instance
        Source of starts and folds.

    task : FitTask
        Its `when` tells whether Ctrl-C has come; 'auto' is then one component.

    Returns
    -------
    mixture : Mixture
        Their density.

    trouble : str
        What a user should know, in a sentence; empty if all is well.
    """
    loc, scale = codes.mean(axis=0), codes.std(axis=0)
    varies = scale > _LEAST_STD
    scale = np.where(varies, scale, _LEAST_STD)
    rows = np.where(varies, (codes - loc) / scale, 0.0)
    start = None
    if n_components == "auto" and task.when:
        n_components = 1
    if n_components == "auto":
        kind = {"covariance_type": _KIND}
        chosen = select_mixture(rows, random_state=random_state, **kind, **_PRIOR)
        n_components, start = chosen.n_components, chosen.start
    if start is None:
        size = max(1, min(n_components, len(rows) // ROWS_PER_COMPONENT))
        seed = random_state.randint(2**31 - 1)
        labels = kmeans_labels(rows, size, random_state=seed)
        start = start_mixture(rows, labels, _KIND, **_PRIOR)
    steps = {"max_iter": _N_STEPS, **_PRIOR}
    result = task.learn(EMResult, expectation_maximization, rows, start, **steps)
    trouble = ""
    if not result.converged:
        trouble = (
            f"The mixture of codes did not converge in {_N_STEPS} steps. Decrease "
            "n_components."
        )
    return result.mixture.affine(scale, loc), trouble

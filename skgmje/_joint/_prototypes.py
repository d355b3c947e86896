"""Joint mixtures by EM: the prototypes and their closed-form conditional."""

import numpy as np

from skgmje._interrupt import learn_then
from skgmje._joint._models import Fit, JointConditional, conditional_log_prob
from skgmje._selection import kmeans_labels, select_mixture
from skgmje.adaptation import EMResult, expectation_maximization, start_mixture

# A row of many features tells little about one component of many.
GRID = (1, 2, 3, 5, 8, 12, 20, 30, 50)
SMALL_GRID = (1, 2, 3, 5, 8)
MANY_FEATURES = 4
MAX_ITER = 100


def fit_prototypes(X, Y, settings, sample_weight=None, random_state=None):
    r"""Fit a joint mixture by EM, its settings by held-out *conditional* density.

    .. math:: p(y | x) = \sum_k \gamma_k(x) N(y; m_k(x), V_k)

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts; NaN means missing.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    settings : Settings
        Of these, the number of components, covariance type and shrinkage may be
        'auto'.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of folds and starts.

    Returns
    -------
    fit : Fit
        A :class:`JointConditional`.
    """
    rows = np.hstack([X, Y])
    n_context = X.shape[1]
    grid = GRID if rows.shape[1] <= MANY_FEATURES else SMALL_GRID
    steps = {
        "tol": settings.tol,
        "max_iter": MAX_ITER if settings.max_iter == "auto" else settings.max_iter,
    }
    prior = {"sample_weight": sample_weight, "reg_covar": settings.reg_covar}
    selection = select_mixture(
        rows,
        n_components=settings.n_components,
        covariance_type=settings.covariance_type,
        shrinkage=settings.shrinkage,
        random_state=random_state,
        n_components_grid=grid,
        judge=lambda mixture, held: conditional_log_prob(mixture, held, n_context),
        **prior,
        **steps,
    )
    prior["shrinkage"] = selection.shrinkage
    start = selection.start
    if start is None:
        labels = kmeans_labels(
            rows,
            selection.n_components,
            sample_weight=sample_weight,
            random_state=random_state.randint(2**31 - 1),
            scale=True,
        )
        start = start_mixture(rows, labels, selection.covariance_type, **prior)
    info = {"cv_results": selection.cv_results, "shrinkage": selection.shrinkage}

    def describe(result):
        model = JointConditional(result.mixture, n_context)
        return Fit(model, selection.held_out, info | {"n_iter": result.n_iter})

    return learn_then(
        describe, EMResult, expectation_maximization, rows, start, **prior, **steps
    )

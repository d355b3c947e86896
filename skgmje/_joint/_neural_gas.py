"""Joint mixtures that begin as a growing neural gas."""

import numpy as np

from skgmje._backend import asarray_like, is_torch, namespace
from skgmje._interrupt import learn_then
from skgmje._joint._choice import choose
from skgmje._joint._models import Fit, JointConditional
from skgmje._joint._prototypes import fit_prototypes
from skgmje._selection import ROWS_PER_COMPONENT
from skgmje.adaptation import (
    EMResult,
    adapt_gas,
    expectation_maximization,
    gas_labels,
    gas_mixture,
    refine_gas,
    start_gas,
    start_mixture,
)
from skgmje.adaptation._e_step import missing_moments

GRID = (2, 3, 5, 8, 12, 20, 30, 50)
SHRINKAGES = (2.0, 20.0)
MAX_ITER = 100

# A node needs this many draws to find its place; one comes after every third of
# them, so that all are there long before the end.
DRAWS_PER_NODE = 150
INSERTION_INTERVAL = 50


def fit_neural_gas(X, Y, settings, sample_weight=None, random_state=None):
    r"""Fit a joint mixture by EM from the nodes of a growing neural gas.

    The gas sees rows of contexts and targets, drawn at random, and settles on all;
    its nodes and the rows around them start EM with shrunken covariances. The
    numbers of nodes are compared by the conditional density of held-out rows.

    Parameters
    ----------
    X : array of shape (n_samples, n_context)
        Contexts; NaN means missing, which the gas takes for the mean. Tensors stay
        on their device, and have no missing entries.

    Y : array of shape (n_samples, n_targets)
        Targets, of the same library.

    settings : Settings
        Of these, the number of components (of nodes) and the shrinkage may be
        'auto'; the covariance type 'auto' is 'full'.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of folds and draws.

    Returns
    -------
    fit : Fit
        A :class:`JointConditional`.

    Notes
    -----
    A gas has two nodes or more: one component is a Gaussian without it.

    References
    ----------
    .. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.
    """
    if settings.n_components == 1:
        return fit_prototypes(X, Y, settings, sample_weight, random_state)
    rows = namespace(X, Y).concat([X, Y], axis=1)
    # Of all rows: a fold may lack all values of a feature.
    moments = None if is_torch(rows) else missing_moments(rows, sample_weight)

    def candidates(rows, sample_weight, random_state):
        for size in _sizes(settings.n_components, len(rows)):
            gas = _grow(rows, size, sample_weight, random_state)
            for shrinkage in _shrinkages(settings.shrinkage):
                result = _polish(gas, rows, shrinkage, settings, sample_weight, moments)
                params = {"n_components": size, "shrinkage": shrinkage}
                yield params, result.mixture

    size, shrinkage = settings.n_components, settings.shrinkage
    held_out, info = None, {}
    if settings.judged or "auto" in (size, shrinkage):
        choice = choose(candidates, rows, X.shape[1], sample_weight, random_state)
        size, shrinkage = choice.params.values()
        held_out, info["cv_results"] = choice.held_out, choice.cv_results
    gas = _grow(rows, size, sample_weight, random_state)

    def describe(result):
        more = {"n_iter": result.n_iter, "shrinkage": shrinkage}
        return Fit(JointConditional(result.mixture, X.shape[1]), held_out, info | more)

    data = gas, rows, shrinkage, settings, sample_weight, moments
    return learn_then(describe, EMResult, _polish, *data)


def _sizes(n_components, n_rows):
    if n_components != "auto":
        return (n_components,)
    return [k for k in GRID if k * ROWS_PER_COMPONENT <= n_rows] or GRID[:1]


def _shrinkages(shrinkage):
    return SHRINKAGES if shrinkage == "auto" else (float(shrinkage),)


def _grow(rows, size, sample_weight, random_state):
    """Return a gas of `size` nodes that has seen rows at random."""
    share = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(len(rows), DRAWS_PER_NODE * size, p=share)
    if not is_torch(rows):
        # In standardised units the mean is zero.
        rows = np.nan_to_num(rows)
    gas = adapt_gas(
        start_gas(rows[drawn[:2]]),
        rows[drawn],
        max_nodes=size,
        insertion_interval=INSERTION_INTERVAL,
    )
    if sample_weight is not None:
        sample_weight = asarray_like(sample_weight, rows)
    return refine_gas(gas, rows, sample_weight=sample_weight, n_rounds=0)


def _polish(gas, rows, shrinkage, settings, sample_weight, moments):
    """Return the result of EM from the gas."""
    kind = settings.covariance_type
    if sample_weight is not None:
        sample_weight = asarray_like(sample_weight, rows)
    prior = {
        "shrinkage": shrinkage,
        "reg_covar": settings.reg_covar,
        "sample_weight": sample_weight,
    }
    kind = "full" if kind == "auto" else kind
    if is_torch(rows):
        start = gas_mixture(gas, rows, kind, **prior)
    else:
        labels = gas_labels(gas, np.nan_to_num(rows), sample_weight=sample_weight)
        start = start_mixture(rows, labels, kind, moments=moments, **prior)
    max_iter = MAX_ITER if settings.max_iter == "auto" else settings.max_iter
    return expectation_maximization(
        rows, start, tol=settings.tol, max_iter=max_iter, **prior
    )

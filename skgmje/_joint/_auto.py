"""A joint mixture and networks, pooled by what each predicts of held-out rows."""

from dataclasses import replace

import numpy as np

from skgmje._backend import logsumexp
from skgmje._joint._models import Fit
from skgmje._joint._network import fit_network
from skgmje._joint._pool import PooledConditional, pool_weights
from skgmje._joint._prototypes import fit_prototypes

# Networks learn nothing from fewer rows.
FEWEST_ROWS = 40


def fit_auto(X, Y, settings, sample_weight=None, random_state=None):
    r"""Pool the closed-form conditional and the networks by held-out density.

    .. math:: p(y | x) = \sum_j v_j\, p_j(y | x), \qquad
        v = \arg\max_v \sum_i \log \sum_j v_j\, p_j^{(-i)}(y_i | x_i)

    With missing contexts or fewer than 40 rows it is the joint mixture alone.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts; NaN means missing.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    settings : Settings
        Of both.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of randomness.

    Returns
    -------
    fit : Fit
        A :class:`PooledConditional`, or the only one of weight.
    """
    settings = replace(settings, judged=True)
    joint = fit_prototypes(X, Y, settings, sample_weight, random_state)
    if len(X) < FEWEST_ROWS or np.isnan(X).any():
        return joint
    network = fit_network(X, Y, settings, sample_weight, random_state)
    held_out = np.stack([joint.held_out, network.held_out], axis=1)
    judged = np.isfinite(held_out).all(axis=1)
    row_weight = None if sample_weight is None else sample_weight[judged]
    weights = pool_weights(held_out[judged], row_weight)
    info = joint.info | network.info
    info["pool_weights"] = dict(zip(("prototypes", "network"), weights, strict=True))
    model = PooledConditional(weights, (joint.model, network.model))
    trouble = " ".join(filter(None, (joint.trouble, network.trouble)))
    used = np.flatnonzero(weights)
    log_prob = logsumexp(held_out[:, used] + np.log(weights[used]), axis=1)
    return Fit(model, log_prob, info, trouble)

"""Fits of every source of components; imports torch."""

from dataclasses import replace

import numpy as np

from skgmje._backend import logsumexp
from skgmje._interrupt import Interrupted, Work
from skgmje.conditional._joint import fit_memory_bank, fit_neural_gas, fit_prototypes
from skgmje.conditional._models import Fit, PooledConditional
from skgmje.conditional._module_source import fit_module
from skgmje.conditional._network_fit import N_FOLDS, fit_network
from skgmje.em._pooling import pool_weights

# Fewer held-out rows do not tell which source is better.
FEWEST_ROWS = 20


# Rows that are enough to estimate the gain.
MOST_ROWS = 2000


NAMES = ("prototypes", "network")


# Models of less weight cost more time than they are worth.
POOLING = {"least": 0.02, "max_iter": 1000, "take_last": False}


def fit_auto(X, Y, settings, sample_weight=None, random_state=None):
    """Pool the closed-form conditional and the networks by held-out density."""
    settings = replace(settings, judged=True)
    work = Work()
    data = X, Y, settings, sample_weight, random_state
    joint = work.learn(Fit, fit_prototypes, *data)
    n_distinct = len(np.unique(np.hstack([X, Y]), axis=0))
    if work.when or n_distinct < FEWEST_ROWS or np.isnan(X).any():
        return work.end(lambda: joint)
    try:
        network = work.learn(Fit, fit_network, *data)
    except KeyboardInterrupt as stop:
        raise Interrupted("before a network had learned", joint) from stop
    return work.end(_pool, joint, network, X, sample_weight, random_state)


def _pool(joint, network, X, sample_weight, random_state):
    """Weigh the two by what they say of held-out rows."""
    held_out = np.stack([joint.held_out, network.held_out], axis=1)
    judged = np.isfinite(held_out).all(axis=1)
    row_weight = None if sample_weight is None else sample_weight[judged]
    gains = 0.0, pooling_gain(network.model, X, random_state)
    weights = pool_weights(held_out[judged] + gains, row_weight, **POOLING)
    info = joint.info | network.info
    info["pool_weights"] = dict(zip(NAMES, weights.tolist(), strict=True))
    model = PooledConditional(weights, (joint.model, network.model))
    trouble = " ".join(filter(None, (joint.trouble, network.trouble)))
    used = np.flatnonzero(weights)
    log_prob = logsumexp(held_out[:, used] + np.log(weights[used]), axis=1)
    return Fit(model, log_prob, info, trouble)


def pooling_gain(network, X, random_state):
    """Return what the members gain over those that judge a row, in nats."""
    n_members = len(network.skip)
    if n_members == 1:
        return 0.0
    rows = random_state.permutation(len(X))[:MOST_ROWS]
    # More members than folds: several judge each row.
    part = (min(N_FOLDS, n_members) - 1) / (n_members - 1)
    return part * network.gain(X[rows], random_state)


def fit_joint(source, X, Y, settings, sample_weight=None, random_state=None):
    """Fit a conditional density."""
    if isinstance(source, str):
        fit = JOINT_FITS[source]
        return fit(X, Y, settings, sample_weight, random_state)
    return fit_module(source, X, Y, settings, sample_weight, random_state)


JOINT_FITS = {
    "auto": fit_auto,
    "memory-bank": fit_memory_bank,
    "network": fit_network,
    "neural-gas": fit_neural_gas,
    "prototypes": fit_prototypes,
}

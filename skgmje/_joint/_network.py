"""Mixture density networks as conditional densities; only their fit needs torch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skgmje._backend import as_double, logsumexp
from skgmje._interrupt import learn_then
from skgmje._joint._models import Conditional, Fit
from skgmje.gaussian._heads import join_members, perceptrons, split_outputs

# More targets are learned by heart sooner, and by more components.
N_COMPONENTS = 5
MANY_TARGETS = 8
N_FOLDS = 5
# Contexts further out, in standard deviations, are taken as this far.
FARTHEST = 8.0
# Rows whose outputs are computed at a time.
CHUNK_ROWS = 4096
# Of a row: where one member fails worse, what it is pooled with helps as much.
LARGEST_GAIN = 1.0
# A network has no tied or spherical components; these are the next wider ones.
COVARIANCE_TYPES = {
    "auto": "full",
    "diag": "diag",
    "full": "full",
    "low-rank": "full",
    "spherical": "diag",
    "tied": "full",
}


@dataclass(frozen=True)
class NetworkConditional(Conditional):
    """The trained members of a :class:`MixtureDensityNetwork`, as arrays.

    Parameters
    ----------
    weights : tuple of ndarrays of shape (n_members, n_in, n_out)
        Matrices of the layers.

    biases : tuple of ndarrays of shape (n_members, 1, n_out)
        Biases of the layers.

    skip : ndarray of shape (n_members, n_context, n_outputs)
        The linear part.

    n_components : int
        Number of components of each member.

    n_targets : int
        Number of targets.

    min_scale : float
        Smallest standard deviation of a component.
    """

    weights: tuple
    biases: tuple
    skip: Any
    n_components: int
    n_targets: int
    min_scale: float

    @property
    def n_context(self):
        return self.skip.shape[1]

    def heads(self, X):
        """Evaluate each member.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_context)
            Contexts.

        Returns
        -------
        heads : Heads
            Arrays of shape (n_members, n_samples, n_components, ...).

        Raises
        ------
        ValueError
            If a context is missing.
        """
        check_complete(X)
        # In single precision the place of a sample in the batch would show.
        layers = [
            tuple(map(as_double, self.weights)),
            tuple(map(as_double, self.biases)),
            as_double(self.skip),
        ]
        context = clip_context(as_double(X))
        starts = range(0, max(1, len(X)), CHUNK_ROWS)
        parts = [perceptrons(*layers, context[i : i + CHUNK_ROWS]) for i in starts]
        outputs = np.concatenate(parts, axis=1)
        return split_outputs(outputs, self.n_components, self.n_targets, self.min_scale)

    def member(self, m):
        """Return one member alone.

        Parameters
        ----------
        m : int
            Its number.

        Returns
        -------
        member : NetworkConditional
            Of one member.
        """
        one = slice(m, m + 1)
        return replace(
            self,
            weights=tuple(weight[one] for weight in self.weights),
            biases=tuple(bias[one] for bias in self.biases),
            skip=self.skip[one],
        )

    def predict_mixture(self, X):
        return join_members(self.heads(X)).mixture()

    def gain(self, X, random_state=None):
        r"""Estimate how much likelier targets are under all members than under one.

        .. math:: \frac{1}{nM} \sum_{im} KL(p(y | x_i) \,\|\, p_m(y | x_i))

        The divergences are differences of log-densities at one draw of y from all
        members for each row; what is above 1 counts as 1.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_context)
            Contexts.

        random_state : RandomState instance, default=None
            Source of the draws.

        Returns
        -------
        gain : float
            In nats; zero for one member.
        """
        Y = self.predict_mixture(X).sample(1, random_state)[0][0]
        log_prob = self.heads(X).log_prob(Y)
        pooled = logsumexp(log_prob, axis=0) - np.log(len(log_prob))
        return float(np.minimum(pooled - log_prob, LARGEST_GAIN).mean())


def check_complete(X):
    """Raise if a context is missing."""
    if np.isnan(X).any():
        raise ValueError(
            "X has missing values, which a network cannot integrate out. Impute "
            "them, or use mixture='prototypes'."
        )


def clip_context(X):
    """Bring far contexts to the edge of what the networks have learned from."""
    return np.clip(X, -FARTHEST, FARTHEST)


def fit_network(X, Y, settings, sample_weight=None, random_state=None):
    r"""Train an ensemble of mixture density networks, each without one fold.

    .. math:: p(y | x) = \frac1M \sum_m p_m(y | x)

    Each member keeps the parameters that predict its own held-out fold best.
    Rows of equal contexts share a fold, unless contexts repeat so often that
    they are categories; then copies of a whole row do.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts, standardised, complete.

    Y : ndarray of shape (n_samples, n_targets)
        Targets, standardised.

    settings : Settings
        Of these: n_components, covariance_type, n_members, hidden_layer_sizes,
        max_iter, batch_size, learning_rate, min_scale, device, callbacks and
        net_params.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of the folds, the starts and the batches.

    Returns
    -------
    fit : Fit
        A :class:`NetworkConditional`; held-out densities are those of the
        members that have not seen the row.

    Raises
    ------
    ValueError
        If there are fewer than two rows, or missing contexts.
    """
    check_complete(X)
    if len(X) < 2:
        raise ValueError(
            f"X has n_samples={len(X)}; a network needs at least 2, one of them to "
            "be judged on. Use mixture='prototypes'."
        )
    fold = assign_folds(X, Y, random_state)

    def describe(trained):
        model, unseen, training, _ = trained
        info = {"loss_curve": training.loss_curve, "n_iter": len(training.loss_curve)}
        return Fit(model, _held_out(model, X, Y, unseen), info, training.trouble)

    data = X, Y, fold, settings, sample_weight, random_state
    return learn_then(describe, tuple, train_network, *data)


def train_network(
    X, Y, fold, settings, sample_weight=None, random_state=None, start=None
):
    """Train an ensemble of networks on given folds.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts, standardised, complete.

    Y : ndarray of shape (n_samples, n_targets)
        Targets, standardised.

    fold : ndarray of shape (n_samples,)
        Number of the fold of each row. Member m does not see fold m, modulo their
        number.

    settings : Settings
        As in :func:`fit_network`.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of the starts and the batches.

    start : tuple of ndarrays, default=None
        Slope, intercept and scale of the start of the means.

    Returns
    -------
    model : NetworkConditional
        All members.

    unseen : bool ndarray of shape (n_members, n_samples)
        The rows that each member has not seen.

    training : Training
        The loss curve, and what went wrong.

    best_steps : ndarray of shape (n_members,)
        Number of steps after which each member was best.
    """
    from skgmje._joint._members import train_members

    k = settings.n_components
    if k == "auto":
        k = N_COMPONENTS if Y.shape[1] <= MANY_TARGETS else 1
    own_fold = np.arange(settings.n_members) % (fold.max() + 1)
    unseen = own_fold[:, None] == fold
    weight = np.ones(len(X)) if sample_weight is None else sample_weight

    def describe(trained):
        layers, training, best_steps = trained
        model = NetworkConditional(*layers, k, Y.shape[1], settings.min_scale)
        return model, unseen, training, best_steps

    return learn_then(
        describe,
        tuple,
        train_members,
        (clip_context(X), Y, weight / weight.mean()),
        unseen,
        k,
        COVARIANCE_TYPES[settings.covariance_type],
        settings,
        random_state,
        start,
    )


def held_out_mixture(model, X, unseen):
    """Return the density of each row by the members that have not seen it.

    Parameters
    ----------
    model : NetworkConditional
        All members.

    X : ndarray of shape (n_samples, n_context)
        Contexts.

    unseen : bool ndarray of shape (n_members, n_samples)
        The rows that each member has not seen; as many members for each row.

    Returns
    -------
    mixture : Mixture
        One for each row.
    """
    n_unseen = int(unseen.sum(axis=0).min())
    chosen = np.argsort(~unseen, axis=0, kind="stable")[:n_unseen]
    rows = np.arange(len(X))
    heads = model.heads(X)
    held = (None if part is None else part[chosen, rows] for part in heads)
    return join_members(type(heads)(*held)).mixture()


def assign_folds(X, Y, random_state):
    """Deal the rows to at most five folds, those that belong together to one.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    random_state : RandomState instance
        Source of randomness.

    Returns
    -------
    fold : ndarray of shape (n_samples,)
        Number of the fold of each row, from 0 without gaps; at least two folds.
    """
    return deal(belonging(X, Y), N_FOLDS, random_state)


def deal(group, n_folds, random_state):
    """Deal groups of rows to folds at random, as many groups to each.

    Parameters
    ----------
    group : ndarray of shape (n_samples,)
        Number of the group of each row, from 0 without gaps.

    n_folds : int
        Largest number of folds.

    random_state : RandomState instance
        Source of randomness.

    Returns
    -------
    fold : ndarray of shape (n_samples,)
        Number of the fold of each row, from 0 without gaps.
    """
    return (random_state.permutation(group.max() + 1) % n_folds)[group]


def belonging(X, Y):
    """Find which rows belong together: those of equal contexts, or copies.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    Returns
    -------
    group : ndarray of shape (n_samples,)
        Number of the group of each row, from 0 without gaps; at least two groups.
    """
    # Contexts that repeat often are categories; copies of all rows are all equal.
    candidates = (
        (X, len(X) / 2),
        (np.hstack([X, Y]), 1),
        (np.arange(len(X))[:, None], 0),
    )
    for rows, fewest in candidates:
        distinct, group = np.unique(rows, axis=0, return_inverse=True)
        if len(distinct) > fewest:
            break
    return group.ravel()


def _held_out(model, X, Y, unseen):
    """Pool, for each row, the members that have not seen it; NaN if all have."""
    total = np.full(len(X), -np.inf)
    for m, rows in enumerate(unseen):
        log_prob = model.member(m).heads(X[rows]).log_prob(Y[rows])[0]
        total[rows] = np.logaddexp(total[rows], log_prob)
    n_members = unseen.sum(axis=0)
    return np.where(n_members > 0, total - np.log(np.maximum(n_members, 1)), np.nan)

"""Fitted conditional densities as values, and their choice by held-out samples."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import as_double, logsumexp
from skgmje._standardize import distinct
from skgmje.em._select import find_folds, params_results
from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import simplest_type, widen
from skgmje.gaussian._heads import join_members, perceptrons, split_outputs
from skgmje.gaussian._mixture import Mixture


class Conditional(ABC):
    """A conditional density that is one Gaussian mixture for each context."""

    #: Whether missing contexts (NaN) are integrated out.
    takes_missing = False

    @abstractmethod
    def predict_mixture(self, X):
        """Return the mixtures of the targets, one for each sample."""

    def pooling_gain(self, X, random_state=None):
        """Estimate what it gains in a pool over what judged samples, in nats."""
        return 0.0


class Fit(NamedTuple):
    """A fitted conditional density and what was learned on the way."""

    model: Conditional
    held_out: Any = None
    info: Any = {}
    complaint: str = ""


@dataclass(frozen=True)
class JointConditional(Conditional):
    """The conditional of a joint mixture, in closed form."""

    mixture: Mixture
    n_context: int
    takes_missing = True

    def predict_mixture(self, X):
        if not np.isnan(X).any():
            return self.mixture.condition(range(self.n_context), X)
        # Each sample on its observed entries; the others are integrated out.
        targets = range(self.n_context, self.mixture.n_features)
        n, k, d = len(X), self.mixture.n_components, len(targets)
        weights, means = np.empty((n, k)), np.empty((n, k, d))
        covariances = np.empty((n, k, d, d))
        for rows, observed in patterns(X):
            seen = np.flatnonzero(observed)
            part = self.mixture.marginal([*seen, *targets])
            if len(seen):
                part = part.condition(range(len(seen)), X[np.ix_(rows, seen)])
            weights[rows], means[rows] = part.weights, part.means
            covariances[rows] = widen(part, "full")
        return Mixture(weights, means, covariances)


# Contexts further out, in standard deviations, are taken as this far.
FARTHEST = 8.0

# Samples whose outputs are computed at a time.
CHUNK_ROWS = 4096

# Samples that are enough to estimate the gain.
MOST_ROWS = 2000

# Of a sample: where one member fails worse, what it is pooled with helps as much.
LARGEST_GAIN = 1.0


@dataclass(frozen=True)
class NetworkConditional(Conditional):
    """The trained members of a :class:`MixtureDensityNetwork`, as arrays."""

    weights: tuple
    biases: tuple
    skip: Any
    n_components: int
    n_targets: int
    min_scale: float

    def heads(self, X):
        """Evaluate each member."""
        check_complete(X)
        # In single precision the place of a sample in the batch would show.
        layers = [[*map(as_double, part)] for part in (self.weights, self.biases)]
        layers.append(as_double(self.skip))
        context = clip_context(as_double(X))
        starts = range(0, max(1, len(X)), CHUNK_ROWS)
        parts = [perceptrons(*layers, context[i : i + CHUNK_ROWS]) for i in starts]
        outputs = np.concatenate(parts, axis=1)
        return split_outputs(outputs, self.n_components, self.n_targets, self.min_scale)

    def member(self, m):
        """Return one member alone."""
        one = slice(m, m + 1)
        return replace(
            self,
            weights=tuple(weight[one] for weight in self.weights),
            biases=tuple(bias[one] for bias in self.biases),
            skip=self.skip[one],
        )

    def predict_mixture(self, X):
        return join_members(self.heads(X)).mixture()

    def held_out_mixture(self, X, unseen):
        """Return the density of each sample by the members that have not seen it."""
        n_unseen = int(unseen.sum(axis=0).min())
        chosen = np.argsort(~unseen, axis=0, kind="stable")[:n_unseen]
        heads, rows = self.heads(X), np.arange(len(X))
        held = (None if part is None else part[chosen, rows] for part in heads)
        return join_members(type(heads)(*held)).mixture()

    def gain(self, X, random_state=None):
        """Estimate how much likelier targets are under all members than under one."""
        Y = self.predict_mixture(X).sample(1, random_state)[0][0]
        log_prob = self.heads(X).log_prob(Y)
        pooled = logsumexp(log_prob, axis=0) - np.log(len(log_prob))
        return float(np.minimum(pooled - log_prob, LARGEST_GAIN).mean())

    def pooling_gain(self, X, random_state=None):
        """Estimate what all members gain over those that judge a sample, in nats."""
        n_members = len(self.skip)
        if n_members == 1:
            return 0.0
        rows = random_state.permutation(len(X))[:MOST_ROWS]
        # More members than folds: several judge each row.
        part = (min(N_FOLDS, n_members) - 1) / (n_members - 1)
        return part * self.gain(X[rows], random_state)


def check_complete(X):
    """Raise if a context is missing."""
    if np.isnan(X).any():
        raise ValueError(
            "X has missing values, which a network cannot integrate out. Impute "
            "them, or use the source 'prototypes'."
        )


def clip_context(X):
    """Bring far contexts to the edge of what the networks have learned from."""
    return np.clip(X, -FARTHEST, FARTHEST)


@dataclass(frozen=True)
class PooledConditional(Conditional):
    """A weighted mean of conditional densities, which is again a mixture."""

    weights: Any
    models: tuple

    def predict_mixture(self, X):
        missing = np.isnan(X).any(axis=1)
        weights = np.tile(self.weights, (len(X), 1))
        if missing.any():
            able = [model.takes_missing for model in self.models]
            weights[missing] = np.arange(len(able)) == able.index(True)
        # What the others say of incomplete samples has no weight.
        filled = np.nan_to_num(X)
        parts = []
        for weight, model in zip(weights.T, self.models, strict=True):
            if weight.any():
                rows = X if model.takes_missing else filled
                parts.append((weight[:, None], model.predict_mixture(rows)))
        return join_mixtures(parts, len(X))


def join_mixtures(parts, n_rows):
    """Return one diag or full mixture per sample, with the components of all."""
    weights = [np.broadcast_to(np.ravel(weight), n_rows) for weight, _ in parts]
    return Mixture.mix([_as_plain(mixture) for _, mixture in parts], weights)


def _as_plain(mixture):
    """Return a mixture whose covariances are diag, if that holds them, or full."""
    kind = mixture.covariance_type
    name = "diag" if mixture.n_features == 1 else simplest_type(kind, "diag")
    if name == kind:
        return mixture
    return Mixture(mixture.weights, mixture.means, widen(mixture, name), name)


def conditional_log_prob(mixture, rows, n_context):
    """Compute ``log p(y | x)`` of joint samples under a joint mixture."""
    context = slice(0, n_context)
    marginal = mixture.marginal(context)
    return mixture.log_prob(rows, missing="marginal") - marginal.log_prob(
        rows[:, context], missing="marginal"
    )


def choose(candidates, rows, n_context, sample_weight=None, random_state=None):
    """Return the best candidate's parameters, what it holds out, and a table of all."""
    weight = np.ones(len(rows)) if sample_weight is None else sample_weight
    found, table = [], []
    for train in find_folds(rows, random_state)[0]:
        test = train if train.all() else ~train
        found.append({})
        table.append({})
        for params, mixture in candidates(rows[train], weight[train], random_state):
            key, log_prob = tuple(params.items()), np.full(len(rows), np.nan)
            log_prob[test] = conditional_log_prob(mixture, rows[test], n_context)
            judged = ~np.isnan(log_prob)
            found[-1][key] = log_prob
            table[-1][key] = np.average(log_prob[judged], weights=weight[judged])
    keys = [key for key in table[0] if all(key in column for column in table)]
    scores = np.array([[column[key] for column in table] for key in keys])
    best = keys[int(scores.mean(axis=1).argmax())]
    held_out = np.fmax.reduce([column[best] for column in found])
    results = params_results([*map(dict, keys)], scores)
    return dict(best).values(), held_out, results


# Parts of which each is held out once, for networks.
N_FOLDS = 5


def assign_folds(X, Y, random_state):
    """Deal the samples to at most five folds, those that belong together to one."""
    first, group = distinct(X)
    # Contexts that repeat often are categories: only copies belong together.
    if len(first) <= len(X) / 2:
        group = copies(X, Y)[1]
    return deal(group, N_FOLDS, random_state)


def deal(group, n_folds, random_state):
    """Deal groups of samples to folds at random, as many groups to each."""
    return (random_state.permutation(group.max() + 1) % n_folds)[group]


# More distinct pairs for each distinct context or target are a table of counts.
MOST_PAIRS = 2


def copies(X, Y, *more):
    """Return where each sample comes first, and which one each is, if they repeat."""
    first, copy = distinct(np.column_stack([X, Y, *more]))
    n_values = max(len(distinct(part)[0]) for part in (X, Y))
    # In such a table equal pairs are samples of their own, as where all are equal.
    if 1 < len(first) <= MOST_PAIRS * n_values:
        return first, copy
    return np.arange(len(X)), np.arange(len(X))

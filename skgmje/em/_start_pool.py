"""A pool of starts: partitions in several coordinates, tried by a few steps of EM."""

from functools import cached_property, partial

import numpy as np
from scipy.cluster.hierarchy import fcluster, ward

from skgmje.em._covariance_models import layout_of
from skgmje.em._em import expectation_maximization
from skgmje.em._noise import noisy_log_prob
from skgmje.em._select import (
    START_SAMPLES,
    complete,
    kmeans_labels,
    some_rows,
    split_params,
)
from skgmje.em._start import start_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Samples that the pool looks at, or as many as each component needs for its start;
# agglomeration takes the square of their number.
POOL_ROWS = 2000
MAX_AGGLOMERATED = 4000

# Partitions that are tried, the steps of EM that each gets, and those that the best,
# so many, get before one goes on.
POOL_SIZE, FIRST_STEPS = 12, 8
N_FINALISTS, FINAL_STEPS = 4, 100

# Elongated clusters come apart slowly at first.
TRIAL_TOL = 1e-5

# Below so many samples per feature and component the likeliest partition fits chance:
# their covariances shrink with this pseudo-count per feature while starts are tried.
FEW_ROWS, FEW_SHRINKAGE = 5, 2.0

# A component is sound if it has samples for a covariance, and if its smallest
# variance, in units of whitened data, is no spike.
LEAST_VARIANCE = 1e-4

# Directions of less than this share of the largest deviation are rounding.
NO_DIRECTION = 1e-7


class StartPool:
    """Partitions of samples, or of a random part of very many, by several methods."""

    def __init__(self, X, sample_weight, n_components, random_state, noise=None):
        size = max(POOL_ROWS, START_SAMPLES * n_components)
        given = X, sample_weight, noise
        self.X, self.weight, self.noise = some_rows(size, random_state, *given)
        self._partitions, self._waiting = {}, None

    @cached_property
    def _views(self):
        """The samples as they are, standardized, and whitened."""
        X = complete(self.X.astype(np.float64, copy=False), self.weight)
        X = X - X.mean(axis=0)
        scale = np.abs(X).max(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        standard = X / scale
        spread = standard.std(axis=0)
        standard /= np.where(spread > 0, spread, 1.0)
        left, values, right = np.linalg.svd(standard, full_matrices=False)
        known = values > NO_DIRECTION * values.max(initial=0.0)
        self._basis = right[known].T / values[known] * np.sqrt(len(X))
        self._basis /= (scale * np.where(spread > 0, spread, 1.0))[:, None]
        return X / scale.max(), standard, left[:, known]

    @cached_property
    def _trees(self):
        """Ward's trees of the samples as they are, and whitened."""
        if not 1 < len(self.X) <= MAX_AGGLOMERATED:
            return []
        return [ward(view) for view in self._views[::2] if view.shape[1]]

    def partitions(self, n_components, random_state, n_draws=POOL_SIZE):
        """Return the different labels (n_samples,) of so many draws."""
        if n_components in self._partitions:
            return self._partitions[n_components]
        views = [view for view in self._views if view.shape[1]]
        found = [
            fcluster(tree, n_components, criterion="maxclust") - 1
            for tree in self._trees
        ]
        for i in range(n_draws - len(found) if n_components > 1 else 0):
            how = {"sample_weight": self.weight, "random_state": random_state}
            view = views[i % len(views)] if views else self._views[0]
            found.append(kmeans_labels(view, n_components, **how))
        found = {_in_order(labels).tobytes(): _in_order(labels) for labels in found}
        found = [*found.values()] or [np.zeros(len(self.X), np.intp)]
        self._partitions[n_components] = found
        return found

    def starts(self, partitions, n_components, covariance_type, **params):
        """Return mixtures after some steps from each partition, the best first."""
        n_rows, n_features = self.X.shape
        if n_rows < FEW_ROWS * n_features * n_components and n_features > 1:
            least = FEW_SHRINKAGE * n_features
            params["shrinkage"] = max(params["shrinkage"], least)
        params |= {"sample_weight": self.weight, "noise": self.noise, "tol": TRIAL_TOL}
        first, steps = split_params(params, covariance_type)
        starts = [
            start_mixture(self.X, labels, covariance_type, **first)
            for labels in partitions
        ]
        for n_best, n_steps in ((None, FIRST_STEPS), (N_FINALISTS, FINAL_STEPS)):
            # With missing entries a step takes as long as all the others together.
            if len(starts) == 1 or (n_best and first["moments"] is not None):
                break
            tried = [
                expectation_maximization(self.X, start, max_iter=n_steps, **steps)
                for start in starts[:n_best]
            ]
            tried.sort(key=partial(self.rank, n_components), reverse=True)
            starts[:n_best] = [result.mixture for result in tried]
        return starts

    def draw(self, selection, n_init, random_state, **params):
        """Return the next best start, or None if there are no more."""
        size, kind = selection[:2]
        if self._waiting is None:
            n_draws = max(POOL_SIZE, n_init)
            labels = self.partitions(size, random_state, n_draws)
            starts = self.starts(labels, size, kind, **params)
            proven = selection.start
            if proven is not None:
                behind = self._loss(proven) > self._loss(starts[0])
                starts.insert(int(behind), proven)
            self._waiting = iter(starts)
        return next(self._waiting, None)

    def _loss(self, mixture):
        """Return minus the mean log-likelihood of the samples."""
        if self.noise is None:
            log_prob = mixture.log_prob(self.X, missing="marginal")
        else:
            log_prob = noisy_log_prob(mixture, self.X, self.noise)
        return -np.average(log_prob, weights=self.weight)

    def rank(self, n_components, result):
        """Return what is larger of a better result of EM: sound, then likelier."""
        mixture = result.mixture
        whole = mixture.n_components == n_components
        bound = result.stats.log_likelihood / result.stats.weight
        return whole, self.is_sound(mixture), bound

    def is_sound(self, mixture):
        """Return whether every component is more than a spike of some samples."""
        total = len(self.X) if self.weight is None else self.weight.sum()
        n_features = self.X.shape[1]
        if mixture.weights.min() * total < n_features + 1:
            return False
        if not self._views[2].shape[1]:
            return True
        kind = COVARIANCE_TYPES[layout_of(mixture.covariance_type)]
        dense = kind.dense(mixture.covariances, *mixture.means.shape)
        white = self._basis.T @ dense @ self._basis
        return bool(np.linalg.eigvalsh(white).min() >= LEAST_VARIANCE)


def _in_order(labels):
    """Return labels numbered in the order of their first samples."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels.ravel()]

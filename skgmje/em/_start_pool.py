"""A pool of starts: partitions in several coordinates, tried by a few steps of EM."""

from functools import cached_property, partial

import numpy as np
from scipy.cluster.hierarchy import fcluster, ward

from skgmje.em._bandwidth import nearest_centers
from skgmje.em._covariance_models import layout_of
from skgmje.em._em import expectation_maximization
from skgmje.em._select import (
    QUICK_ITERATIONS,
    START_SAMPLES,
    complete,
    joint_log_prob,
    kmeans_labels,
    some_rows,
    split_params,
)
from skgmje.em._start import start_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Samples that the pool looks at, or as many as each component needs for its start;
# agglomeration takes the square of their number, and the others follow the nearest.
POOL_ROWS = 2000
MAX_AGGLOMERATED = 1000

# Partitions that are tried, for each component at most so many, since few components
# have few ways to lie; of many each takes long. A search has much else to do.
MIN_DRAWS, MAX_DRAWS, DRAWS_PER_COMPONENT = 3, 20, 4
WORK_IF_GIVEN, WORK_IF_SEARCHED = 240, 100

# Steps of EM of all partitions, and of the best in each of the following rounds; one
# that is alone has no rival.
ROUNDS = ((1.0, 8), (0.6, 24), (0.3, 76))

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
        rows = np.arange(len(self.X))
        (self._agglomerated,) = some_rows(MAX_AGGLOMERATED, random_state, rows)
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
        """Ward's trees of the samples as they are, and whitened, with all leaves."""
        rows, trees = self._agglomerated, []
        for view in self._views[::2] if len(self.X) > 1 else ():
            if view.shape[1]:
                leaf = np.empty(len(view), np.intp)
                leaf[rows] = np.arange(len(rows))
                others = np.delete(np.arange(len(view)), rows)
                leaf[others] = nearest_centers(view[others], view[rows])[0]
                trees.append((ward(view[rows]), leaf))
        return trees

    def partitions(self, n_components, random_state, n_draws=None):
        """Return the different labels (n_samples,) of so many draws."""
        if n_components in self._partitions:
            return self._partitions[n_components]
        if n_draws is None:
            n_draws = count_draws(n_components, WORK_IF_SEARCHED)
        # The whitened first: a search has begun at the standardized.
        views = [view for view in self._views[::-1] if view.shape[1]]
        found = [
            fcluster(tree, n_components, criterion="maxclust")[leaf]
            for tree, leaf in self._trees
        ]
        for i in range(n_draws - len(found) if n_components > 1 else 0):
            how = {"sample_weight": self.weight, "random_state": random_state}
            how["max_iter"] = QUICK_ITERATIONS
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
        for share, n_steps in ROUNDS:
            n_best = int(share * len(partitions))
            # With missing entries a step takes as long as all the others together.
            if n_best < 2 or (share < 1 and first["moments"] is not None):
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
            given = selection.cv_results is None
            work = WORK_IF_GIVEN if given else WORK_IF_SEARCHED
            n_draws = max(count_draws(size, work), n_init)
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
        log_prob = joint_log_prob(mixture, self.X, self.noise)
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


def count_draws(n_components, work):
    """Return how many partitions of so many components are tried."""
    most = min(MAX_DRAWS, DRAWS_PER_COMPONENT * n_components)
    return min(most, max(MIN_DRAWS, work // n_components))


def _in_order(labels):
    """Return labels numbered in the order of their first samples."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels.ravel()]

"""EM of a mixture whose components belong to classes, some samples being labelled."""

from functools import partial, reduce
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from skgmje.em._em import (
    DEAD_SHARE,
    as_mixture,
    begin,
    e_step,
    living_components,
    make_prior,
    maximise,
)
from skgmje.em._select import candidate_settings, kmeans_labels, number_distinct
from skgmje.em._start import start_mixture
from skgmje.gaussian._passes import merge_stats


class Labelled(NamedTuple):
    """Samples with the numbers of their classes, -1 where none is known."""

    X: Any
    codes: Any
    weight: Any
    #: Which fold leaves a sample out, -1 for none.
    fold: Any

    def take(self, rows):
        """Return some of the samples."""
        return Labelled(*(part[rows] for part in self))

    def weigh(self, share):
        """Return the samples with a share of the weight of those without a label."""
        if share == 0:
            return self.take(self.codes >= 0)
        weight = np.where(self.codes < 0, share * self.weight, self.weight)
        return self._replace(weight=weight)


class ClassMixture(NamedTuple):
    """A mixture, the class of each of its components, and how it was reached."""

    mixture: Any
    owners: Any
    bounds: Any = ()
    converged: bool = True
    added: float = 0.0

    def class_log_prob(self, X, n_classes):
        """Return ``log p(x, y)`` of samples, (n, n_classes)."""
        joint = self.mixture.component_log_prob(X, missing="marginal")
        with np.errstate(divide="ignore"):
            joint = joint + np.log(self.mixture.weights)
        logs = np.full((len(X), n_classes), -np.inf)
        for c in np.unique(self.owners):
            logs[:, c] = np.logaddexp.reduce(joint[:, self.owners == c], axis=1)
        return logs


class ClassSetting(NamedTuple):
    """What a fit of classes may choose."""

    n_per_class: Any
    covariance_type: Any
    shrinkage: Any
    unlabelled_weight: Any


class ClassFit(NamedTuple):
    """How mixtures of classes are fitted, whatever their settings."""

    reg_covar: Any
    rank: int
    moments: Any
    tol: float
    max_iter: int
    seed: int

    def __call__(self, data, setting, callback=None):
        """Return the :class:`ClassMixture` of samples and a setting."""
        data = data.weigh(setting.unlabelled_weight)
        n_classes = int(data.codes.max()) + 1
        known = data.codes >= 0
        model = self._start(data, data.codes, setting, known, np.arange(n_classes))
        if setting.n_per_class > 1:
            model = self._run(data, model, setting)
            likely = model.class_log_prob(data.X, n_classes).argmax(axis=1)
            classes = np.where(data.codes < 0, likely, data.codes)
            labels, owners = self._split(data, classes, setting.n_per_class)
            model = self._start(data, labels, setting, slice(None), owners)
        return self._run(data, model, setting, callback)

    def _start(self, data, labels, setting, rows, owners):
        """Return one M-step from labels of some samples, which classes own."""
        # Of few samples only a pool of all components tells a covariance.
        shrinkage = max(setting.shrinkage, float(data.X.shape[1]))
        mixture = start_mixture(
            data.X[rows],
            labels[rows],
            setting.covariance_type,
            sample_weight=data.weight[rows],
            shrinkage=shrinkage,
            reg_covar=self.reg_covar,
            rank=self.rank,
            moments=self.moments,
        )
        counts = np.bincount(labels[rows], data.weight[rows], len(owners))
        owners = owners[counts > DEAD_SHARE * counts.mean()]
        lost = np.setdiff1d(data.codes[data.codes >= 0], owners)
        if len(lost):
            raise ValueError(
                f"sample_weight: class {lost[0]}, counted from 0, has less than "
                f"{DEAD_SHARE:g} of the mean weight of the classes. Leave its samples "
                "out, or weigh them more."
            )
        return ClassMixture(mixture, owners)

    def _split(self, data, classes, n_per_class):
        """Return labels by k-means within classes, and the class of each label."""
        labels, owners = np.zeros(len(classes), np.intp), []
        how = {"random_state": self.seed, "scale": True}
        for c in np.unique(classes):
            rows = classes == c
            weight = data.weight[rows]
            part = kmeans_labels(data.X[rows], n_per_class, sample_weight=weight, **how)
            labels[rows] = len(owners) + part
            owners += [c] * (int(part.max()) + 1)
        return labels, np.array(owners)

    def _run(self, data, start, setting, callback=None):
        """Return the mixture of EM in which labelled samples stay in their class."""
        kind, owners = start.mixture.covariance_type, start.owners
        samples, kernel = begin(data.X, start.mixture, data.weight, self.reg_covar)
        rules = setting.shrinkage, "pooled", self.reg_covar, setting.covariance_type
        prior = make_prior(data.X.shape[1], *rules)
        groups = [(c, samples.take(data.codes == c)) for c in np.unique(data.codes)]
        bounds, added, converged = [], 0.0, False
        for n_iter in range(1, self.max_iter + 1):
            parts = [_group_stats(kernel, owners, *group) for group in groups]
            stats = reduce(partial(merge_stats, kernel), parts)
            kernel, added = maximise(kernel, stats, prior, kind, extra=added)
            owners = owners[living_components(stats)]
            bounds.append(stats.log_likelihood / stats.weight)
            stop = callback and callback(n_iter)
            converged = len(bounds) > 1 and abs(bounds[-1] - bounds[-2]) < self.tol
            if converged or stop:
                break
        mixture = as_mixture(kernel, kind)
        return ClassMixture(mixture, owners, tuple(bounds), bool(converged), added)


def _group_stats(kernel, owners, c, samples):
    """Return statistics of samples of one class, or of any (-1), for all components."""
    if c >= 0:
        # What has no weight has no share in a sample.
        weights = np.where(owners == c, kernel.weights, 0.0)
        parts = kernel.means, kernel.covariances, kernel.center, kernel.limit
        kernel = type(kernel)(weights, *parts)
    return e_step(kernel, samples)


# Folds that leave labelled samples out; settings are compared by some of them only.
N_FOLDS = 5

# Weights of samples without a label that are tried, the preferred one first, and
# numbers of components.
UNLABELLED_WEIGHTS = (0.3, 1.0, 0.1, 0.03)
N_PER_CLASS = (1, 2, 3, 5, 8)

# Nats of log p(y | x) that make no difference.
SAME = 1e-3

# Settings that more is tried with, and samples that each component needs.
N_BEST, SAMPLES_PER_COMPONENT = 2, 8


def class_folds(X, codes, random_state):
    """Number the folds that leave samples out: copies together, a lone one never."""
    row = number_distinct(X)
    fold, place = np.full(len(row), -1), 0
    for c in np.unique(codes):
        own = np.unique(row[codes == c])
        if len(own) < 2:
            continue
        number = np.full(row.max() + 1, -1)
        number[random_state.permutation(own)] = (place + np.arange(len(own))) % N_FOLDS
        fold[codes == c] = number[row[codes == c]]
        place += len(own)
    return fold


def select_classes(data, asked, fit):
    """Choose what is 'auto' by samples left out; return it and the table of all."""
    share, table = asked.unlabelled_weight, {}
    has_unlabelled = bool((data.codes < 0).any())
    if share != "auto" or not has_unlabelled:
        share = 1.0 if share == "auto" else share
        return _best_settings(data, asked, share, fit, table)[0], table
    # The best on labelled samples alone is never given up for one that predicts
    # labels that were left out worse.
    alone = _best_settings(data, asked, 0.0, fit, table)[0]
    if not ((data.fold >= 0) & (data.codes >= 0)).any():
        return alone, table
    whole = _best_settings(data, asked, 1.0, fit, table)[:N_BEST]
    pairs = product(UNLABELLED_WEIGHTS, whole)
    pool = [*(setting._replace(unlabelled_weight=w) for w, setting in pairs), alone]
    scores = [_left_out(data, setting, fit, N_FOLDS) for setting in pool]
    table |= dict(zip(pool, scores, strict=True))
    proba, accuracy = np.array(scores).T[1:]
    best = int(np.argmax(proba >= proba.max() - SAME))
    if best == len(pool) - 1 and accuracy.max() > accuracy[-1]:
        # Those that are surer lose more by a wrong label, though they have fewer.
        best = int(np.argmax(np.where(accuracy > accuracy[-1], proba, -np.inf)))
    return pool[best], table


def _best_settings(data, asked, share, fit, table):
    """Return settings for a weight of the samples without a label, the best first."""
    n_classes = int(data.codes.max()) + 1
    n_samples = int(number_distinct(data.weigh(share).X).max()) + 1
    each = max(1, n_samples // n_classes)
    kinds = candidate_settings(
        asked.covariance_type, asked.shrinkage, each, data.X.shape[1]
    )
    sizes = [asked.n_per_class]
    if asked.n_per_class == "auto":
        sizes = [k for k in N_PER_CLASS if k == 1 or k * SAMPLES_PER_COMPONENT <= each]
    if len(kinds) * len(sizes) == 1:
        return [ClassSetting(sizes[0], *kinds[0], share)]

    def judge(setting):
        return found[setting].log_likelihood

    found, best = {}, []
    for size in sizes:
        tried = [ClassSetting(size, *kind, share) for kind in kinds]
        # Of many samples few folds tell as much.
        n_folds = N_FOLDS if n_samples < 200 else 2 if n_samples < 1500 else 1
        found |= {s: _left_out(data, s, fit, n_folds) for s in tried}
        tried = sorted(tried, key=judge, reverse=True)
        best.append(judge(tried[0]))
        kinds = [setting[1:3] for setting in tried[:N_BEST]]
        if len(best) > 2 and max(best[-2:]) < best[-3]:
            break
    table |= found
    return sorted(found, key=judge, reverse=True)


class LeftOut(NamedTuple):
    """Means of samples left out: log-likelihood, that of labels given them, hits."""

    log_likelihood: float
    log_proba: float
    accuracy: float


def _left_out(data, setting, fit, n_folds):
    """Return how well a setting predicts the samples that folds leave out."""
    n_classes = int(data.codes.max()) + 1
    sums = np.zeros((3, 2))
    for number in range(n_folds):
        test = data.take(data.fold == number).weigh(setting.unlabelled_weight)
        if not len(test.X):
            continue
        model = fit(data.take(data.fold != number), setting)
        logs = model.class_log_prob(test.X, n_classes)
        known, total = test.codes >= 0, np.logaddexp.reduce(logs, axis=1)
        own = np.where(known, logs[np.arange(len(logs)), test.codes], total)
        weight, hits = test.weight * known, logs.argmax(axis=1) == test.codes
        gain = np.where(known, own - total, 0.0)
        sums[:, 0] += test.weight @ own, weight @ gain, weight @ hits
        sums[:, 1] += test.weight.sum(), weight.sum(), weight.sum()
    with np.errstate(invalid="ignore"):
        means = np.nan_to_num(sums[:, 0] / sums[:, 1], nan=-np.inf)
    return LeftOut(*means.tolist())

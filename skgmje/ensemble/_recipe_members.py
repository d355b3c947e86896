"""Members by the recipe: Gaussian mixtures of many settings."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skgmje._interrupt import Work
from skgmje.compose import TransformedDensity
from skgmje.ensemble._fitted import FINAL, Failure, Fitted, take, usable
from skgmje.ensemble._parts import pool
from skgmje.ensemble._recipe import SPACES, first_labels, make_candidates
from skgmje.ensemble._tasks import task_seed
from skgmje.mixture import GaussianMixture

# Starts of one candidate in the final stack.
_MOST_STARTS = 8


class Coordinates(NamedTuple):
    """Rows in the coordinates of a space, those to fit and those to score."""

    transformer: Any
    fitted: Any
    held_out: Any
    log_det: Any


class Recipe:
    """Gaussian mixtures of many settings in several coordinates.

    Parameters
    ----------
    effort : Effort
        How much is tried.

    spaces : sequence of str
        Keys of :data:`skgmje.ensemble._recipe.SPACES`.

    shifted : bool
        Whether rows are held out by groups, or by a splitter.

    seed : int
        Decides all starts.

    run : Runner
        Runs the fits.
    """

    def __init__(self, effort, spaces, shifted, seed, run):
        self._effort, self._spaces, self._shifted = effort, spaces, shifted
        self._seed, self._run = seed, run

    #: Held-out rows after which the hopeless are given up; there are many others.
    enough_rows = 100

    def candidates(self, X):
        """List what can be fitted to the rows."""
        return make_candidates(
            len(X), X.shape[1], self._spaces, self._effort, shifted=self._shifted
        )

    def held_out(self, X, weight, folds, candidates, place):
        """Return log-densities of held-out rows for each candidate.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Rows.

        weight : ndarray of shape (n_samples,) or None
            Their weights.

        folds : list of (ndarray, ndarray)
            Rows to fit and to score.

        candidates : list of Candidate
            What to fit.

        place : int
            Folds before these, which decides the seeds.

        Returns
        -------
        scores : list of ndarray or Failure
            For each candidate those of all folds, one after the other: -inf in a
            fold whose rows have no such coordinates.
        """
        parts = [(X[train], take(weight, train), X[test]) for train, test in folds]
        found = self._coordinates(parts, candidates)
        tasks, owners = [], []
        for (j, space), coordinates in found.items():
            row_weight = take(weight, folds[j][0])
            for size, group in _by_size(candidates, space):
                # One component needs no start.
                starts = self._effort.n_seeds if size > 1 else 1
                for b in range(starts if isinstance(coordinates, Coordinates) else 0):
                    seed = task_seed(self._seed, place + j, len(space), size, b)
                    some = [candidates[i] for i in group]
                    tasks.append(
                        (coordinates, row_weight, some, seed, self._effort.max_iter)
                    )
                    owners.append((j, group, np.log(starts)))
        scores = [
            [np.full(len(test), -np.inf) for _, test in folds] for _ in candidates
        ]
        failures = {
            i: coordinates
            for (_, space), coordinates in found.items()
            for i, candidate in enumerate(candidates)
            if candidate.space == space and isinstance(coordinates, Failure)
        }
        results = self._run(_score_fits, tasks, "selection")
        for (j, group, log_starts), answers in zip(owners, results, strict=True):
            for i, answer in zip(group, answers, strict=True):
                if isinstance(answer, Failure):
                    failures[i] = answer
                else:
                    scores[i][j] = np.logaddexp(scores[i][j], answer - log_starts)
        return [failures.get(i, np.concatenate(own)) for i, own in enumerate(scores)]

    def _coordinates(self, parts, candidates):
        """Return ``{(part, space): coordinates}`` of what the candidates need.

        Later spaces are given the transformers of earlier ones on the same rows.
        """
        wanted = {candidate.space for candidate in candidates}
        found = {}
        for space in (space for space in SPACES if space in wanted):
            tasks = [
                (space, *part, _transformers(found, j)) for j, part in enumerate(parts)
            ]
            answers = self._run(_coordinates, tasks, f"{space} coordinates")
            found |= {(j, space): answer for j, answer in enumerate(answers)}
        return found

    def fit(self, X, weight, candidates, weights):
        """Fit the candidates that were kept to all rows, from several starts."""
        found = self._coordinates([(X, weight, X[:0])], candidates)
        found = {space: coordinates for (_, space), coordinates in found.items()}
        starts = [
            self._n_starts(c, w) for c, w in zip(candidates, weights, strict=True)
        ]
        tasks, owners = [], []
        for space, coordinates in found.items():
            if not isinstance(coordinates, Coordinates):
                continue
            for size, group in _by_size(candidates, space):
                for b in range(max(starts[i] for i in group)):
                    seed = task_seed(self._seed, FINAL, len(space), size, b)
                    group_b = [i for i in group if b < starts[i]]
                    some = [candidates[i] for i in group_b]
                    tasks.append(
                        (coordinates, weight, some, seed, self._effort.max_iter)
                    )
                    owners.append(group_b)
        mixtures = [[] for _ in candidates]
        reasons = {}
        work = Work()
        results = work.learn(list, self._run, _fits, tasks, "fit")
        # Of the last ones there are no results if Ctrl-C has come.
        for group, fits in zip(owners, results, strict=False):
            for i, fit in zip(group, fits, strict=True):
                if isinstance(fit, Failure):
                    reasons[i] = fit.reason
                else:
                    mixtures[i].append(fit)
        return work.end(_assemble, candidates, weights, mixtures, found, reasons)

    def _n_starts(self, candidate, weight):
        if candidate.n_components == 1:
            return 1
        wanted = round(self._effort.n_members * weight)
        return int(np.clip(wanted, self._effort.n_seeds, _MOST_STARTS))


def _by_size(candidates, space):
    """Group the indices of a space's candidates by their numbers of components."""
    groups = {}
    for i, candidate in enumerate(candidates):
        if candidate.space == space:
            groups.setdefault(candidate.n_components, []).append(i)
    return groups.items()


def _transformers(found, part):
    """Return what was fitted to one part of the rows, by the names of spaces."""
    return {
        space: coordinates.transformer
        for (j, space), coordinates in found.items()
        if j == part and isinstance(coordinates, Coordinates)
    }


def _coordinates(space, X, weight, held_out, known):
    """Fit the coordinates of a space; None if they are the same as simpler ones."""
    try:
        transformer = SPACES[space](X, weight, known)
        if "marginal" in known and getattr(transformer, "removed_", None) == []:
            return None
        if space == "identity":
            log_det = np.full(len(held_out), -np.log(transformer.scale_).sum())
            Z = (held_out - transformer.mean_) / transformer.scale_
            return Coordinates(transformer, transformer.transform(X), Z, log_det)
        forward = getattr(transformer, "_forward_left_out", transformer._forward)
        Z, _ = forward(X)
        answer = Coordinates(transformer, Z, *transformer._forward(held_out))
        if not np.isfinite(Z).all():
            return Failure("coordinates are not finite")
    except (ValueError, np.linalg.LinAlgError) as error:
        return Failure(str(error))
    return answer


def _fits(coordinates, weight, candidates, seed, max_iter):
    """Fit candidates of the same size from the same start."""
    Z, answers = coordinates.fitted, []
    size = candidates[0].n_components
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = first_labels(Z, size, weight, seed)
    for candidate in candidates:
        try:
            answers.append(candidate.fit(Z, labels, weight, max_iter))
        except (ValueError, np.linalg.LinAlgError) as error:
            answers.append(Failure(str(error)))
    return answers


def _score_fits(coordinates, weight, candidates, seed, max_iter):
    """Return log-densities of the rows that were held out."""
    fits = _fits(coordinates, weight, candidates, seed, max_iter)
    return [
        fit
        if isinstance(fit, Failure)
        else usable(fit.log_prob(coordinates.held_out) + coordinates.log_det)
        for fit in fits
    ]


def _assemble(candidates, weights, mixtures, found, reasons):
    """Return the stack of all fits that succeeded."""
    failed = {
        candidate.name: reasons.get(i, "its coordinates are not found in all rows")
        for i, candidate in enumerate(candidates)
        if not mixtures[i]
    }
    alive = [i for i, fits in enumerate(mixtures) if fits]
    kept = np.array([weights[i] for i in alive])
    members = []
    for i in alive:
        equal = np.full(len(mixtures[i]), 1 / len(mixtures[i]))
        mixture = pool(mixtures[i], equal)
        transformer = found[candidates[i].space].transformer
        members.append((candidates[i].name, _as_estimator(mixture, transformer)))
    return Fitted(members, kept / max(kept.sum(), 1e-300), failed)


def _as_estimator(mixture, transformer):
    """Return an estimator for rows as they are; what only the fit needed is lost."""
    linear = isinstance(transformer, StandardScaler)
    if linear:
        image = mixture.affine(transformer.scale_, transformer.mean_)
        mixture = pool([image], [1.0])
    parameters = mixture.weights, mixture.means, mixture.covariances
    density = GaussianMixture.from_parameters(*parameters, mixture.covariance_type)
    if linear:
        return density
    vars(transformer).pop("residuals_", None)
    return TransformedDensity.from_fitted(transformer, density)

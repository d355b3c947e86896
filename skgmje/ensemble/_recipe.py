"""Candidates of a stack: mixtures of many settings by default, or given densities."""

import warnings
from abc import ABC, abstractmethod
from itertools import product, repeat
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skgmje._interrupt import Work, fit_whole
from skgmje._parallel import Failure, attempt, task_seed
from skgmje._sklearn import _safe_indexing
from skgmje._validation import name_estimators
from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates
from skgmje.compose._transformed import TransformedDensity
from skgmje.em._em import make_prior
from skgmje.em._select import count_distinct, shrinkage_grid
from skgmje.em._start import fit_labels
from skgmje.ensemble._held_out import FINAL, Fitted, take, usable
from skgmje.ensemble._stacked_mixture import pool
from skgmje.mixture._gaussian_mixture import GaussianMixture

LLOYD_STEPS = 10

# Annealing takes twenty iterations, the last of which are hardly tempered.
ANNEALING_EXTRA, FIRST_POWER = 10, 0.5

# Components of fewer samples are dropped; the floor is in standard units.
LEAST_SAMPLES, REG_COVAR = 0.5, 1e-5

# Samples that a component needs, and the largest numbers of components.
ROWS_PER_COMPONENT = 6
FEW_FEATURES, MAX_COMPONENTS, MAX_COMPONENTS_FEW = 6, 128, 256

# Sizes that are always tried: few components cost little, and may be all there are.
SIMPLE_SIZES = (1, 4)

# Numbers that describe all components: many features leave room for few.
MAX_NUMBERS = 2**16
MANY_ROWS, SOME_ROWS = 2500, 400
FEW_ROWS, FEWEST_ROWS = 50, 12

# Features whose regressions are affordable.
MAX_RESIDUAL_FEATURES = 64

# Full covariances of fewer samples per feature have diagonal ones beside them.
ROWS_PER_FEATURE = 10


class Effort(NamedTuple):
    """How much is tried."""

    n_seeds: int
    n_members: int
    settings: tuple
    max_iter: int


# Of each: base and slope of the shrinkage by features, and whether it is annealed.
_PLAIN = (2.0, 0.0, False), (2.0, 0.0, True)
EFFORTS = {
    "fast": Effort(1, 16, (*_PLAIN, (0.0, 2.0, True)), 30),
    "thorough": Effort(2, 32, (*_PLAIN, (0.0, 1.5, True), (0.0, 4.0, False)), 40),
}


# Further settings where groups of samples differ from each other.
SMOOTH = ((0.0, 10.0, True), (0.0, 100.0, True))

# Coordinates by name: each fits its transformer, and may use those fitted before it.
SPACES = {
    "identity": lambda X, weight, known: StandardScaler().fit(X, sample_weight=weight),
    "marginal": lambda X, weight, known: MarginalGaussianizer().fit(X, None, weight),
    "residual": lambda X, weight, known: ResidualCoordinates(gaussianize=True)._fit(
        X, weight, known.get("marginal")
    ),
}

# Coordinates that are found at once: a process would not pay.
SIMPLE = {"identity"}


class Candidate(NamedTuple):
    """One way to fit a mixture."""

    space: str
    n_components: int
    shrinkage: float = 2.0
    annealed: bool = False
    covariance_type: str = "full"

    @property
    def name(self):
        """What the member is called."""
        name = f"{self.space}-{self.n_components}-s{self.shrinkage:g}"
        is_diag = self.covariance_type == "diag"
        return name + "-annealed" * self.annealed + "-diag" * is_diag

    def fit(self, Z, labels, sample_weight, max_iter):
        """Return the mixture of samples in the coordinates of the space."""
        prior = make_prior(Z.shape[1], self.shrinkage, "neighbors", REG_COVAR)
        given = Z, labels, self.covariance_type, sample_weight, prior
        return fit_labels(
            *given,
            least=LEAST_SAMPLES,
            annealing=FIRST_POWER if self.annealed else None,
            max_iter=max_iter + ANNEALING_EXTRA * self.annealed,
        )


def make_candidates(n_rows, n_features, spaces, effort, *, shifted=False):
    """List what to try for so many samples and features."""
    # One sample leaves nothing to choose by.
    few = 1 < n_features and 1 < n_rows < ROWS_PER_FEATURE * n_features
    single = shrinkage_grid("full", n_rows, n_features) if few else (2.0,)
    single = [(count, False) for count in single]
    if n_rows < FEW_ROWS:
        found = [Candidate("identity", 1, *setting) for setting in single]
        found += [Candidate("identity", 2)] * (n_rows >= FEWEST_ROWS)
        found += [Candidate("identity", 1, covariance_type="diag")] * few
        return found
    sizes = _sizes(n_rows, n_features)
    # Few features may make two settings one.
    settings = dict.fromkeys(
        (max(2.0, base + slope * n_features), annealed)
        for base, slope, annealed in (*effort.settings, *(SMOOTH if shifted else ()))
    )
    found = []
    for space in spaces:
        wanted, several = sizes, settings
        if space == "residual" and len(spaces) > 1:
            # Dear, and for some sets only: every other size, annealed.
            wanted = sizes[::-2]
            several = [setting for setting in settings if setting[1]]
            if n_features > MAX_RESIDUAL_FEATURES:
                continue
        for size in wanted:
            some = several if size > 1 else single
            found += [Candidate(space, size, *setting) for setting in some]
        # Independent columns, and blobs of them where full covariances are a guess.
        wanted = sizes if few else [1] * (space == "marginal")
        if n_features > 1 and space != "residual":
            found += [Candidate(space, size, covariance_type="diag") for size in wanted]
    return sorted(set(found), key=lambda c: (-c.n_components, c))


def _sizes(n_rows, n_features):
    few = n_features <= FEW_FEATURES
    top = min(
        MAX_COMPONENTS_FEW if few else MAX_COMPONENTS,
        n_rows // ROWS_PER_COMPONENT,
        2 * MAX_NUMBERS // ((n_features + 1) * (n_features + 2)),
    )
    powers = [2**i for i in range(9) if 2**i <= max(top, 1)]
    if n_rows < SOME_ROWS:
        return powers
    largest = powers[-4:] if n_rows >= MANY_ROWS else powers[-5:]
    return sorted({*largest, *(size for size in SIMPLE_SIZES if size <= powers[-1])})


def first_labels(Z, n_components, sample_weight, seed):
    """Return k-means labels after a few steps from k-means++, shape (n_samples,)."""
    n_components = min(n_components, count_distinct(Z, n_components))
    if n_components == 1:
        return np.zeros(len(Z), int)
    kmeans = KMeans(n_components, n_init=1, max_iter=LLOYD_STEPS, random_state=seed)
    labels = kmeans.fit(Z, sample_weight=sample_weight).labels_
    return np.unique(labels, return_inverse=True)[1].ravel()


class Candidates(ABC):
    """Densities that may become members of a stack; each candidate has a ``name``."""

    #: Held-out samples after which the hopeless are given up.
    enough_rows = np.inf

    @abstractmethod
    def candidates(self, X):
        """List what can be fitted to the samples."""

    @abstractmethod
    def held_out(self, X, weight, folds, candidates, place):
        """Return log-densities of held-out samples, or a `Failure`, per candidate."""

    @abstractmethod
    def fit(self, X, weight, candidates, weights):
        """Return the stack, `Fitted`, of the candidates that were kept."""


# Starts of one candidate in the final stack.
_MOST_STARTS = 8


class Coordinates(NamedTuple):
    """Samples in the coordinates of a space, those to fit and those to score."""

    transformer: Any
    fitted: Any
    held_out: Any
    log_det: Any


class Recipe(Candidates):
    """Gaussian mixtures of many settings in several coordinates."""

    def __init__(self, effort, spaces, shifted, seed, run):
        self._effort, self._spaces, self._shifted = effort, spaces, shifted
        self._seed, self._run = seed, run

    # There are many others.
    enough_rows = 100

    def candidates(self, X):
        return make_candidates(
            len(X), X.shape[1], self._spaces, self._effort, shifted=self._shifted
        )

    def held_out(self, X, weight, folds, candidates, place):
        parts = [(X[train], take(weight, train), X[test]) for train, test in folds]
        # One component needs no start.
        starts = [self._effort.n_seeds if c.n_components > 1 else 1 for c in candidates]
        given = parts, candidates, starts, place
        found, outcomes = self._learn(_score_fits, *given, "selection")
        nothing = [np.full(len(test), -np.inf) for _, test in folds]
        scores = [[*nothing] for _ in candidates]
        failures = {
            i: own[candidate.space]
            for own, (i, candidate) in product(found, enumerate(candidates))
            if isinstance(own[candidate.space], Failure)
        }
        for i, j, result in outcomes:
            if isinstance(result, Failure):
                failures[i] = result
            else:
                added = result - np.log(starts[i])
                scores[i][j] = np.logaddexp(scores[i][j], added)
        return [failures.get(i, np.concatenate(own)) for i, own in enumerate(scores)]

    def _learn(self, function, parts, candidates, starts, place, word):
        """Return coordinates, and ``(candidate, part, result)`` of all fits."""
        # The coordinates of a space are found while those before are fitted in.
        wanted = {candidate.space for candidate in candidates}
        simple, dear = wanted & SIMPLE, [s for s in SPACES if s in wanted - SIMPLE]
        found = [{s: _coordinates(s, *part, {}) for s in simple} for part in parts]
        outcomes, work = [], Work()
        ready = [simple, *([space] for space in dear)]
        for spaces, space in zip(ready, [*dear, None], strict=True):
            pairs = zip(parts, found, strict=True) if space else ()
            maps = [(_coordinates, space, *part, own) for part, own in pairs]
            fits, owners = self._plan(found, spaces, parts, candidates, starts, place)
            tasks = [*maps, *((function, *fit) for fit in fits)]
            try:
                results = iter(work.learn(list, self._run, _call, tasks, word))
            except KeyboardInterrupt:
                results = repeat(None, len(tasks))
                work.when = f"before one of {len(tasks)} tasks of {word} was done"
            for own in found[: len(maps)]:
                own[space] = next(results)
            for (j, group), own in zip(owners, results, strict=True):
                # Ctrl-C leaves some out.
                outcomes += zip(group, repeat(j), own or (), strict=False)
            if work.when:
                break
        if not outcomes and work.when:
            raise KeyboardInterrupt(work.when)
        return work.end(lambda: (found, outcomes))

    def _plan(self, found, spaces, parts, candidates, starts, place):
        """Return fits from all starts, and of each the part and the candidates."""
        tasks, owners = [], []
        kinds = dict.fromkeys(c[:2] for c in candidates if c.space in spaces)
        # The candidates of the most components come first, and take longest.
        for (space, size), j in product(kinds, range(len(parts))):
            if not isinstance(found[j][space], Coordinates):
                continue
            group = [i for i, c in enumerate(candidates) if c[:2] == (space, size)]
            # Which a fit has no use for.
            coordinates = found[j][space]._replace(transformer=None)
            for b in range(max(starts[i] for i in group)):
                seed = task_seed(self._seed, place + j, len(space), size, b)
                own = [i for i in group if b < starts[i]]
                some, steps = [candidates[i] for i in own], self._effort.max_iter
                tasks.append((coordinates, parts[j][1], some, seed, steps))
                owners.append((j, own))
        return tasks, owners

    def fit(self, X, weight, candidates, weights):
        """Fit the candidates that were kept to all samples, from several starts."""
        starts = [*map(self._n_starts, candidates, weights)]
        given = [(X, weight, X[:0])], candidates, starts, FINAL
        mixtures, reasons, work = [[] for _ in candidates], {}, Work()
        found, outcomes = work.learn(tuple, self._learn, _fits, *given, "fit")
        for i, _, fit in outcomes:
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


def _call(function, *args):
    """Call a function; of what Ctrl-C interrupts nothing counts."""
    try:
        return function(*args)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*stop.args) from stop


def _coordinates(space, X, weight, held_out, found):
    """Return the coordinates of a space; None if they are those of a simpler one."""
    pairs = found.items()
    known = {s: c.transformer for s, c in pairs if isinstance(c, Coordinates)}
    try:
        transformer = SPACES[space](X, weight, known)
        if "marginal" in known and getattr(transformer, "removed_", None) == []:
            return None
        if space == "identity":
            loc, scale = transformer.mean_, transformer.scale_
            log_det = np.full(len(held_out), -np.log(scale).sum())
            both = [(Z - loc) / scale for Z in (X, held_out)]
            return Coordinates(transformer, *both, log_det)
        forward = getattr(transformer, "_forward_left_out", transformer._forward)
        Z, _ = forward(X)
        result = Coordinates(transformer, Z, *transformer._forward(held_out))
        if not np.isfinite(Z).all():
            return Failure("coordinates are not finite")
    except (ValueError, np.linalg.LinAlgError) as error:
        return Failure(str(error))
    return result


def _fits(coordinates, weight, candidates, seed, max_iter):
    """Fit candidates of the same size from the same start."""
    Z, size, results = coordinates.fitted, candidates[0].n_components, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = first_labels(Z, size, weight, seed)
    for candidate in candidates:
        try:
            results.append(candidate.fit(Z, labels, weight, max_iter))
        except (ValueError, np.linalg.LinAlgError) as error:
            results.append(Failure(str(error)))
    return results


def _score_fits(coordinates, weight, candidates, seed, max_iter):
    """Return log-densities of held-out samples."""
    fits = _fits(coordinates, weight, candidates, seed, max_iter)
    return [
        fit
        if isinstance(fit, Failure)
        else usable(fit.log_prob(coordinates.held_out) + coordinates.log_det)
        for fit in fits
    ]


def _assemble(candidates, weights, mixtures, found, reasons):
    """Return the stack of all fits that succeeded."""
    fits = []
    for i, (candidate, own) in enumerate(zip(candidates, mixtures, strict=True)):
        if own:
            mixture = pool(own, np.full(len(own), 1 / len(own)))
            transformer = found[0][candidate.space].transformer
            fits.append(_as_estimator(mixture, transformer))
        else:
            unknown = "its coordinates are not found in all samples"
            fits.append(Failure(reasons.get(i, unknown)))
    return _gather(candidates, weights, fits)


def _as_estimator(mixture, transformer):
    """Return an estimator for samples as they are; what only the fit needed is lost."""
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


class _Named(NamedTuple):
    """An estimator with its name."""

    name: str
    estimator: Any


class GivenCandidates(Candidates):
    """Density estimators of the user's."""

    def __init__(self, estimators, seed, run):
        self._estimators, self._seed, self._run = estimators, seed, run

    def candidates(self, X):
        return [_Named(*pair) for pair in name_estimators(self._estimators)]

    def held_out(self, X, weight, folds, candidates, place):
        parts = [
            (_safe_indexing(X, train), take(weight, train), _safe_indexing(X, test))
            for train, test in folds
        ]
        tasks = [
            (candidate.estimator, *part, task_seed(self._seed, place + j, i))
            for i, candidate in enumerate(candidates)
            for j, part in enumerate(parts)
        ]
        results = self._run(_score_estimator, tasks, "selection")
        columns = []
        for first in range(0, len(results), len(folds)):
            own = results[first : first + len(folds)]
            failed = [result for result in own if isinstance(result, Failure)]
            columns.append(failed[0] if failed else np.concatenate(own))
        return columns

    def fit(self, X, weight, candidates, weights):
        tasks = [
            (candidate.estimator, X, weight, task_seed(self._seed, FINAL, i))
            for i, candidate in enumerate(candidates)
        ]
        work = Work()
        fits = work.learn(list, self._run, _fit_estimator, tasks, "fit")
        return work.end(_gather, candidates, weights, fits)


def _gather(candidates, weights, fits):
    """Return the stack of all fits that succeeded; some may be missing."""
    rows = [*zip(candidates, weights, fits, strict=True)]
    rows = [row for row in rows if row[2] is not None]
    failed = {c.name: fit.reason for c, _, fit in rows if isinstance(fit, Failure)}
    alive = [row for row in rows if not isinstance(row[2], Failure)]
    kept = np.array([weight for _, weight, _ in alive])
    members = [(candidate.name, fit) for candidate, _, fit in alive]
    return Fitted(members, kept / max(kept.sum(), 1e-300), failed)


def _fit_estimator(estimator, X, weight, seed):
    """Fit a clone, with a seed where it has none."""
    estimator = clone(estimator)
    seeds = {
        name: seed % 2**31
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    estimator.set_params(**seeds)
    weights = {} if weight is None else {"sample_weight": weight}
    # Whatever an estimator of the user's raises, the others go on without it.
    return attempt(fit_whole, estimator, X, **weights)


def _score_estimator(estimator, X, weight, held_out, seed):
    """Fit a clone and return the log-densities of held-out samples."""
    fitted = _fit_estimator(estimator, X, weight, seed)
    if isinstance(fitted, Failure):
        return fitted
    return attempt(lambda: usable(fitted.score_samples(held_out)))

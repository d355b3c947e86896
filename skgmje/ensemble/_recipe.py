"""The candidates of a stack by default: coordinates, sizes, shrinkage, annealing."""

from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates
from skgmje.em._kmeans import count_distinct
from skgmje.em._quick import quick_mixture
from skgmje.em._select import shrinkage_grid

LLOYD_STEPS = 10


# Annealing takes twenty iterations, the last of which are hardly tempered.
ANNEALING_EXTRA = 10


# Rows that a component needs, and the largest numbers of components.
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


# Full covariances of fewer rows per feature have diagonal ones beside them.
ROWS_PER_FEATURE = 10


class Effort(NamedTuple):
    """How much is tried."""

    n_seeds: int
    n_members: int
    settings: tuple
    max_iter: int


EFFORTS = {
    "fast": Effort(1, 16, ((2.0, 0.0, False), (2.0, 0.0, True), (0.0, 2.0, True)), 30),
    "thorough": Effort(
        2,
        32,
        ((2.0, 0.0, False), (2.0, 0.0, True), (0.0, 1.5, True), (0.0, 4.0, False)),
        40,
    ),
}


def _standardize(X, sample_weight, known):
    return StandardScaler().fit(X, sample_weight=sample_weight)


def _gaussianise(X, sample_weight, known):
    return MarginalGaussianizer().fit(X, sample_weight=sample_weight)


def _residuals(X, sample_weight, known):
    coordinates = ResidualCoordinates(gaussianize=True)
    return coordinates._fit(X, sample_weight, known.get("marginal"))


# Further settings where groups of rows differ from each other.
SMOOTH = ((0.0, 10.0, True), (0.0, 100.0, True))


# Coordinates by name: each fits its transformer, and may use those before it.
SPACES = {
    "identity": _standardize,
    "marginal": _gaussianise,
    "residual": _residuals,
}


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
        parts = [self.space, f"{self.n_components}", f"s{self.shrinkage:g}"]
        parts += ["annealed"] * self.annealed + ["diag"] * (
            self.covariance_type == "diag"
        )
        return "-".join(parts)

    def fit(self, Z, labels, sample_weight, max_iter):
        """Return the mixture of rows in the coordinates of the space."""
        return quick_mixture(
            Z,
            labels,
            self.covariance_type,
            sample_weight=sample_weight,
            shrinkage=self.shrinkage,
            annealed=self.annealed,
            max_iter=max_iter + ANNEALING_EXTRA * self.annealed,
        )


def make_candidates(n_rows, n_features, spaces, effort, *, shifted=False):
    """List what to try for so many rows and features."""
    # One row leaves nothing to choose by.
    few = 1 < n_features and 1 < n_rows < ROWS_PER_FEATURE * n_features
    single = shrinkage_grid("full", n_rows, n_features) if few else (2.0,)
    single = [(count, False) for count in single]
    if n_rows < FEW_ROWS:
        found = [Candidate("identity", 1, *setting) for setting in single]
        found += [Candidate("identity", 2)] * (n_rows >= FEWEST_ROWS)
        found += [Candidate("identity", 1, covariance_type="diag")] * few
        return found
    sizes = _sizes(n_rows, n_features)
    settings = [
        (max(2.0, base + slope * n_features), annealed)
        for base, slope, annealed in (*effort.settings, *(SMOOTH if shifted else ()))
    ]
    # Few features may make two settings one.
    settings = list(dict.fromkeys(settings))
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

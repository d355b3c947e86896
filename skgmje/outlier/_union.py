"""The density that outliers are looked for with, unless another one is given."""

import numpy as np

from skgmje._selection import count_distinct, kmeans_labels
from skgmje.adaptation import expectation_maximization, start_mixture
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.outlier._coordinates import Coordinates

# More components change little, and none is worth fewer distinct rows.
N_COMPONENTS = 32
ROWS_PER_COMPONENT = 20
N_FITS = 3
# Added to the variances; columns of few values need narrow components.
REG_COVAR = 1e-3
# EM ends early: the last digits of the likelihood find no outliers.
EM = {"tol": 1e-3, "max_iter": 30}
# Of more columns, powers of those with many ties would outvote all else, and there
# are fewer components, as the time allows that their matrices take.
MANY_COLUMNS = 64
# Of still more, many components with variances alone find more than few with matrices.
MOST_COLUMNS = 100
# Standard deviations that the broad component has at least.
LEAST_REACH = 3.0


class UnionDensity:
    """Several mixtures as one, over columns made nearly normal.

    Parameters
    ----------
    coordinates : Coordinates
        The maps of the columns, onto the whole space.

    mixture : Mixture
        Density of the images of rows.
    """

    def __init__(self, coordinates, mixture):
        self.coordinates = coordinates
        self.mixture = mixture

    def __repr__(self):
        return f"UnionDensity({self.mixture!r})"

    def score_samples(self, X):
        """Compute the log-density of each row, (n,)."""
        Z, log_slope = self.coordinates.forward(X)
        return self.mixture.log_prob(Z) + log_slope.sum(axis=1)


def fit_union(X, weight, max_samples, random_state):
    """Fit the default density.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows that count.

    weight : ndarray of shape (n_samples,) or None
        Their weights, positive.

    max_samples : int
        Number of rows that are drawn if there are more.

    random_state : RandomState instance
        Source of the rows drawn and of the k-means starts.

    Returns
    -------
    density : UnionDensity
        One density of all fits.
    """
    if len(X) > max_samples:
        drawn = random_state.permutation(len(X))[:max_samples]
        X, weight = X[drawn], None if weight is None else weight[drawn]
    n_features = X.shape[1]
    coordinates = Coordinates.fit(X, weight, powers=n_features <= MANY_COLUMNS)
    Z, _ = coordinates.forward(X)
    prior = {
        "sample_weight": weight,
        "shrinkage": float(n_features),
        "reg_covar": np.where(coordinates.varies, REG_COVAR, 1.0),
    }
    size = count_distinct(Z, N_COMPONENTS * ROWS_PER_COMPONENT) // ROWS_PER_COMPONENT
    size = min(max(size, 1), N_COMPONENTS)
    kind = "full" if n_features <= MOST_COLUMNS else "diag"
    if kind == "full" and n_features > MANY_COLUMNS:
        size = min(size, int(N_COMPONENTS * (MANY_COLUMNS / n_features) ** 2))
    fits = []
    for _ in range(N_FITS if size > 1 else 1):
        labels = kmeans_labels(Z, size, sample_weight=weight, random_state=random_state)
        start = start_mixture(Z, labels, kind, **prior)
        fits.append(expectation_maximization(Z, start, **prior, **EM).mixture)
    mass = float(len(Z) if weight is None else weight.sum(dtype=np.float64))
    return UnionDensity(coordinates, _unite(fits, Z, mass))


def _unite(fits, Z, mass):
    """Return the mixture of several fits to rows of a total weight.

    A broad component with the weight of one row says what a value never seen is
    worth, so that no column alone decides about a row. Correlations shrink as if
    there were one more row for each column, all of them uncorrelated.
    """
    n_features = Z.shape[1]
    kind = fits[0].covariance_type
    reach = np.maximum(np.abs(Z).max(axis=0), LEAST_REACH)
    covariances = np.concatenate([fit.covariances for fit in fits])
    broad = reach**2
    if kind == "full":
        variances = COVARIANCE_TYPES[kind].diagonal(
            covariances, len(covariances), n_features
        )
        share = n_features / (mass + n_features)
        covariances = (1 - share) * covariances
        covariances += share * variances[:, None, :] * np.eye(n_features)
        broad = np.diag(broad)
    weights = np.concatenate([fit.weights for fit in fits]) / len(fits)
    means = np.concatenate([fit.means for fit in fits])
    return Mixture(
        np.append(weights * mass, 1.0) / (mass + 1),
        np.vstack([means, np.zeros(n_features)]),
        np.concatenate([covariances, broad[None]]),
        kind,
    )

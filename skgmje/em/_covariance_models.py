r"""The fourteen models of Banfield, Raftery, Celeux and Govaert, as M-steps.

Of the covariances :math:`\lambda_k D_k A_k D_k^T` the letters say in this order whether
volume, shape (of determinant one) and orientation are Equal or Variable; I is the
identity. A model turns those of a free M-step into the likeliest that it allows.
"""

from functools import lru_cache

import numpy as np

from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Inner loops end when parameters, or the objective, move less than this share.
INNER_TOL = 1e-12
INNER_ITERATIONS = 1000

# Sweeps through all pairs of axes: of a first M-step, and of those that go on from
# the axes that an earlier one found.
SWEEPS, FEW_SWEEPS = 100, 3


def _equal(values, share, volume):
    """Return the mean values: equal volume and shape."""
    return np.broadcast_to(share @ values, values.shape)


def _equal_shape(values, share, volume):
    """Return values of equal shape: in turns the shape and the volumes."""
    n_features = values.shape[1]
    for _ in range(INNER_ITERATIONS):
        shape = (share / volume) @ values
        shape /= _geometric_mean(shape)
        last, volume = volume, (values / shape).sum(axis=1) / n_features
        if not np.abs(volume - last).max() > INNER_TOL * volume.max():
            break
    return volume[:, None] * shape


def _equal_volume(values, share, volume):
    """Return values of equal volume."""
    volume = _geometric_mean(values)
    return values / volume[:, None] * (share @ volume)


def _free(values, share, volume):
    return values


# Of variances along the axes, (n_components, n_features), by volume and shape.
RULES = {
    "EI": _equal,
    "EE": _equal,
    "VE": _equal_shape,
    "EV": _equal_volume,
    "VV": _free,
}


def _geometric_mean(values):
    return np.exp(np.log(values).mean(axis=-1))


class Model:
    """A model whose orientation is the axes', or that of its free covariances."""

    def __init__(self, name, covariance_type):
        self.name, self.covariance_type = name, covariance_type
        self.rule = RULES.get(name[:2])

    def n_parameters(self, n_components, n_features):
        """Count the free parameters of the covariances, as mclust does."""
        n_volumes, n_shapes, n_turns = (
            {"I": 0, "E": 1, "V": n_components}[letter] for letter in self.name
        )
        d = n_features
        return n_volumes + n_shapes * (d - 1) + n_turns * (d * (d - 1) // 2)

    def estimate(self, kernel, stats, prior):
        """Return the covariances that maximise the posterior given `stats`."""
        free = kernel.estimate(stats, prior)
        count = stats.counts + prior.shrinkage
        if not count.all():
            # What no sample belongs to says nothing of the others.
            free[count == 0] = free[count.argmax()]
        return self.constrain(free, count / count.sum(), kernel.covariances)

    def constrain(self, free, share, last):
        """Return the likeliest covariances from free ones; loops begin at the last."""
        raise NotImplementedError


class Plain(Model):
    """A model that is one of the covariance types."""

    def estimate(self, kernel, stats, prior):
        return kernel.estimate(stats, prior)


class Axes(Model):
    """Orientation along the axes, or spherical covariances of equal volume."""

    def constrain(self, free, share, last):
        return self.rule(free, share, _geometric_mean(last))


class Turned(Model):
    """An orientation for each component: the rule is one of eigenvalues."""

    def constrain(self, free, share, last):
        values, vectors = np.linalg.eigh(free)
        values = self.rule(values, share, _volumes(last))
        return _compose(values, vectors)


class Proportional(Model):
    """Equal shape and orientation: one matrix, and volumes."""

    def constrain(self, free, share, last):
        volume, n_features = _volumes(last), free.shape[1]
        for _ in range(INNER_ITERATIONS):
            common = np.tensordot(share / volume, free, 1)
            common /= _volumes(common)
            traces = (free * np.linalg.inv(common)).sum(axis=(1, 2))
            before, volume = volume, traces / n_features
            if not np.abs(volume - before).max() > INNER_TOL * volume.max():
                break
        return volume[:, None, None] * common


class Aligned(Model):
    """One orientation for all components, of shapes of their own."""

    def constrain(self, free, share, last):
        pooled = np.tensordot(share, free, 1)
        scale = np.trace(last, axis1=1, axis2=2)
        largest = free[share.argmax()]
        starts = np.linalg.eigh([(last.T / scale).sum(axis=-1), pooled, largest])[1]
        first = [self._along(free, share, vectors)[1] for vectors in starts]
        best = int(np.argmin(first))
        # Covariances that are all alike, as before the first step, tell no axes.
        goes_on = best == 0 and np.ptp(last, axis=0).any()
        return self._turn(free, share, starts[best], FEW_SWEEPS if goes_on else SWEEPS)

    def _along(self, free, share, vectors):
        """Return the values along given axes, and the mean of the log-determinants."""
        matrices = vectors.T @ free @ vectors
        values = self.rule(np.diagonal(matrices, axis1=1, axis2=2), share, None)
        return values, share @ np.log(values).sum(axis=1)

    def _turn(self, free, share, vectors, n_sweeps):
        """Return the covariances after turning axes in pairs, by the best angles."""
        values, objective = self._along(free, share, vectors)
        for _ in range(n_sweeps):
            matrices, last = vectors.T @ free @ vectors, objective
            for p, q in _rounds(free.shape[1]):
                turn = _turn_pairs(matrices, share[:, None] / values, p, q)
                matrices, vectors = turn.T @ matrices @ turn, vectors @ turn
                values = self.rule(np.diagonal(matrices, axis1=1, axis2=2), share, None)
            objective = share @ np.log(values).sum(axis=1)
            if not last - objective > INNER_TOL:
                break
        return _compose(values, vectors)


def _turn_pairs(matrices, factors, p, q):
    """Return the rotation in the planes of pairs of axes that lowers traces most."""
    # With the values fixed the objective, the trace of S_k D V_k^-1 D', is a sine of
    # twice the angle, and the planes of a round do not touch each other.
    lead = factors[:, p] - factors[:, q]
    cosine = (lead * (matrices[:, p, p] - matrices[:, q, q])).sum(axis=0) / 2
    sine = (lead * matrices[:, p, q]).sum(axis=0)
    angle = np.arctan2(-sine, -cosine) / 2
    turn = np.eye(matrices.shape[1])
    turn[p, p] = turn[q, q] = np.cos(angle)
    turn[q, p] = np.sin(angle)
    turn[p, q] = -turn[q, p]
    return turn


@lru_cache(maxsize=16)
def _rounds(n_features):
    """Return all pairs of axes, in rounds of pairs that share none."""
    n_places = n_features + n_features % 2
    ring, rounds = list(range(n_places)), []
    for _ in range(n_places - 1):
        pairs = zip(ring[: n_places // 2], ring[: n_places // 2 - 1 : -1], strict=True)
        pairs = [pair for pair in pairs if max(pair) < n_features]
        if pairs:
            rounds.append(tuple(np.array(pairs).T))
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return rounds


def _volumes(covariances):
    """Return the determinants' d-th root of matrices (..., d, d)."""
    log_det = np.linalg.slogdet(covariances)[1]
    return np.exp(log_det / covariances.shape[-1])


def _compose(values, vectors):
    """Return symmetric matrices of eigenvalues and eigenvectors."""
    root = vectors * np.sqrt(values)[..., None, :]
    return root @ np.swapaxes(root, -1, -2)


MODELS = {
    model.name: model
    for model in (
        Axes("EII", "spherical"),
        Plain("VII", "spherical"),
        Axes("EEI", "diag"),
        Axes("VEI", "diag"),
        Axes("EVI", "diag"),
        Plain("VVI", "diag"),
        Plain("EEE", "tied"),
        Proportional("VEE", "full"),
        Aligned("EVE", "full"),
        Aligned("VVE", "full"),
        Turned("EEV", "full"),
        Turned("VEV", "full"),
        Turned("EVV", "full"),
        Plain("VVV", "full"),
    )
}

# scikit-learn's words, and those that its users ask for.
SYNONYMS = {
    "full": "VVV",
    "tied": "EEE",
    "diag": "VVI",
    "spherical": "VII",
    "tied-diag": "EEI",
    "tied-spherical": "EII",
}


def is_open(setting):
    """Return whether a setting is to be chosen, among all or some."""
    return isinstance(setting, list | tuple) or setting in ("auto", "models")


def types_of(covariance_type, n_features):
    """Return the names of a type, of a list of them, or of 'models', which are all."""
    if covariance_type == "models":
        return [*MODELS] if n_features > 1 else ["EII", "VII"]
    one = isinstance(covariance_type, str)
    return [covariance_type] if one else [*dict.fromkeys(covariance_type)]


def model_name(covariance_type):
    """Return the three letters of a model; of a type that is none its own name."""
    return SYNONYMS.get(covariance_type, covariance_type)


def find_model(covariance_type):
    """Return the :class:`Model` of a name, or None if the type is no model."""
    return MODELS.get(model_name(covariance_type))


def layout_of(covariance_type):
    """Return the key of `COVARIANCE_TYPES` that a model is stored as."""
    model = find_model(covariance_type)
    return covariance_type if model is None else model.covariance_type


def count_parameters(mixture, name):
    """Return the number of free parameters of a mixture of a model, or of a type."""
    model, (k, d) = find_model(name), mixture.means.shape
    if model is None:
        return mixture.n_parameters
    return k * (1 + d) - 1 + model.n_parameters(k, d)


def kind_of(covariance_type):
    """Return the covariance type that a model is stored as."""
    return COVARIANCE_TYPES[layout_of(covariance_type)]

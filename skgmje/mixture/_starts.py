"""Where EM of a GaussianMixture begins: given parameters, a pool, or draws."""

from functools import partial

import numpy as np

from skgmje._backend import from_tensor
from skgmje.em._background import Background, without_noise
from skgmje.em._covariance_models import layout_of
from skgmje.em._missing import missing_moments
from skgmje.em._select import START_SAMPLES, draw_start
from skgmje.em._start_pool import StartPool
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._fit_rows import first_part, regularisation


class Starts:
    """The mixtures that EM begins at, and what a fit knows before it begins."""

    def __init__(self, estimator, X, weight, noise, random_state, *, automatic):
        self.estimator, self.random_state = estimator, random_state
        size = estimator.n_components
        size = 1 if size == "auto" else size
        seen = X, weight, noise, random_state, START_SAMPLES * size
        self.part, self.clean, own_noise = first_part(estimator, *seen)
        reg_covar = regularisation(estimator.reg_covar, X, weight)
        self.rules = {
            "reg_covar": reg_covar,
            "shrinkage_target": estimator.shrinkage_target,
            "rank": estimator.rank,
            # Of all samples: a part may lack all values of a feature.
            "moments": missing_moments(X, weight),
        }
        # One sample has a covariance that a background, or noise, would keep.
        self.wide = estimator.background or noise is not None
        self.background = self.pool = self.rank = None
        if estimator.background:
            self.clean = self.part[0], without_noise(*self.part, random_state)
            background = Background.of(X, reg_covar)
            self.background = background.begin(*self.part, *self.clean)
        init = estimator.init_params
        if init == "auto" or (automatic and init == "kmeans"):
            self.pool = StartPool(*self.clean, size, random_state, own_noise)
            self.rank = partial(self.pool.rank, size)

    def draw(self, selection):
        """Return the next mixture that EM begins at, None if there is no other."""
        estimator, (X, weight) = self.estimator, self.clean
        size, kind, shrinkage = selection[:3]
        if estimator._goes_on():
            words = "warm_start=True", "set warm_start=False"
            return estimator._last_solution(*words, X.shape[1], size, kind)
        given = given_start(estimator, kind, (size, X.shape[1]))
        if len(given) == 3:
            return Mixture(**given, covariance_type=layout_of(kind))
        rules = {"shrinkage": shrinkage, **self.rules}
        if self.pool is not None:
            draws = estimator.n_init, self.random_state
            start = self.pool.draw(selection, *draws, **rules)
        else:
            how = estimator.init_params, self.random_state
            rules |= {"covariance_type": kind, "wide": self.wide}
            start = draw_start(X, weight, size, *how, **rules)
        return start and override(start, given, (size, X.shape[1]))


def given_start(estimator, covariance_type, shape):
    """Return the parts of a start that are given, checked, by their names."""
    weights, means = estimator.weights_init, estimator.means_init
    precisions = estimator.precisions_init
    covariance_type = layout_of(covariance_type)
    given, kind = {}, COVARIANCE_TYPES[covariance_type]
    if weights is not None:
        given["weights"] = _part("weights_init", "weights", weights, shape[:1])
        _check_shares(given["weights"])
    if means is not None:
        given["means"] = _part("means_init", "means", means, shape)
    if precisions is not None:
        if not kind.keeps_inverse:
            raise ValueError(
                "precisions_init is not defined for covariance_type="
                f"{covariance_type!r}. Pass means_init alone, or begin at "
                "from_parameters(...).set_params(warm_start=True)."
            )
        word = f"{covariance_type} precision"
        precisions = _part("precisions_init", word, precisions, kind.shape(*shape))
        given["covariances"] = _inverse(word, precisions, kind)
    return given


def _part(name, word, values, shape):
    """Return a given parameter of the start as numbers, of a shape."""
    values = np.asarray(from_tensor(values), np.float64)
    # scikit-learn's words, which others look for, too.
    if values.shape != tuple(shape):
        raise ValueError(
            f"{name} of shape {values.shape} does not fit. The parameter {word!r} "
            f"should have the shape of {tuple(shape)}, but got {values.shape}. Reshape "
            "it or change n_components."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has NaN or infinite entries; they must be finite.")
    return values


def _check_shares(weights):
    """Raise if given weights are no shares of one."""
    if weights.min() < 0 or weights.max() > 1 + 1e-5:
        raise ValueError(
            f"weights_init={weights.tolist()}: the parameter 'weights' should be in "
            f"the range [0, 1], but got max value {weights.max():.5f}, min value "
            f"{weights.min():.5f}. Clip it, and divide it by its sum."
        )
    if not np.isclose(weights.sum(), 1.0):
        raise ValueError(
            f"weights_init={weights.tolist()} must sum to one. The parameter 'weights' "
            f"should be normalized, but got sum(weights) = {weights.sum():.5f}. Divide "
            "it by its sum."
        )


def _inverse(word, precisions, kind):
    """Return the covariances of given precisions."""
    wanted = "positive" if kind.independent else "symmetric, positive-definite"
    try:
        kind.check(precisions)
        if not (kind.variances(precisions) > 0).all():
            raise ValueError(f"It has a value of {kind.variances(precisions).min():g}.")
        return kind.symmetrize(kind.precisions(precisions))
    except ValueError as error:
        raise ValueError(
            f"precisions_init is not usable: {word!r} should be {wanted}. Pass "
            "inverses of covariances."
        ) from error


def override(start, given, shape):
    """Return `start` with the given parts in place of its own."""
    if not given:
        return start
    if start.means.shape != shape:
        raise ValueError(
            f"X has no more than {start.n_components} distinct samples, but the start "
            f"that is given has n_components={shape[0]}. Give weights_init, means_init "
            "and precisions_init, or lower n_components."
        )
    own = {name: getattr(start, name) for name in ("weights", "means", "covariances")}
    return Mixture(**{**own, **given}, covariance_type=start.covariance_type)

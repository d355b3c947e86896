"""Starts that are given: weights, means and precisions, or the last solution."""

import numpy as np

from skgmje._backend import from_tensor
from skgmje._warnings import warn
from skgmje.em._covariance_models import layout_of, model_name
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import check_goes_on


def given_start(weights, means, precisions, covariance_type, shape):
    """Return the parts of a start that are given, checked, by their names."""
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


def is_searched(estimator, automatic):
    """Return whether a criterion of all samples chooses; raise if it cannot."""
    if estimator.criterion == "held-out":
        return False
    if not automatic:
        warn(
            f"criterion={estimator.criterion!r} chooses nothing, because nothing is "
            f"'auto': n_components={estimator.n_components!r}, covariance_type="
            f"{estimator.covariance_type!r}. Set n_components='auto', or leave "
            "criterion out."
        )
        return False
    names = "weights_init", "means_init", "precisions_init"
    unused = [name for name in names if getattr(estimator, name) is not None]
    if estimator.init_params not in ("auto", "kmeans"):
        unused.append(f"init_params={estimator.init_params!r}")
    unused = [] if estimator._goes_on() else unused
    unused += ["background=True"] if estimator.background else []
    if unused:
        raise ValueError(
            f"{unused[0]} does not go with criterion={estimator.criterion!r}, which "
            "has starts of its own, of components only. Set criterion='held-out', "
            "or nothing to 'auto', or leave it out."
        )
    return True


def last_solution(estimator, call, remedy, n_features, size=None, kind=None):
    """Return the mixture to go on from, if it is of the settings asked for."""
    mixture = estimator._gaussians
    own = mixture.n_components, estimator._model(mixture)
    # Components that have died count; by hand there may be no fit before.
    n_components, covariance_type = vars(estimator).get("_asked", own)
    rank = COVARIANCE_TYPES[mixture.covariance_type].rank(mixture.covariances)
    kind = estimator.covariance_type if kind is None else kind
    if model_name(kind) == model_name(covariance_type):
        kind = covariance_type
    known = {
        "n_components": n_components,
        "covariance_type": covariance_type,
        "n_features": mixture.n_features,
        "rank": rank,
    }
    asked = {
        "n_components": estimator.n_components if size is None else size,
        "covariance_type": kind,
        "n_features": n_features,
        "rank": rank and min(estimator.rank, n_features),
    }
    check_goes_on(call, known, asked, remedy)
    return mixture

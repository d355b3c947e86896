"""From the members of a stack to one density."""

import numpy as np
from sklearn.mixture import GaussianMixture

from skgmje._base import as_mixture
from skgmje.compose import (
    MarginalGaussianizer,
    ResidualCoordinates,
    TransformedDensity,
)
from skgmje.ensemble._parts import EstimatorPart, MixturePart, pool
from skgmje.ensemble._stacked_mixture import StackedMixture
from skgmje.mixture._base import MixtureDensityMixin

_MAPS = (MarginalGaussianizer, ResidualCoordinates)


def group_members(members):
    """Number the coordinates that members are in, from 0.

    Parameters
    ----------
    members : list of (str, fitted estimator)
        The densities. Gaussian mixtures behind the same transformer, or behind
        none, are in the same coordinates; anything else is alone.

    Returns
    -------
    groups : list of int
        One number for each member.
    """
    numbers = {}
    for i, (_, member) in enumerate(members):
        mixture, map_ = _behind(member)
        numbers[i] = ("alone", i) if mixture is None else ("map", id(map_))
    known = list(dict.fromkeys(numbers.values()))
    return [known.index(key) for key in numbers.values()]


def stack_members(members, weights, groups):
    """Return the stack of fitted densities, one part for each group.

    Parameters
    ----------
    members : list of (str, fitted estimator)
        The densities.

    weights : ndarray of shape (n_members,)
        Their weights.

    groups : list of int
        What :func:`group_members` returns.

    Returns
    -------
    stack : StackedMixture
        Their average.

    mixtures : list of Mixture or None
        Each member in the coordinates of its part, if it is a mixture there.
    """
    mixtures = [_behind(member)[0] for _, member in members]
    parts, shares = [], []
    for group in range(max(groups) + 1):
        own = [i for i, number in enumerate(groups) if number == group]
        share = weights[own]
        shares.append(share.sum())
        member = members[own[0]][1]
        if mixtures[own[0]] is None:
            parts.append(EstimatorPart(member))
        else:
            pooled = pool([mixtures[i] for i in own], share / share.sum())
            parts.append(MixturePart(pooled, _behind(member)[1]))
    return StackedMixture(parts, np.log(shares)), mixtures


def _behind(member):
    """Return a member's mixture and the map before it; None for what it has not."""
    map_ = None
    if type(member) is TransformedDensity and isinstance(member.transformer_, _MAPS):
        map_, member = member.transformer_, member.density_
    exact = isinstance(member, MixtureDensityMixin | GaussianMixture)
    return (as_mixture(member), map_) if exact else (None, None)

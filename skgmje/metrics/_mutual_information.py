"""How much groups of columns tell about each other."""

from itertools import chain

import numpy as np

from skgmje._base import as_mixture
from skgmje.metrics._monte_carlo import (
    MonteCarloEstimate,
    check_draws,
    mean_estimate,
)


def mutual_information(density, groups, *, n_samples=10_000, random_state=None):
    r"""Compute the mutual information of groups of columns of a Gaussian mixture.

    .. math:: I(A; B) = E\Bigl[\log \frac{p(x_A, x_B)}{p(x_A) p(x_B)}\Bigr]

    and for more than two groups the total correlation, with all their marginals in
    the denominator. One component has the closed form
    :math:`\tfrac12 \log (|\Sigma_{AA}| |\Sigma_{BB}| / |\Sigma|)`; otherwise the
    expectation is a mean over draws from the density, whose marginals are exact.

    Parameters
    ----------
    density : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes.

    groups : sequence of sequences of int
        At least two groups of columns that do not overlap, such as
        ``[[0, 1], [2]]``. Columns in none of them are left out.

    n_samples : int, default=10_000
        Number of draws.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness; of one component nothing is drawn.

    Returns
    -------
    estimate : MonteCarloEstimate
        In nats. Zero for independent groups, where an estimate may come out
        slightly negative; the same in any units of the columns.

    Raises
    ------
    TypeError
        If the density is not one Gaussian mixture.

    ValueError
        If the groups overlap, are empty, or name columns that do not exist.

    See Also
    --------
    conditional_surprise : Which columns do not fit the others, row by row.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import mutual_information
    >>> mixture = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> value, standard_error = mutual_information(mixture, [[0], [1]])
    >>> round(value, 3), standard_error
    (0.511, 0.0)
    """
    mixture = as_mixture(density).to_numpy()
    generator = check_draws(n_samples, random_state)
    groups = _check_groups(groups, mixture)
    parts = [mixture.marginal(group) for group in groups]
    joint = mixture.marginal([*chain.from_iterable(groups)])
    if mixture.n_components == 1:
        total = sum(map(_log_det, parts)) - _log_det(joint)
        return MonteCarloEstimate(0.5 * total, 0.0)
    X = joint.sample(n_samples, generator)[0]
    ends = np.cumsum([len(group) for group in groups])[:-1]
    columns = np.split(X, ends, axis=1)
    apart = sum(p.log_prob(x) for p, x in zip(parts, columns, strict=True))
    return mean_estimate(joint.log_prob(X) - apart)


def _log_det(mixture):
    return float(np.linalg.slogdet(mixture.within_covariance)[1])


def _check_groups(groups, mixture):
    """Return lists of columns that belong to one mixture."""
    if mixture.means.ndim > 2:
        raise ValueError(f"{mixture!r} holds several mixtures. Ask one at a time.")
    remedy = (
        f"Give at least two lists of different columns from 0 to "
        f"{mixture.n_features - 1}, such as [[0], [1]]."
    )
    try:
        groups = [[int(column) for column in group] for group in groups]
    except (TypeError, ValueError) as error:
        raise ValueError(f"groups={groups!r} holds no lists. {remedy}") from error
    columns = [*chain.from_iterable(groups)]
    wrong = [column for column in columns if not 0 <= column < mixture.n_features]
    twice = len(set(columns)) < len(columns)
    if len(groups) < 2 or not all(groups) or wrong or twice:
        raise ValueError(
            f"groups={groups!r} do not divide columns into groups. {remedy}"
        )
    return groups

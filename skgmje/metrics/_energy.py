"""The energy score: the ranked probability score in any number of dimensions."""

from numbers import Integral

import numpy as np

from skgmje._backend import as_generator
from skgmje.gaussian._arrays import map_arrays, take_components
from skgmje.gaussian._batch import as_batch
from skgmje.gaussian._density import block_rows
from skgmje.metrics._checks import average_rows, check_pair
from skgmje.metrics._crps import crps_samples


def energy_score(mixture, y, *, n_samples=64, sample_weight=None, random_state=None):
    r"""Compute the mean energy score.

    .. math:: \mathrm{ES}(p, y) = E|Y - y| - \tfrac12 E|Y - Y'|

    with Euclidean distances [1]_. It is best for the true density, and sees how
    the targets depend on each other. For one target it is the closed form of
    :func:`crps`. Otherwise each expectation is a mean over samples, drawn from the
    components in proportion to their weights, so that only the position within
    the components is left to chance. The estimate has no bias, so that a score
    near zero may come out negative.

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Large differences of scale between targets count:
        standardise them if all should matter.

    n_samples : int, default=64
        Number of draws Y, and of draws Y', of each row. With m of them the
        standard error for n rows is below :math:`s / \sqrt{n m}`, and in mixtures
        of many narrow components about a fifth of that, where :math:`s^2` is the
        trace of the densities' covariance.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness. The same integer makes scores of two models differ
        by less chance than different ones do.

    Returns
    -------
    score : float
        Less is better.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite, or if `n_samples` is no
        positive integer.

    See Also
    --------
    energy_score_samples : The score of each row.
    crps : Each target under its marginal, without chance.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery, "Strictly proper scoring rules,
       prediction, and estimation", Journal of the American Statistical
       Association 102(477), 2007.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import energy_score
    >>> mixture = Mixture(
    ...     [0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], [0.01, 0.01], "spherical"
    ... )
    >>> right = energy_score(mixture, [[1.0, 1.0]], random_state=0)
    >>> wrong = energy_score(mixture, [[1.0, -1.0]], random_state=0)
    >>> bool(right < wrong)
    True
    """
    scores = energy_score_samples(
        mixture, y, n_samples=n_samples, random_state=random_state
    )
    return float(average_rows(scores, sample_weight))


def energy_score_samples(mixture, y, *, n_samples=64, random_state=None):
    """Compute the energy score of each row.

    Parameters
    ----------
    mixture : Mixture
        One for each row, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed.

    n_samples : int, default=64
        Number of draws for each of the two expectations.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness; of one target nothing is drawn.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Less is better.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite, or if `n_samples` is no
        positive integer.

    See Also
    --------
    energy_score : The mean, with the formula.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import energy_score_samples
    >>> mixture = Mixture([1.0], [[0.0, 0.0]], [1.0], "spherical")
    >>> scores = energy_score_samples(mixture, [[0.0, 0.0], [9.0, 0.0]], random_state=0)
    >>> bool(scores[0] < scores[1])
    True
    """
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
    mixture, columns = check_pair(mixture, y)
    if mixture.n_features == 1:
        return crps_samples(mixture, columns[:, 0])
    generator = as_generator(random_state)
    batch = as_batch(mixture)
    step = block_rows(n_samples * max(n_samples, *batch.means.shape[1:]))
    blocks = []
    for start in range(0, len(columns), step):
        rows = slice(start, start + step)
        y = columns[rows]
        own = batch if len(batch.means) == 1 else batch.take(rows)
        draws = [_draw(own, len(y), n_samples, generator) for _ in range(2)]
        blocks.append(_score(*draws, y))
    return np.concatenate(blocks)


def _draw(batch, n, n_samples, generator):
    """Draw points (n_samples, n, d), with evenly spread components in each row."""
    means = np.broadcast_to(batch.means, (n, *batch.means.shape[1:]))
    covariances = map_arrays(
        lambda part: np.broadcast_to(part, (n, *part.shape[1:])), batch.covariances
    )
    total = np.cumsum(batch.weights, axis=-1)
    levels = (np.arange(n_samples)[:, None] + generator.random(n)) / n_samples
    levels = levels * total[:, -1]
    component = (levels[..., None] >= total).sum(axis=-1)
    # Rounding may put the last level on the total.
    component = np.minimum(component, total.shape[-1] - 1)
    n_normals = batch.kind.n_normals(covariances, means.shape[-1])
    normals = generator.standard_normal((n_samples, n, n_normals))
    noise = batch.kind.noise(batch.kind.root(covariances), component, normals)
    return take_components(means, component) + noise


def _score(first, second, y):
    center = first.mean(axis=0)
    first, second = (np.moveaxis(draws - center, 0, 1) for draws in (first, second))
    y = (y - center)[:, None]
    error = 0.5 * (_distances(first, y) + _distances(second, y))
    return error - 0.5 * _distances(first, second)


def _distances(first, second):
    """Average the distances of all pairs of rows, (n, p, d) and (n, q, d)."""
    squares = [(part * part).sum(axis=-1) for part in (first, second)]
    products = first @ np.swapaxes(second, 1, 2)
    square = squares[0][:, :, None] + squares[1][:, None, :] - 2.0 * products
    return np.sqrt(np.maximum(square, 0.0)).mean(axis=(1, 2))

"""Distances of two densities that are Gaussian mixtures, in closed form."""

from skgmje._base import as_mixture


def l2_distance(first, second):
    r"""Compute the L2 distance of two Gaussian mixtures.

    .. math:: \Bigl(\int (p(x) - q(x))^2 \, dx\Bigr)^{1/2}
        = \bigl(\langle p, p \rangle - 2 \langle p, q \rangle
        + \langle q, q \rangle\bigr)^{1/2}

    where :math:`\langle p, q \rangle` is a sum over pairs of components.

    Parameters
    ----------
    first, second : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, of the same features.

    Returns
    -------
    distance : float or ndarray of the mixtures' leading axes
        Not negative. It depends on the units of the features, and what differs by
        less than about 1e-8 of the norms is not told apart.

    Raises
    ------
    TypeError
        If a density is not one Gaussian mixture.

    ValueError
        If the numbers of features differ.

    See Also
    --------
    cauchy_schwarz_divergence : Without units.
    monte_carlo_l2 : Of any two densities.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import l2_distance
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(l2_distance(first, first.affine(1.0, 1.0)), 4)
    0.3533
    """
    first, second = _check_mixtures(first, second, "monte_carlo_l2")
    return _plain(first.l2_distance(second))


def cauchy_schwarz_divergence(first, second):
    r"""Compute the Cauchy-Schwarz divergence of two Gaussian mixtures.

    .. math:: D(p, q) = -\log \frac{\langle p, q \rangle^2}
        {\langle p, p \rangle \langle q, q \rangle} \ge 0

    Parameters
    ----------
    first, second : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, of the same features.

    Returns
    -------
    divergence : float or ndarray of the mixtures' leading axes
        In nats; 0 for equal densities, symmetric, and the same after any
        invertible linear map of the features.

    Raises
    ------
    TypeError
        If a density is not one Gaussian mixture.

    ValueError
        If the numbers of features differ.

    See Also
    --------
    l2_distance : In units of the density.
    monte_carlo_cauchy_schwarz : Of any two densities.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import cauchy_schwarz_divergence
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(cauchy_schwarz_divergence(first, first.affine(1.0, 1.0)), 4)
    0.5
    """
    first, second = _check_mixtures(first, second, "monte_carlo_cauchy_schwarz")
    return _plain(first.cauchy_schwarz_divergence(second))


def _check_mixtures(first, second, instead):
    """Return two mixtures of NumPy arrays; name the other function if they are none."""
    try:
        return as_mixture(first).to_numpy(), as_mixture(second).to_numpy()
    except TypeError as error:
        raise TypeError(
            f"The closed form holds for Gaussian mixtures only. {error} For any other "
            "densities that can be scored and sampled use "
            f"skgmje.metrics.{instead}."
        ) from error


def _plain(value):
    return float(value) if value.ndim == 0 else value

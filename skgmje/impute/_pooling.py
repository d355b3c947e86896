"""Estimates of several imputed tables as one, by Rubin's rules."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from skgmje._typing import ArrayLike, NDArray
from skgmje._validation import check_numbers, is_positive


class PooledEstimates(NamedTuple):
    """What :func:`pool_estimates` returns, each of the shape of one table's estimates.

    Parameters
    ----------
    estimate, variance : ndarray
        Mean over the imputed tables, and its squared standard error: ``within + (1 + 1
        / n_imputations) * between``.

    within, between : ndarray
        Mean of the tables' variances, and variance of their estimates.

    dof : ndarray
        Degrees of freedom of the t distribution of the estimate.

    Examples
    --------
    >>> from skgmje.impute import pool_estimates
    >>> pooled = pool_estimates([0.9, 1.0, 1.1], [0.04, 0.04, 0.04])
    >>> pooled.interval(0.95).round(2)
    array([0.53, 1.47])
    """

    estimate: Any
    variance: Any
    within: Any
    between: Any
    dof: Any

    @property
    def standard_error(self) -> Any:
        """Square root of the variance."""
        return np.sqrt(self.variance)

    def interval(self, confidence: float = 0.95) -> NDArray[Any]:
        """Compute confidence intervals, lower and upper ends along the first axis.

        Parameters
        ----------
        confidence : float, default=0.95
            Probability that an interval covers the true value, in (0, 1).

        Returns
        -------
        interval : ndarray of shape (2, ...)
            The ends; infinite where `dof` is 0.

        Raises
        ------
        ValueError
            If `confidence` is no such probability.
        """
        if not 0 < confidence < 1:
            raise ValueError(
                f"confidence={confidence!r} must be a share between 0 and 1, such as "
                "0.95."
            )
        # Without any degree of freedom nothing is known of the estimate.
        known = np.asarray(self.dof) > 0
        factor = stdtrit(np.where(known, self.dof, 1.0), 0.5 + 0.5 * confidence)
        reach = np.where(known, factor, np.inf) * self.standard_error
        return np.stack([self.estimate - reach, self.estimate + reach])


def pool_estimates(
    estimates: ArrayLike, variances: ArrayLike, *, dof_complete: float | None = None
) -> PooledEstimates:
    r"""Pool the estimates of several imputed tables by Rubin's rules.

    .. math:: \bar q = \frac1m \sum_i q_i, \qquad
        T = \frac1m \sum_i u_i + \Bigl(1 + \frac1m\Bigr) B, \qquad
        B = \frac1{m - 1} \sum_i (q_i - \bar q)^2

    of the estimates :math:`q_i` and their squared standard errors :math:`u_i`. The
    estimate has a t distribution of :math:`(m - 1) / \lambda^2` degrees of freedom,
    with the share :math:`\lambda = (1 + 1/m) B / T` of the variance that is due to
    what is missing [1]_.

    Parameters
    ----------
    estimates : array-like of shape (n_imputations, ...)
        What was estimated from each table, such as coefficients of a regression.

    variances : array-like of shape (n_imputations, ...)
        Squared standard errors of these, as estimated from each table alone.

    dof_complete : float, default=None
        Degrees of freedom if nothing were missing, such as ``n_samples -
        n_coefficients``; then those of the result are fewer than these [2]_, which
        small samples need.

    Returns
    -------
    pooled : PooledEstimates
        Estimates, variances, degrees of freedom, and ``interval(confidence)``.

    Raises
    ------
    ValueError
        If there are fewer than two tables, shapes differ, a number is not finite or a
        variance negative, or if `dof_complete` is no positive number.

    References
    ----------
    .. [1] D. B. Rubin, "Multiple Imputation for Nonresponse in Surveys", 1987.
    .. [2] J. Barnard and D. B. Rubin, "Small-sample degrees of freedom with multiple
       imputation", Biometrika 86, 1999.

    Examples
    --------
    The mean of a column of which a third is missing, and its standard error:

    >>> import numpy as np
    >>> from skgmje.impute import MixtureImputer, pool_estimates
    >>> rng = np.random.default_rng(0)
    >>> X = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], 300)
    >>> X[:100, 1] = np.nan
    >>> imputer = MixtureImputer(random_state=0).fit(X)
    >>> tables = imputer.sample_imputations(X, 20)
    >>> means, variances = tables.mean(axis=1), tables.var(axis=1) / len(X)
    >>> pooled = pool_estimates(means, variances, dof_complete=len(X) - 1)
    >>> bool(pooled.standard_error[1] > np.sqrt(1.0 / 300))
    True
    """
    names = {"estimates": estimates, "variances": variances}
    how = {"ensure_2d": False, "allow_nd": True, "ensure_min_samples": 2}
    q, u = (check_numbers(value, name, **how) for name, value in names.items())
    if dof_complete is not None and not is_positive(dof_complete):
        raise ValueError(
            f"dof_complete={dof_complete!r} must be a positive, finite number, such as "
            "n_samples - n_coefficients, or None for infinitely many."
        )
    if q.shape != u.shape:
        raise ValueError(
            f"estimates has shape {q.shape} and variances {u.shape}. Give one "
            "variance, a squared standard error, for each estimate."
        )
    if (u < 0).any():
        raise ValueError(
            f"variances has a negative number, {u.min():.3g}. Give squared standard "
            "errors."
        )
    m, within, between = len(q), u.mean(axis=0), q.var(axis=0, ddof=1)
    added = (1 + 1 / m) * between
    variance = within + added
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(variance > 0, added / variance, 0.0)
        dof = (m - 1) / share**2
        if dof_complete is not None:
            observed = (dof_complete + 1) / (dof_complete + 3) * dof_complete
            dof = 1 / (1 / dof + 1 / (observed * (1 - share)))
    return PooledEstimates(q.mean(axis=0), variance, within, between, dof)

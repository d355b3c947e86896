"""The suite for estimators of a density, which scikit-learn does not have."""

import warnings
from unittest import SkipTest

from sklearn.base import clone

from skgmje.utils._density_checks import CHECKS, Subject

__all__ = ["check_density_estimator"]


def check_density_estimator(estimator, *, expected_failed_checks=None, on_fail="raise"):
    r"""Check that an estimator of a density is one.

    :func:`sklearn.utils.estimator_checks.check_estimator` has no group of checks for
    densities. Here are thirteen laws, on 240 rows of one and two columns:

    ======================================= ==========================================
    ``check_integrates_to_one_1d``          quadrature on 20001 points, to 0.002
    ``check_integrates_to_one_2d``          quadrature on 281 by 281 points, to 0.02
    ``check_score_is_mean``                 of ``score_samples``, with weights if any
    ``check_sample_has_shape_and_seed``     same seed, same rows
    ``check_sample_agrees_with_score``      two-sample tests in six directions
    ``check_shift_equivariance``            fits of shifted rows
    ``check_scale_equivariance``            fits of rows times one factor
    ``check_unit_equivariance``             fits of rows in other units
    ``check_rotation_equivariance``         fits of rotated rows
    ``check_finite_far_away``               to 1e8 standard deviations; no NaN beyond
    ``check_chain_rule``                    ``marginal`` and ``condition``
    ``check_weights_count_as_copies``       weights 0 to 3 against copies
    ``check_keeps_single_precision``        float32 in, float32 out
    ======================================= ==========================================

    Of the equivariances it is asked that

    .. math:: \log p_{AX + b}(A x + b) = \log p_X(x) - \log |\det A|

    to 0.01 nats at every row, for the densities fitted on the rows X and A X + b.

    Parameters
    ----------
    estimator : estimator
        An estimator with ``fit``, ``score_samples`` and ``score``; its clones are
        fitted with every ``random_state`` set to 0. A check whose methods or
        arguments it lacks (``sample``, ``marginal`` and ``condition``,
        ``sample_weight``) is skipped.

    expected_failed_checks : dict, default=None
        Reasons of the checks that may fail, by their names.

    on_fail : {'raise', None}, default='raise'
        Whether the first failure that is not expected raises its exception.

    Returns
    -------
    results : list of dict
        One for each check, with the keys of
        :func:`~sklearn.utils.estimator_checks.check_estimator`: ``estimator``,
        ``check_name``, ``exception``, ``status`` ("passed", "failed", "xfail" or
        "skipped"), ``expected_to_fail`` and ``expected_to_fail_reason``.

    Raises
    ------
    AssertionError
        If a law does not hold, and `on_fail` is 'raise'; whatever the estimator
        raises passes through.

    TypeError
        If `estimator` is a class.

    ValueError
        If a name or an option is not known.

    See Also
    --------
    sklearn.utils.estimator_checks.check_estimator : What every estimator must do.

    Notes
    -----
    Rows are positive, and stay so in all checks. Densities with a bounded support
    score -inf far away: declare ``check_finite_far_away``. Few densities have all
    equivariances: a kernel density of fixed bandwidth has units of its own, diagonal
    covariances do not rotate.

    Examples
    --------
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje import GaussianMixture
    >>> from skgmje.utils.estimator_checks import check_density_estimator
    >>> results = check_density_estimator(GaussianMixture())
    >>> {result["status"] for result in results}
    {'passed'}
    >>> results = check_density_estimator(KernelDensity(), on_fail=None)
    >>> [r["check_name"] for r in results if r["status"] == "failed"][0]
    'check_score_is_mean'
    """
    if isinstance(estimator, type):
        raise TypeError(f"{estimator.__name__} is a class. Pass an instance of it.")
    if on_fail not in ("raise", None):
        raise ValueError(f"on_fail={on_fail!r} must be 'raise' or None.")
    reasons = expected_failed_checks or {}
    unknown = sorted(set(reasons) - set(CHECKS))
    if unknown:
        raise ValueError(
            f"expected_failed_checks has the unknown names {unknown}; known are "
            f"{list(CHECKS)}."
        )
    subject = Subject(clone(estimator))
    results = []
    for name, check in CHECKS.items():
        status, exception = _run(check, subject)
        if status == "failed" and name in reasons:
            status = "xfail"
        if status == "failed" and on_fail == "raise":
            raise exception
        results.append(
            {
                "estimator": estimator,
                "check_name": name,
                "exception": exception,
                "status": status,
                "expected_to_fail": name in reasons,
                "expected_to_fail_reason": reasons.get(name),
            }
        )
    return results


def _run(check, subject):
    """Return how a check ended, and with which exception."""
    try:
        # Whether an estimator warns where it answers is not asked here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(subject)
    except SkipTest as skip:
        return "skipped", skip
    except Exception as error:
        return "failed", error
    return "passed", None

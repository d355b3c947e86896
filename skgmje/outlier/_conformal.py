"""Conformal p-values."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje.outlier._detector import rounding


def conformal_p_values(
    detector, X_calibration, X, *, randomize=False, random_state=None
):
    r"""Compute p-values of the hypothesis that rows are like the calibration rows.

    .. math:: p(x) = \frac{1 + \#\{i : s_i \le s(x)\}}{m + 1}

    with the scores :math:`s_i` of m calibration rows, which the detector has not
    been fitted on. If x is exchangeable with them, :math:`P(p \le t) \le t` for
    every t, whatever the detector and the distribution; on average over the
    calibration rows, not given them.

    Parameters
    ----------
    detector : fitted estimator
        Anything with ``score_samples`` that is higher for more normal rows: this
        library's and scikit-learn's detectors, and densities.

    X_calibration : array-like of shape (m, n_features)
        Normal rows, held out from the detector's fit. The smallest p-value is
        1 / (m + 1).

    X : array-like of shape (n_samples, n_features)
        Rows in question.

    randomize : bool, default=False
        What ties count. By default all of them count, which is valid and a little
        too large. Otherwise a uniform random share of them and of x itself counts,
        and p is exactly uniform under the hypothesis.

    random_state : int, RandomState instance or None, default=None
        Source of these shares.

    Returns
    -------
    p_values : ndarray of shape (n_samples,)
        In (0, 1].

    Raises
    ------
    TypeError
        If the detector has no ``score_samples``.

    ValueError
        If a score is NaN.

    See Also
    --------
    DensityOutlierDetector : A detector to calibrate.
    scipy.stats.false_discovery_control : Adjusts p-values of many rows.

    References
    ----------
    .. [1] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for
       outliers with conformal p-values", 2023.

    Examples
    --------
    Of 200 rows, 20 are outliers. Calling rows outliers as long as at most a tenth of
    those called is expected to be wrong, by Benjamini and Hochberg:

    >>> import numpy as np
    >>> from scipy.stats import false_discovery_control
    >>> from skgmje.outlier._detector import DensityOutlierDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 3))
    >>> detector = DensityOutlierDetector(random_state=0).fit(X[:1000])
    >>> X_new = np.vstack([rng.normal(size=(180, 3)), rng.normal(6, 1, (20, 3))])
    >>> p_values = conformal_p_values(detector, X[1000:], X_new)
    >>> found = np.flatnonzero(false_discovery_control(p_values) <= 0.1)
    >>> int(np.sum(found >= 180)), int(np.sum(found < 180)) <= 4
    (20, True)
    """
    if not callable(getattr(detector, "score_samples", None)):
        raise TypeError(
            f"detector={detector!r} has no method score_samples. Give a fitted "
            "detector or density, for example DensityOutlierDetector().fit(X)."
        )
    check_is_fitted(detector)
    known = np.sort(_scores(detector, X_calibration, "X_calibration"))
    scores = _scores(detector, X, "X")
    slack = rounding(scores)
    up_to = np.searchsorted(known, scores + slack, side="right")
    if not randomize:
        return (1 + up_to) / (len(known) + 1)
    below = np.searchsorted(known, scores - slack, side="left")
    # In (0, 1], so that no p-value is zero.
    share = 1 - check_random_state(random_state).uniform(size=len(scores))
    return (below + share * (1 + up_to - below)) / (len(known) + 1)


def _scores(detector, X, name):
    scores = np.asarray(detector.score_samples(X), np.float64)
    n_missing = int(np.isnan(scores).sum())
    if n_missing:
        raise ValueError(
            f"{n_missing} of {len(scores)} scores of {name} are NaN. Drop those rows, "
            "or use a detector that can score them."
        )
    return scores

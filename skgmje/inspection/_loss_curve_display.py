"""Loss curves."""

import numpy as np

from skgmje.costs import COSTS
from skgmje.inspection._canvas import BLACK, check_matplotlib, line_style, make_axes

# How curves and bounds that are drawn already are told.
_CURVE, _BOUND = "loss curve", "bound"


class LossCurveDisplay:
    """Loss of each training step, and the bound that it cannot go below.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_steps,)
        Loss before each step.

    bound : float, default=None
        Lowest possible loss, where it is known.

    name : str, default=None
        What the legend calls the curve.

    ylabel : str, default='loss'
        What the loss is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        The figure of `ax_`.

    line_ : matplotlib Line2D
        The curve.

    bound_line_ : matplotlib Line2D or None
        The bound.

    See Also
    --------
    CalibrationDisplay : Whether the result is right, not only good.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.mixture._kernel_mixture import KernelMixtureDensity
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> density = KernelMixtureDensity(4, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(density)
    >>> display.bound, len(display.loss_curve) == density.n_iter_
    (0.0, True)
    """

    def __init__(self, loss_curve, *, bound=None, name=None, ylabel="loss"):
        self.loss_curve = loss_curve
        self.bound = bound
        self.name = name
        self.ylabel = ylabel

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw the loss curve of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            With ``loss_curve_``, as those that train networks have it, or with
            ``lower_bounds_``, as mixtures fitted by EM have it in scikit-learn 1.7
            and here: their loss is minus the mean log-likelihood.

        name : str, default=None
            What the legend calls the curve; None means the cost or the class.

        ax : matplotlib Axes, default=None
            Where to draw, so that several curves may share it; None makes a
            figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            As drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        TypeError
            If the estimator keeps no loss curve.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        cost = getattr(estimator, "cost", None)
        is_gap = isinstance(cost, str) and cost in COSTS and bool(COSTS[cost].bound)
        curve, ylabel = _read_curve(estimator)
        display = cls(
            curve,
            bound=0.0 if is_gap else None,
            name=name or (f"cost {cost}" if is_gap else type(estimator).__name__),
            ylabel=COSTS[cost].label if is_gap else ylabel,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curve and the bound.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`matplotlib.axes.Axes.plot`, such as ``color``.

        Returns
        -------
        self : LossCurveDisplay
            With the artists as attributes.
        """
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        from matplotlib.ticker import MaxNLocator

        curves = [line for line in self.ax_.lines if line.get_gid() == _CURVE]
        style = {"label": self.name, "gid": _CURVE, **line_style(len(curves)), **kwargs}
        (self.line_,) = self.ax_.plot(self.loss_curve, **style)
        self.bound_line_ = None
        if self.bound is not None:
            self.bound_line_ = self.ax_.axhline(
                self.bound, color=BLACK, linewidth=1, label=_BOUND
            )
        self.ax_.set(xlabel="training step", ylabel=self.ylabel)
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = self.ax_.get_legend_handles_labels()
        # Several curves have one bound; it comes last.
        entries = dict(sorted(zip(labels, handles, strict=True), key=_is_bound))
        if entries:
            self.ax_.legend(entries.values(), entries)
        return self


def _is_bound(entry):
    return entry[0] == _BOUND


def _read_curve(estimator):
    """Return the losses of a fitted estimator and what they are."""
    losses = getattr(estimator, "loss_curve_", None)
    if losses is not None:
        return np.asarray(losses, np.float64), "loss"
    bounds = getattr(estimator, "lower_bounds_", None)
    if bounds is not None and len(bounds):
        return -np.asarray(bounds, np.float64), "minus mean log-likelihood (nats)"
    raise TypeError(
        f"{estimator!r} keeps no loss curve: neither loss_curve_ nor lower_bounds_. "
        "Fit an estimator that trains a network, or a mixture by EM; of a search take "
        "best_estimator_, of a pipeline its last step."
    )

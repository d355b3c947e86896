"""Displays of a fit: calibration of its predictions, and its loss curve."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skgmje._bridges import as_mixtures, find_estimator
from skgmje._typing import ArrayLike, NDArray, Self
from skgmje.costs import COSTS
from skgmje.inspection._canvas import (
    BLACK,
    COLORS,
    Display,
    check_matplotlib,
    conditional_mixtures,
    line_style,
    read_rows,
    read_targets,
)
from skgmje.metrics._scores import probability_integral_transform

# Standard scores of a band that holds 95 % of what chance does.
BAND = 1.96

# Marks of curves and bounds that are drawn already.
_CURVE, _BOUND = "loss curve", "bound"


@dataclass(eq=False, repr=False)
class CalibrationDisplay(Display):
    r"""Histogram of the probability integral transform, and the coverage curve.

    The transform of a target is the probability that it had of being lower. Under
    the true densities it is uniform: bars are level, and central intervals hold the
    share of targets that they state. A hump means densities that are too wide, and
    a coverage curve above the diagonal; horns mean too narrow ones. In 95 of 100
    samples of independent samples from the true densities, a bar or a point of the
    curve lies within the grey band.

    Parameters
    ----------
    levels : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Probabilities, as :func:`skgmje.metrics.probability_integral_transform`
        returns them.

    names : list of str, default=None
        Names of the targets.

    Attributes
    ----------
    ax_, figure_ : ndarray of two matplotlib Axes, and Figure
        Where histogram and coverage curve were drawn.

    histograms_ : list of matplotlib StepPatch
        One for each target.

    curves_ : list of matplotlib Line2D
        Coverage curve of each target.

    See Also
    --------
    ConditionalDensityDisplay : The densities themselves.
    skgmje.metrics.interval_coverage : One point of the curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgmje.inspection import CalibrationDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 1))
    >>> mixture = GaussianMixture(random_state=0).fit(X)
    >>> display = CalibrationDisplay.from_estimator(mixture, X)
    >>> round(float(display.levels.mean()), 2)
    0.5
    """

    levels: NDArray[Any]
    _: KW_ONLY
    names: list[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        ax: Any = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Compare what an estimator states with what was observed.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            With `y`: has ``predict_mixture(X)``, also at the end of a pipeline or
            search, or is a joint density of the columns of `X` and then `y`.
            Without: whatever :func:`skgmje.as_mixture` takes.

        X : array-like or data frame of shape (n_samples, n_features)
            Samples that the estimator has not seen.

        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None judges the marginal of each feature of a density.

        ax : matplotlib Axes or array of two, default=None
            Where to draw; one is split in two, None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : CalibrationDisplay
            As drawn.

        Raises
        ------
        TypeError
            If the estimator has no density that is a mixture.

        ValueError
            If shapes do not fit.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        if y is None:
            targets, names = read_rows(X)
            mixture = as_mixtures(estimator)
        else:
            targets, names = read_targets(y)
            mixture = conditional_mixtures(estimator, X, targets.shape[1])
        levels = probability_integral_transform(targets, mixture)
        return cls(levels, names=names).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, *, n_bins: int = 10) -> Self:
        """Draw histogram and coverage curve.

        Parameters
        ----------
        ax : matplotlib Axes or array of two, default=None
            Where to draw; one is split in two, None makes a figure.

        n_bins : int, default=10
            Number of bars.

        Returns
        -------
        self : CalibrationDisplay
            With the artists as attributes.
        """
        self.ax_ = _two_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_[0].figure
        levels = np.asarray(self.levels, np.float64).reshape(len(self.levels), -1)
        names = self.names or [f"target {j}" for j in range(levels.shape[1])]
        self._plot_bands(len(levels), n_bins)
        styles = _line_styles(names)
        columns = [*zip(levels.T, styles, strict=True)]
        self.histograms_ = [self._plot_bars(x, n_bins, style) for x, style in columns]
        self.curves_ = [self._plot_coverage(x, style) for x, style in columns]
        self.ax_[0].set(
            xlabel="probability integral transform",
            ylabel="density",
            xlim=(0, 1),
            ylim=(0, None),
        )
        self.ax_[1].set(
            xlabel="stated coverage",
            ylabel="observed coverage",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        self.ax_[1].legend()
        return self

    def _plot_bands(self, n, n_bins):
        spread = BAND * ((n_bins - 1) / n) ** 0.5
        left, right = self.ax_
        left.axhspan(max(0.0, 1 - spread), 1 + spread, color="0.88", linewidth=0)
        left.axhline(1, color=BLACK, linestyle="--", linewidth=1)
        stated = np.linspace(0, 1, 101)
        spread = BAND * (stated * (1 - stated) / n) ** 0.5
        right.fill_between(
            stated,
            np.maximum(stated - spread, 0),
            np.minimum(stated + spread, 1),
            color="0.88",
            linewidth=0,
            label="chance (95 %)",
        )
        right.plot([0, 1], [0, 1], color=BLACK, linestyle="--", linewidth=1)

    def _plot_bars(self, levels, n_bins, style):
        counts, edges = np.histogram(levels, n_bins, range=(0, 1))
        heights = counts * n_bins / len(levels)
        return self.ax_[0].stairs(heights, edges, baseline=None, **style)

    def _plot_coverage(self, levels, style):
        """Draw the share of levels in the central interval of each probability."""
        stated = np.sort(np.abs(2 * levels - 1))
        share = np.arange(1, len(stated) + 1) / len(stated)
        (curve,) = self.ax_[1].step(
            np.r_[0, stated, 1], np.r_[0, share, 1], where="post", **style
        )
        return curve


def _line_styles(names):
    """Return colour, dashes and label of the lines of each target."""
    if len(names) <= len(COLORS):
        return [
            {"label": name, "linewidth": 2, **line_style(j)}
            for j, name in enumerate(names)
        ]
    # The lines could not be told apart, and the legend would hide them.
    styles = [{"color": COLORS[0], "linewidth": 1, "alpha": 0.5} for _ in names]
    styles[0]["label"] = f"each of {len(names)} targets"
    return styles


def _two_axes(ax, caller):
    """Return two axes: given, of a new figure, or in the place of one."""
    check_matplotlib(caller)
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(1, 2, figsize=(9, 4), layout="constrained")[1]
    axes = np.ravel(ax)
    if len(axes) == 2:
        return axes
    place = axes[0].get_subplotspec() if len(axes) == 1 else None
    if place is None:
        raise ValueError(
            f"ax={ax!r} must be two axes, or one that was made by subplots and can be "
            "split in two."
        )
    axes[0].set_axis_off()
    return place.subgridspec(1, 2).subplots()


@dataclass(eq=False, repr=False)
class LossCurveDisplay(Display):
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
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    line_ : matplotlib Line2D
        The curve.

    bound_line_ : matplotlib Line2D or None
        The bound.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.inspection import LossCurveDisplay
    >>> from skgmje.mixture import KernelMixtureDensity
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> density = KernelMixtureDensity(4, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(density)
    >>> display.bound, len(display.loss_curve) == density.n_iter_
    (0.0, True)
    """

    loss_curve: NDArray[Any]
    _: KW_ONLY
    bound: float | None = None
    name: str | None = None
    ylabel: str = "loss"

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, **kwargs: Any
    ) -> LossCurveDisplay:
        """Draw the loss curve of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            With ``loss_curve_``, as those that train networks have it, or with
            ``lower_bounds_``, as mixtures fitted by EM have it in scikit-learn 1.7
            and here: their loss is minus the mean log-likelihood. Of a search the
            one that it has found, of a pipeline the last step.

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
        TypeError
            If the estimator keeps no loss curve.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        estimator = find_estimator(estimator)
        while isinstance(estimator, Pipeline):
            estimator = find_estimator(estimator[-1])
        cost = getattr(estimator, "cost_", getattr(estimator, "cost", None))
        is_gap = isinstance(cost, str) and cost in COSTS and bool(COSTS[cost].bound)
        curve, ylabel = _read_curve(estimator)
        display = cls(
            curve,
            bound=0.0 if is_gap else None,
            name=name or (f"cost {cost}" if is_gap else type(estimator).__name__),
            ylabel=COSTS[cost].label if is_gap else ylabel,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
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
        self._start(ax)
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
        pairs = zip(labels, handles, strict=True)
        entries = dict(sorted(pairs, key=lambda pair: pair[0] == _BOUND))
        if entries:
            self.ax_.legend(entries.values(), entries)
        return self


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
        "Fit an estimator that trains a network, or a mixture by EM."
    )

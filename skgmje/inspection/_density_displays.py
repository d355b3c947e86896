"""Displays of densities, of conditional densities, and of their regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from skgmje._bridges import as_mixture, find_estimator, find_last
from skgmje._typing import ArrayLike, NDArray, Self
from skgmje._validation import like_rows
from skgmje.gaussian._mixture import Mixture
from skgmje.inspection._canvas import (
    BLACK,
    BLUE,
    ORANGE,
    Display,
    add_colorbar,
    check_matplotlib,
    choose_features,
    conditional_mixtures,
    fill_contours,
    make_grid,
    read_columns,
    read_rows,
    slice_contexts,
)

# Values of each feature, by the number of features.
RESOLUTION = {1: 500, 2: 100}


@dataclass(eq=False, repr=False)
class DensityDisplay(Display):
    """Density of one feature as a curve, of two as filled contours.

    Parameters
    ----------
    grid : list of one or two ndarrays
        Values of each feature shown.

    log_density : ndarray of shape (len(grid[0]),) or (len(grid[1]), len(grid[0]))
        Log-density on the grid, in nats.

    data : ndarray of shape (n_samples, len(grid)), default=None
        Samples shown beside the density.

    names : list of str, default=None
        Names of the features.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    curve_ : matplotlib Line2D or None
        Density of one feature.

    surface_ : matplotlib QuadContourSet or None
        Log-density of two features.

    data_ : matplotlib artist or None
        Histogram or points of the data.

    See Also
    --------
    MixtureDisplay : The components of a mixture.
    ConditionalDensityDisplay : A density that depends on a feature.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje.inspection import DensityDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> display = DensityDisplay.from_estimator(KernelDensity().fit(X), X)
    >>> display.log_density.shape
    (100, 100)
    """

    grid: Any
    log_density: Any
    _: KW_ONLY
    data: NDArray[Any] | None = None
    names: list[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence[int] | str | int | None = None,
        grid_resolution: int | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> DensityDisplay:
        """Evaluate a fitted density on a grid around the data and draw it.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Anything with ``score_samples``, of any library. A pipeline says how
            dense transformed samples are; for densities of `X` itself see
            :class:`~skgmje.compose.TransformedDensity`.

        X : array-like or data frame of shape (n_samples, n_features)
            Samples that say where to look; they are shown too.

        features : sequence of int or str, or int or str, default=None
            One or two columns. If they are not all, their marginal is shown,
            which takes a density that is one Gaussian mixture.

        grid_resolution : int, default=None
            Number of values of each feature; None means 500 of one and 100 of
            each of two.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : DensityDisplay
            As drawn.

        Raises
        ------
        TypeError
            If there is no ``score_samples``, or marginals are wanted of what is no
            Gaussian mixture.

        ValueError
            If the number of features cannot be shown.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        rows, names = read_rows(X)
        chosen = choose_features(features, names, (1, 2))
        data = rows[:, chosen]
        if grid_resolution is None:
            grid_resolution = RESOLUTION[len(chosen)]
        grid = [make_grid(x, grid_resolution) for x in data.T]
        points = np.stack(np.meshgrid(*grid), axis=-1)
        logs = _score(estimator, points.reshape(-1, len(chosen)), chosen, X, len(names))
        display = cls(
            grid,
            logs.reshape(points.shape[:-1]),
            data=data,
            names=[names[j] for j in chosen],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        depth: float = 8.0,
        cmap: Any = "Blues",
        show_data: bool = True,
        show_colorbar: bool = True,
    ) -> Self:
        """Draw the density.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        depth : float, default=8.0
            Of two features, how many nats below the highest value colours reach.

        cmap : str or matplotlib Colormap, default='Blues'
            Colours of the log-density of two features.

        show_data : bool, default=True
            Whether to show a histogram of the data, or at most 2000 points.

        show_colorbar : bool, default=True
            Whether to show what the colours mean.

        Returns
        -------
        self : DensityDisplay
            With the artists as attributes.
        """
        self._start(ax)
        self.curve_: Any = None
        self.surface_: Any = None
        if len(self.grid) == 1:
            self._plot_curve(show_data)
            return self
        self.surface_ = fill_contours(
            self.ax_, self.grid, self.log_density, depth, cmap
        )
        self._show_data(show_data, color=ORANGE, zorder=2)
        self._name_axes("feature", "feature")
        if show_colorbar:
            add_colorbar(self.surface_, self.ax_, "log-density (nats)")
        return self

    def _plot_curve(self, show_data):
        """Draw the density of one feature, before a histogram of the data."""
        self.data_ = None
        if show_data and self.data is not None:
            values = self.data[~np.isnan(self.data)]
            n_bins = min(100, max(10, int(2 * len(values) ** 0.5)))
            *_, self.data_ = self.ax_.hist(
                values, n_bins, density=True, color="0.85", label="data"
            )
        density = np.exp(self.log_density)
        (self.curve_,) = self.ax_.plot(
            self.grid[0], density, color=BLUE, linewidth=2, label="density"
        )
        self.ax_.set_ylim(bottom=0)
        self.ax_.set(xlabel=(self.names or ["feature"])[0], ylabel="density")
        if self.data_:
            self.ax_.legend()


def _score(estimator, points, chosen, X, n_features):
    """Return the log-density of points, of a marginal if they lack columns."""
    estimator = find_estimator(estimator)
    if isinstance(estimator, Mixture) or sorted(chosen) != list(range(n_features)):
        mixture = as_mixture(estimator).to_numpy()
        read_columns(X, mixture.n_features)
        return mixture.marginal(chosen).log_prob(points)
    if not hasattr(estimator, "score_samples"):
        raise TypeError(
            f"{estimator!r} has no method score_samples. Give the estimator of a "
            "density; a density of targets is drawn by ConditionalDensityDisplay."
        )
    return estimator.score_samples(like_rows(points[:, np.argsort(chosen)], X))


@dataclass(eq=False, repr=False)
class ConditionalDensityDisplay(Display):
    """Conditional density of a target along a feature, with its mean.

    Parameters
    ----------
    x : ndarray of shape (n_x,)
        Values of the feature.

    y : ndarray of shape (n_y,)
        Values of the target.

    log_density : ndarray of shape (n_y, n_x)
        ``log p(y | x)``, in nats.

    mean : ndarray of shape (n_x,)
        Conditional mean.

    data : ndarray of shape (n_samples, 2), default=None
        Pairs of feature and target shown beside the density.

    names : list of two str, default=None
        Names of feature and target.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    surface_ : matplotlib QuadContourSet
        The log-density.

    mean_ : matplotlib Line2D or None
        The conditional mean.

    data_ : matplotlib PathCollection or None
        Points of the data.

    See Also
    --------
    CalibrationDisplay : Whether the stated probabilities come true.

    Examples
    --------
    A joint mixture of scikit-learn has a conditional density too:

    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgmje.inspection import ConditionalDensityDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 1))
    >>> y = 2 * X[:, 0]
    >>> joint = GaussianMixture(random_state=0).fit(np.column_stack([X, y]))
    >>> display = ConditionalDensityDisplay.from_estimator(joint, X, y)
    >>> bool(np.abs(display.mean - 2 * display.x).max() < 0.01)
    True
    """

    x: NDArray[Any]
    y: NDArray[Any]
    log_density: NDArray[Any]
    mean: NDArray[Any]
    _: KW_ONLY
    data: NDArray[Any] | None = None
    names: list[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        feature: int | str = 0,
        target: int | str = 0,
        grid_resolution: int = 150,
        ax: Any = None,
        **kwargs: Any,
    ) -> ConditionalDensityDisplay:
        """Evaluate a conditional density along one feature and draw it.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            With ``predict_mixture(X)``, also at the end of a pipeline or search;
            or a joint density of the columns of `X` and then `y`, such as
            scikit-learn's ``GaussianMixture().fit(np.column_stack([X, y]))``.

        X : array-like or data frame of shape (n_samples, n_features)
            Contexts. The other features are held at their medians.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets. The data are shown if `X` has one feature only: else they do
            not lie where the other features are held.

        feature : int or str, default=0
            Column of `X` to vary.

        target : int or str, default=0
            Column of `y` to show.

        grid_resolution : int, default=150
            Number of values of the feature, and of the target.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : ConditionalDensityDisplay
            As drawn.

        Raises
        ------
        TypeError
            If the estimator has no conditional density that is a mixture.

        ValueError
            If a column does not exist, or shapes do not fit.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        part = slice_contexts(X, y, feature, target, grid_resolution)
        mixture = conditional_mixtures(estimator, part.contexts, part.n_targets)
        mixture = mixture.to_numpy().marginal([part.target])
        display = cls(
            part.x,
            part.y,
            mixture.log_prob(part.y[:, None, None]),
            mixture.mean[:, 0],
            data=part.data,
            names=part.names,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        depth: float = 6.0,
        cmap: Any = "Blues",
        show_mean: bool = True,
        show_data: bool = True,
        show_colorbar: bool = True,
    ) -> Self:
        """Draw the conditional density.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        depth : float, default=6.0
            How many nats below the highest value colours reach.

        cmap : str or matplotlib Colormap, default='Blues'
            Colours of the log-density.

        show_mean : bool, default=True
            Whether to draw the conditional mean.

        show_data : bool, default=True
            Whether to show the data, if there are any: at most 2000 points.

        show_colorbar : bool, default=True
            Whether to show what the colours mean.

        Returns
        -------
        self : ConditionalDensityDisplay
            With the artists as attributes.
        """
        self._start(ax)
        grid = self.x, self.y
        self.surface_ = fill_contours(self.ax_, grid, self.log_density, depth, cmap)
        self._show_data(show_data, color=ORANGE, zorder=2, label="data")
        self.mean_: Any = None
        if show_mean:
            (self.mean_,) = self.ax_.plot(
                self.x, self.mean, color=BLACK, linestyle="--", label="mean"
            )
        self._name_axes("feature", "target")
        if self.mean_ or self.data_:
            self.ax_.legend()
        if show_colorbar:
            add_colorbar(self.surface_, self.ax_, "log-density of the target (nats)")
        return self


@dataclass(eq=False, repr=False)
class RegionDisplay(Display):
    """The smallest regions of given probabilities, on a plane.

    Of a density of two features the plane is theirs; of a conditional density it is
    that of a feature and the target, and each column has regions of its own.

    Parameters
    ----------
    x : ndarray of shape (n_x,)
        Values along the first axis.

    y : ndarray of shape (n_y,)
        Values along the second axis.

    margins : ndarray of shape (n_levels, n_y, n_x)
        How many nats the log-density is above the border of each region.

    coverage : sequence of float
        Probability of each region, ascending.

    data : ndarray of shape (n_samples, 2), default=None
        Samples shown beside the regions.

    names : list of two str, default=None
        Names of the axes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    regions_ : list of matplotlib QuadContourSet
        The regions, the largest first.

    data_ : matplotlib PathCollection or None
        Points of the data.

    See Also
    --------
    DensityDisplay : The density itself.
    ConditionalDensityDisplay : The conditional density itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgmje.inspection import RegionDisplay
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> density = GaussianMixture().fit(X)
    >>> display = RegionDisplay.from_estimator(density, X, coverage=[0.5, 0.9])
    >>> display.margins.shape
    (2, 150, 150)
    """

    x: NDArray[Any]
    y: NDArray[Any]
    margins: NDArray[Any]
    coverage: Sequence[float]
    _: KW_ONLY
    data: NDArray[Any] | None = None
    names: list[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        coverage: Sequence[float] = (0.5, 0.9),
        features: int | str | Sequence[Any] | None = None,
        target: int | str = 0,
        grid_resolution: int = 150,
        ax: Any = None,
        **kwargs: Any,
    ) -> RegionDisplay:
        """Find regions of a density, or of a conditional density, and draw them.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Of a density whatever :func:`skgmje.as_mixture` takes. With `y` what
            predicts one mixture for each sample, also at the end of a pipeline or
            search, or a joint density of the columns of `X` and then `y`. If it was
            calibrated, its regions of one target are.

        X : array-like or data frame of shape (n_samples, n_features)
            Samples, or contexts whose other features are held at their medians.

        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None if there are none.

        coverage : sequence of float, default=(0.5, 0.9)
            Probabilities of the regions, strictly between zero and one.

        features : int or str, or sequence of two of these, default=None
            The two columns of `X` to show; None if there are no others. With `y` the
            one that is varied; None: the first.

        target : int or str, default=0
            Column of `y` to show.

        grid_resolution : int, default=150
            Number of values along each axis.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : RegionDisplay
            As drawn.

        Raises
        ------
        TypeError
            If there is no Gaussian mixture.

        ValueError
            If a column does not exist, shapes do not fit, or a coverage is no
            probability.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        levels = sorted(np.ravel(coverage).tolist())
        if not levels:
            raise ValueError(f"coverage={coverage!r} must hold a probability at least.")
        if y is None:
            values = _density_regions(estimator, X, levels, features, grid_resolution)
        else:
            feature = 0 if features is None else features
            part = slice_contexts(X, y, feature, target, grid_resolution)
            values = _target_regions(estimator, part, levels)
        return cls(coverage=levels, **values).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, color: Any = BLUE, show_data: bool = True
    ) -> Self:
        """Draw the regions, smaller ones darker.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        color : matplotlib color, default='#0072B2'
            Colour of the regions.

        show_data : bool, default=True
            Whether to show the data, if there are any: at most 2000 points.

        Returns
        -------
        self : RegionDisplay
            With the artists as attributes.
        """
        self._start(ax)
        from matplotlib.colors import to_rgba
        from matplotlib.patches import Patch

        shades = np.linspace(0.3, 0.8, len(self.coverage))[::-1]
        handles, self.regions_ = [], []
        pairs = [*zip(self.coverage, self.margins, shades, strict=True)]
        for level, margin, shade in reversed(pairs):
            # Contours know no -inf.
            heights, fill = np.maximum(margin, -50.0), to_rgba(color, shade)
            top = max(1.0, float(heights.max()) + 1.0)
            contours = self.ax_.contourf(
                self.x, self.y, heights, [0.0, top], colors=[fill]
            )
            self.regions_.append(contours)
            handles.append(Patch(color=fill, label=f"{100 * level:g} %"))
        self._show_data(show_data, color=ORANGE, zorder=2, label="data")
        self._name_axes("feature", "target")
        self.ax_.set(xlim=self.x[[0, -1]], ylim=self.y[[0, -1]])
        if self.data_:
            handles.append(self.data_)
        self.ax_.legend(handles=handles)
        return self


def _density_regions(estimator, X, levels, features, resolution):
    """Return what shows the regions of two features."""
    try:
        mixture = as_mixture(estimator).to_numpy()
    except TypeError as error:
        message = f"{error} Of a density of targets given X pass y, too."
        raise TypeError(message) from error
    rows, names = read_columns(X, mixture.n_features)
    chosen = choose_features(features, names, (2,))
    data, names = rows[:, chosen], [names[j] for j in chosen]
    mixture = mixture.marginal(chosen)
    x, y = (make_grid(values, resolution) for values in data.T)
    logs = mixture.log_prob(np.stack(np.meshgrid(x, y), axis=-1))
    regions = [mixture.region(level, random_state=0) for level in levels]
    margins = np.stack([logs - region.log_threshold for region in regions])
    return {"x": x, "y": y, "margins": margins, "data": data, "names": names}


def _target_regions(estimator, part, levels):
    """Return what shows the regions of a target along a feature."""
    last, contexts = find_last(estimator, part.contexts)
    if part.n_targets == 1 and hasattr(last, "predict_region"):
        regions = [last.predict_region(contexts, level) for level in levels]
    else:
        mixture = conditional_mixtures(estimator, part.contexts, part.n_targets)
        mixture = mixture.to_numpy().marginal([part.target])
        regions = [mixture.region(level) for level in levels]
    rows = part.y[:, None, None]
    margins = [r.mixture.log_prob(rows) - r.log_threshold for r in regions]
    shown = {"x": part.x, "y": part.y, "data": part.data, "names": part.names}
    return {"margins": np.stack(margins), **shown}

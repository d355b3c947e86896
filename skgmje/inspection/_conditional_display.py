"""The display of conditional densities."""

from __future__ import annotations

from typing import Any

from skgmje._typing import ArrayLike, NDArray, Self
from skgmje.inspection._canvas import (
    BLACK,
    ORANGE,
    add_colorbar,
    check_matplotlib,
    conditional_mixtures,
    fill_contours,
    make_axes,
    show_points,
    slice_contexts,
)


class ConditionalDensityDisplay:
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

    ax_: Any
    figure_: Any
    surface_: Any
    mean_: Any
    data_: Any

    def __init__(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        log_density: NDArray[Any],
        mean: NDArray[Any],
        *,
        data: NDArray[Any] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.log_density = log_density
        self.mean = mean
        self.data = data
        self.names = names

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
        ImportError
            If matplotlib is not installed.

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
            Whether to show the data, if there are any. Of more than 2000 points
            some, evenly spread, are shown.

        show_colorbar : bool, default=True
            Whether to show what the colours mean.

        Returns
        -------
        self : ConditionalDensityDisplay
            With the artists as attributes.
        """
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.mean_ = self.data_ = None
        self.surface_ = fill_contours(
            self.ax_, (self.x, self.y), self.log_density, depth, cmap
        )
        if show_data and self.data is not None:
            self.data_ = show_points(
                self.ax_, self.data, color=ORANGE, zorder=2, label="data"
            )
        if show_mean:
            (self.mean_,) = self.ax_.plot(
                self.x, self.mean, color=BLACK, linestyle="--", label="mean"
            )
        names = self.names or ["feature", "target"]
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        if self.mean_ or self.data_:
            self.ax_.legend()
        if show_colorbar:
            add_colorbar(self.surface_, self.ax_, "log-density of the target (nats)")
        return self

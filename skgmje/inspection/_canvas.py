"""Axes, colors and samples of displays."""

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length

from skgmje._backend import to_numpy
from skgmje._bridges import as_mixture
from skgmje._validation import check_numbers, like_rows
from skgmje.metrics._scorers import predict_mixture

# Okabe and Ito's colours, which colour-blind people can tell apart.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "0.55"
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)

# Dashes for who prints in grey, or sees no colours.
DASHES = ("-", "--", "-.", ":")

# More points of the data hide each other and fill the files of vector graphics.
SHOWN_ROWS = 2000


def check_matplotlib(caller):
    """Raise if matplotlib cannot be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib: pip install 'skgmje[plot]'."
        ) from error


class Display:
    """What displays do alike: they take axes, name them, and show the data."""

    ax_: Any
    figure_: Any
    data_: Any

    def _start(self, ax):
        """Take axes, or make them."""
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure

    def _name_axes(self, *names):
        """Give the axes the display's names, or these if it has none."""
        names = names if self.names is None else self.names
        self.ax_.set(xlabel=names[0], ylabel=names[1])

    def _show_data(self, show_data, **style):
        """Draw points of the data, beneath what is fitted, if wanted and given."""
        self.data_ = None
        if show_data and self.data is not None:
            style = {"s": 7, "color": GREY, "linewidths": 0, "zorder": 0.5, **style}
            self.data_ = self.ax_.scatter(*thin_out(to_numpy(self.data)).T, **style)


def make_axes(ax, caller):
    """Return the axes to draw on, those of a new figure if there are none."""
    check_matplotlib(caller)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def read_rows(X):
    """Return samples as floats, NaN where they are missing, and the columns' names."""
    names = getattr(X, "columns", None)
    rows = check_numbers(X, "X", ensure_all_finite="allow-nan")
    if names is None:
        names = number_columns(rows.shape[1])
    return rows, [str(name) for name in names]


def read_targets(y):
    """Return targets (n_samples, n_targets) and their names."""
    name = getattr(y, "name", None)
    columns = getattr(y, "columns", None)
    targets = check_numbers(y, "y", ensure_2d=False)
    targets = targets.reshape(len(targets), -1)
    if columns is not None:
        return targets, [str(column) for column in columns]
    if targets.shape[1] == 1:
        return targets, [str(name or "target")]
    return targets, [f"target {j}" for j in range(targets.shape[1])]


def number_columns(n_features):
    """Return names of columns that have none."""
    return [f"feature {j}" for j in range(n_features)]


def find_column(column, names):
    """Return the index of a column given by its number or name."""
    if isinstance(column, str) and column in names:
        return names.index(column)
    if not isinstance(column, str) and -len(names) <= column < len(names):
        return int(column) % len(names)
    raise ValueError(
        f"There is no column {column!r}. The columns are "
        f"{', '.join(names[:20])}; give a name or a number below {len(names)}."
    )


def choose_features(features, names, counts):
    """Return the indices of as many features as a picture can show."""
    if features is None:
        chosen = range(len(names))
    else:
        given = [features] if isinstance(features, str | int) else features
        chosen = [find_column(column, names) for column in given]
    if len(names) < min(counts):
        raise ValueError(
            f"The picture has two axes for features, and {names[0]!r} is the only one "
            "there is. DensityDisplay draws the density of one feature."
        )
    if len(chosen) not in counts or len(set(chosen)) < len(chosen):
        given = "None stands for all" if features is None else f"{features!r} names"
        raise ValueError(
            f"features={given} {len(chosen)} of {len(names)} columns, and the picture "
            f"has room for {' or '.join(map(str, counts))} different ones. Give "
            f"features={list(range(max(counts)))}, for example."
        )
    return list(chosen)


def read_columns(X, n_features):
    """Return samples, None if there are none, and the names of a density's features."""
    if X is None:
        return None, number_columns(n_features)
    rows, names = read_rows(X)
    if len(names) != n_features:
        raise ValueError(
            f"X has {len(names)} columns but what is drawn has {n_features} features. "
            "Give the columns that it was fitted to, in their order."
        )
    return rows, names


def make_grid(values, resolution, share=0.1):
    """Return evenly spread values over the range of some, with a margin."""
    is_count = isinstance(resolution, Integral) and not isinstance(resolution, bool)
    if not is_count or resolution < 2:
        raise ValueError(
            f"grid_resolution={resolution!r} must be an integer, at least 2."
        )
    if np.isnan(values).all():
        raise ValueError(
            "X has no value in a column that the picture shows: all of it is NaN. "
            "Choose other features, or drop the column."
        )
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = share * (high - low) if high > low else 1.0
    return np.linspace(low - margin, high + margin, resolution)


def thin_out(rows):
    """Return at most `SHOWN_ROWS` samples, evenly spread."""
    return rows[:: -(-len(rows) // SHOWN_ROWS)] if len(rows) else rows


class Slice(NamedTuple):
    """Contexts along one feature, values of one target, and the data if they fit."""

    x: Any
    y: Any
    contexts: Any
    target: int
    n_targets: int
    data: Any
    names: list


def slice_contexts(X, y, feature, target, resolution):
    """Return the :class:`Slice` of a feature, others at medians, and a target."""
    rows, names = read_rows(X)
    targets, target_names = read_targets(y)
    check_consistent_length(rows, targets)
    i, j = find_column(feature, names), find_column(target, target_names)
    x_grid = make_grid(rows[:, i], resolution, share=0.0)
    y_grid = make_grid(targets[:, j], resolution)
    contexts = np.tile(np.nanmedian(rows, axis=0), (resolution, 1))
    contexts[:, i] = x_grid
    alone = rows.shape[1] == 1
    name = names[i] if alone else f"{names[i]} (others at their medians)"
    data = np.stack([rows[:, i], targets[:, j]], axis=1) if alone else None
    contexts, n_targets = like_rows(contexts, X), targets.shape[1]
    names = [name, target_names[j]]
    return Slice(x_grid, y_grid, contexts, j, n_targets, data, names)


def conditional_mixtures(estimator, X, n_targets):
    """Return the conditional density of each sample, from what knows one."""
    if hasattr(estimator, "predict_mixture"):
        return estimator.predict_mixture(X)
    try:
        joint = as_mixture(estimator).to_numpy()
    except TypeError:
        # It says what is missing.
        return predict_mixture(estimator, X)
    rows, _ = read_rows(X)
    if joint.n_features != rows.shape[1] + n_targets:
        raise ValueError(
            f"The joint density has {joint.n_features} features, but X and y have "
            f"{rows.shape[1]} + {n_targets} columns. Fit it to np.column_stack([X, y])."
        )
    return joint.condition(range(rows.shape[1]), rows)


def line_style(number):
    """Return colour and dashes of one of several lines."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def fill_contours(ax, grid, log_density, depth, cmap):
    """Draw a log-density down to `depth` nats below its highest value."""
    top = float(log_density.max())
    # Contours know no -inf.
    heights = np.maximum(log_density, top - 2 * depth)
    levels = np.linspace(top - depth, top, 17)
    surface = ax.contourf(*grid, heights, levels, cmap=cmap, extend="min")
    ax.set(xlim=grid[0][[0, -1]], ylim=grid[1][[0, -1]])
    return surface


def add_colorbar(surface, ax, label):
    """Say what the colours of a surface mean."""
    from matplotlib.ticker import MaxNLocator

    low, high = surface.levels[[0, -1]]
    ticks = MaxNLocator(5).tick_values(low, high)
    # Those beyond the ends would be drawn at the ends.
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    bar = ax.figure.colorbar(surface, ax=ax, ticks=ticks)
    bar.set_label(label)

"""The pictures of the quick start; they go to examples/out/."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import as_mixture

OUT = Path(__file__).parent / "out"
# Okabe and Ito's colours, which colour-blind people can tell apart, and dashes for
# who prints in grey.
LINES = {
    "scalar": {"color": "#E69F00", "linestyle": "-"},
    "vector-matrix": {"color": "#0072B2", "linestyle": "--"},
    "matrix-matrix": {"color": "#009E73", "linestyle": "-."},
    "svd": {"color": "#D55E00", "linestyle": ":"},
}
STAY = {"facecolors": "white", "edgecolors": "#0072B2"}
MOVE = {"facecolors": "#0072B2", "edgecolors": "#0072B2"}
REFERENCE = {"facecolors": "#D55E00", "edgecolors": "#D55E00", "marker": "D"}
# In the order of the refinements "covariances" and "em".
STAGES = ("means stay", "means move")
# Densities are drawn down to this many nats below the highest.
DEPTH = 8


def plot_scores(outcomes):
    """Draw the held-out score of every density, one panel per problem."""
    figure, axes = plt.subplots(
        1, len(outcomes), figsize=(13, 4.5), sharey=True, layout="constrained"
    )
    for axis, (name, densities) in zip(axes, outcomes.items(), strict=True):
        heights = range(len(densities))[::-1]
        left = _left_end(densities)
        for height, stages in zip(heights, densities.values(), strict=True):
            _plot_row(axis, height, [outcome.nats for outcome in stages.values()], left)
        axis.set(title=name, xlabel="held-out nats per sample")
        axis.set_yticks(heights, densities)
        axis.locator_params(axis="x", nbins=4)
        axis.grid(axis="x", alpha=0.3)
        axis.margins(x=0.1)
    labels = {**dict(zip(STAGES, (STAY, MOVE), strict=True)), "no cost": REFERENCE}
    handles = [axes[0].scatter([], [], s=50, **style) for style in labels.values()]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        "Held-out log-likelihood: right is better (triangles: out of range)"
    )
    _save(figure, "scores")


def _left_end(densities):
    """Return where the axis ends: costs fill half of it at least, whatever is far."""
    nats = [o.nats for stages in densities.values() for o in stages.values()]
    placed = [o.nats for s in densities.values() if len(s) > 1 for o in s.values()]
    return max(min(nats), min(placed) - (max(nats) - min(placed)))


def _plot_row(axis, height, nats, left):
    if max(nats) < left:
        axis.scatter(left, height, s=50, **REFERENCE | {"marker": "<"})
        axis.annotate(
            f"{max(nats):.1f}", (left, height), (8, -4), textcoords="offset points"
        )
        return
    styles = [STAY, MOVE] if len(nats) > 1 else [REFERENCE]
    axis.plot(nats, [height] * len(nats), color="0.7", zorder=1)
    for value, style in zip(nats, styles, strict=True):
        axis.scatter(value, height, s=50, zorder=2, **style)


def plot_densities(problem, fits, references):
    """Draw densities and samples in 2-D, all in one colour scale."""
    panels = _panels(fits, references)
    x, y = (np.linspace(*_padded_range(column), 150) for column in problem.X.T)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    logs = [p.score_samples(grid).reshape(len(y), len(x)) for *_, p in panels]
    top = np.ceil(max(log.max() for log in logs))
    levels = np.linspace(top - DEPTH, top, 2 * DEPTH + 1)
    # The sixth column is a gap: what follows knows no cost.
    figure, axes = plt.subplots(
        2,
        7,
        figsize=(13, 5),
        sharex=True,
        sharey=True,
        layout="constrained",
        width_ratios=[1, 1, 1, 1, 1, 0.15, 1],
    )
    for (row, column, name, pipeline), log in zip(panels, logs, strict=True):
        axis = axes[row, column]
        filled = axis.contourf(x, y, log, levels, cmap="Blues", extend="min")
        axis.scatter(*_draw(pipeline, 200).T, s=4, color="#E69F00", linewidths=0)
        axis.set_title(name.replace(" ", "\n"), fontsize=10)
    for axis, stage in zip(axes[:, 0], STAGES, strict=True):
        axis.set_ylabel(f"$\\bf{{{stage.replace(' ', '~')}}}$\nfeature 2")
    for axis in axes[1]:
        axis.set_xlabel("feature 1")
    for axis in axes[:, 5]:
        axis.set_visible(False)
    ticks = levels[::4]
    figure.colorbar(filled, ax=axes, label="log-density (nats)", ticks=ticks)
    figure.suptitle(
        f"{problem.name}: densities (blue) and samples of them (orange); apart: no cost"
    )
    _save(figure, "densities")


def _panels(fits, references):
    """Return row, column, name and pipeline of each panel."""
    panels = [
        (row, column, cost, pipeline)
        for row, by_cost in enumerate(fits)
        for column, (cost, pipeline) in enumerate(by_cost.items())
    ]
    names = [name for name in references if name.startswith("sklearn")]
    return panels + [(row, 6, n, references[n]) for row, n in enumerate(names)]


def _padded_range(values):
    margin = 0.2 * np.ptp(values)
    return values.min() - margin, values.max() + margin


def _draw(pipeline, n_samples):
    """Draw samples in the units of the data, whatever mixture the last step is."""
    density = pipeline[-1]
    mixture = as_mixture(getattr(density, "best_estimator_", density))
    samples, _ = mixture.sample(n_samples, random_state=0)
    return pipeline[:-1].inverse_transform(samples)


def plot_digits(problem, fits, references):
    """Draw generated digits beside real ones."""
    n = 6
    stay, move = (by_cost["svd"] for by_cost in fits)
    real = problem.X.sample(n * n, random_state=0).to_numpy()
    panels = {
        "real": real,
        "real, 16 components": move[:-1].inverse_transform(move[:-1].transform(real)),
        "svd, means stay": _draw(stay, n * n),
        "svd, means move": _draw(move, n * n),
    }
    names = [name for name in references if name.startswith("sklearn")]
    panels |= {name: _draw(references[name], n * n) for name in names}
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.1), layout="constrained")
    for axis, (title, images) in zip(axes, panels.items(), strict=True):
        tiles = np.pad(images.reshape(n, n, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
        image = tiles.swapaxes(1, 2).reshape(n * 10, n * 10)
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=16)
        axis.set(title=title.replace("sklearn ", "sklearn\n"), xticks=[], yticks=[])
    figure.suptitle("Digits: real ones, and draws from four densities")
    _save(figure, "digits")


def plot_loss_curves(fits):
    """Draw how the gap to the bound closes, one panel per number of centers."""
    figure, axes = plt.subplots(
        1,
        len(fits),
        figsize=(12, 4.2),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis, (n_components, by_cost) in zip(axes, fits.items(), strict=True):
        for cost, pipeline in by_cost.items():
            curve = pipeline[-1].loss_curve_
            axis.plot(curve, label=cost, linewidth=2, **LINES[cost])
        axis.axhline(0, color="black", linewidth=1, label="bound reached")
        axis.set(title=f"{n_components} centers", xlabel="gradient step")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("gap to the bound")
    axes[-1].legend()
    figure.suptitle(
        "moons: the gap between each cost's value and its bound, until it settles"
    )
    _save(figure, "loss_curves")


def _save(figure, name):
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / f"{name}.png", dpi=130)
    print(f"  examples/out/{name}.png")

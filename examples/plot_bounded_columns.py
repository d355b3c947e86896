"""
==================================
Bounded columns: prices and shares
==================================

Claim: a density of prices and of shares that knows their bounds is closer to the truth
at the edges than a plain mixture, which puts a part of its mass where nothing can be;
its samples stay inside.

Prices are positive and have a long tail; shares of rented flats lie between 0 and 1,
many close to 0, and grow with prices. Both are drawn from a known law.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from skgmje import (
    GaussianMixture,
    GaussianMixtureCopula,
    TransformedDensity,
    as_mixture,
)

OUT = Path(__file__).parent / "out"
COLORS = {"plain mixture": "#E69F00", "bounds": "#0072B2"}
BOUNDS = [(0, None), (0, 1)]

# %%
# A law whose columns are known
# -----------------------------
# A Gaussian copula of correlation 0.7, a log-normal price and a Beta share.

laws = stats.lognorm(0.9), stats.beta(0.7, 2.0)


def draw(n_samples, seed):
    """Return prices and shares."""
    scores = np.random.default_rng(seed).multivariate_normal(
        [0, 0], [[1, 0.7], [0.7, 1]], n_samples
    )
    columns = zip(laws, stats.norm.cdf(scores).T, strict=True)
    return np.column_stack([law.ppf(levels) for law, levels in columns])


train, test = draw(1500, 0), draw(4000, 1)

# %%
# Densities without and with bounds
# ---------------------------------
# ``bounds`` of a :class:`~skgmje.TransformedDensity` maps prices by their logarithm and
# shares by their normal score. A :class:`~skgmje.GaussianMixtureCopula` takes bounds as
# well, and any shape of column.

auto = GaussianMixture("auto", shrinkage="auto", random_state=0)
models = {
    "plain mixture": auto,
    "bounds": TransformedDensity("passthrough", auto, bounds=BOUNDS),
    "copula with bounds": GaussianMixtureCopula(random_state=0, bounds=BOUNDS),
}
for name, model in models.items():
    rows, _ = model.fit(train).sample(20_000, random_state=0)
    outside = ((rows < 0) | (rows > [np.inf, 1])).any(axis=1).mean()
    nats = model.score(test)
    print(
        f"{name:19} {nats:6.3f} nats per new sample, {outside:5.1%} of samples outside"
    )

# %%
# Each column, and shares given the price
# ---------------------------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.0), layout="constrained")
for j, (axis, low, high, name) in enumerate(
    ((axes[0], -0.6, 4.0, "price"), (axes[1], -0.15, 1.15, "share"))
):
    x = np.linspace(low, high, 600)
    axis.plot(x, laws[j].pdf(x), color="0.6", lw=5, label="truth")
    joint = {"plain mixture": as_mixture(auto), "bounds": models["bounds"]}
    for label, density in joint.items():
        p = np.exp(density.marginal([j]).log_prob(x[:, None]))
        axis.plot(x, p, color=COLORS[label], label=label)
    axis.set(
        title=f"density of the {name}", xlabel=name, ylim=(0, 4.5 - 3.6 * (j == 0))
    )
axes[0].set_ylabel("density")
axes[0].legend()
share = np.linspace(0.002, 0.998, 400)
for price, style in ((0.3, ":"), (1.0, "--"), (3.0, "-")):
    given = models["bounds"].condition([0], [price])
    axes[2].plot(
        share,
        np.exp(given.log_prob(share[:, None])),
        style,
        color="#0072B2",
        label=f"price {price}: mean {given.mean[0]:.2f}",
    )
axes[2].set(title="share given the price", xlabel="share", ylim=(0, 6))
axes[2].legend()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "bounded_columns.png", dpi=110)

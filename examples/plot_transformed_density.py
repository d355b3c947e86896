"""
=================================================
Log-densities through a pipeline and the Jacobian
=================================================

Claim: the log-density that a ``Pipeline`` reports is that of the transformed samples,
so two pipelines cannot be compared; :class:`~skgmje.compose.TransformedDensity` adds
the log-Jacobian, and then they can.

If z = T(x), the density of x is

.. math:: \\log p(x) = \\log p_z(T(x)) + \\log |\\det T'(x)|

Incomes are a good case: skewed, positive, and in units that someone chose.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from skgmje import GaussianMixture, TransformedDensity

OUT = Path(__file__).parent / "out"
COLOURS = {"StandardScaler": "#0072B2", "PowerTransformer": "#D55E00"}

truth = stats.lognorm(0.8, scale=30_000)
X = truth.rvs((2000, 1), random_state=0)
X_test = truth.rvs((20_000, 1), random_state=1)

# %%
# Two transformers, scored both ways
# ----------------------------------
# The truth is known here: no density can have a higher score on average.

print(f"truth: {truth.logpdf(X_test).mean():.2f} nats per sample")
scores, fitted = {}, {}
for transformer in (StandardScaler(), PowerTransformer("box-cox")):
    name = type(transformer).__name__
    mixture = GaussianMixture(2, random_state=0)
    pipeline = make_pipeline(transformer, mixture).fit(X)
    density = TransformedDensity(transformer, mixture).fit(X)
    fitted[name] = density
    scores[name] = pipeline.score(X_test), density.score(X_test)
    print(
        f"{name}: Pipeline {scores[name][0]:.2f}, TransformedDensity "
        f"{scores[name][1]:.2f}"
    )

# %%
# The pipelines' figures are above the truth, which no density of incomes can be on
# average: they are densities of the transformed ones. They also prefer the worse of
# the two. And with a change of unit they do not move:

dollars, cents = (
    make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)).fit(rows)
    for rows in (X, 100 * X)
)
print(f"Pipeline: dollars {dollars.score(X):.2f}, cents {cents.score(100 * X):.2f}")
dollars, cents = (
    TransformedDensity(StandardScaler(), GaussianMixture(2, random_state=0)).fit(rows)
    for rows in (X, 100 * X)
)
print(
    f"TransformedDensity: dollars {dollars.score(X):.2f}, "
    f"cents {cents.score(100 * X):.2f} (log 100 = {np.log(100):.2f} less)"
)

# %%
# Look at them
# ------------

figure, (bars, curves) = plt.subplots(1, 2, figsize=(11.5, 4.4), layout="constrained")
places = np.arange(len(scores))
for shift, style, way in ((-0.2, "///", "Pipeline"), (0.2, None, "TransformedDensity")):
    heights = [pair[way == "TransformedDensity"] for pair in scores.values()]
    drawn = bars.bar(
        places + shift,
        heights,
        width=0.36,
        hatch=style,
        color=list(COLOURS.values()),
        alpha=0.6 if style else 1,
        edgecolor="white",
    )
    labels = [f"{way}\n{height:.2f}" for height in heights]
    bars.bar_label(drawn, labels, padding=3, fontsize=9)
bars.axhline(truth.logpdf(X_test).mean(), color="black", linestyle="--")
bars.text(0.64, -11.3, "dashed: the truth", ha="center")
bars.set_xticks(places, scores)
bars.set(ylabel="mean log-density of new samples (nats)", ylim=(-14, 1.5))
grid = np.linspace(500, 150_000, 500)[:, None]
curves.plot(
    grid / 1000, 1000 * truth.pdf(grid), color="black", linestyle="--", label="truth"
)
for name, density in fitted.items():
    heights = 1000 * np.exp(density.score_samples(grid))
    curves.plot(grid / 1000, heights, color=COLOURS[name], lw=2, label=name)
curves.set(
    title="TransformedDensity: densities in the units of the data",
    xlabel="income (thousands)",
    ylabel="density (1 / thousand)",
    ylim=(0, None),
)
curves.legend()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "transformed_density.png", dpi=110)

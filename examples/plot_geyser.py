"""
=================================================
A bimodal forecast: the next eruption of a geyser
=================================================

Claim: after a long wait a geyser's eruption is either short or long. A network trained
on squared errors predicts a length in between, which hardly ever occurs; a
conditional density says both, with their probabilities.

The samples are generated, after the well known record of Old Faithful [1]_: a short
eruption is followed by a short wait and then by a long eruption; a long one by a long
wait, after which anything may come. The waiting time is given, the duration of the
next eruption is asked for.

References
----------
.. [1] A. Azzalini and A. W. Bowman, "A Look at Some Data on the Old Faithful
   Geyser", 1990.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import ConditionalMixtureDensity
from skgmje.inspection import ConditionalDensityDisplay

OUT = Path(__file__).parent / "out"
NETWORK = "#D55E00"


def erupt(n_eruptions, seed):
    """Generate waiting times and the durations that follow them, in minutes."""
    rng = np.random.default_rng(seed)
    durations = np.empty(n_eruptions + 1)
    durations[0] = 4.3
    for i in range(n_eruptions):
        is_short = durations[i] > 3 and rng.random() < 0.55
        durations[i + 1] = rng.normal(1.95, 0.2) if is_short else rng.normal(4.3, 0.4)
    waits = 31 + 11.5 * durations[:-1] + rng.normal(0, 5, n_eruptions)
    return waits[:, None], durations[1:]


X, y = erupt(800, seed=0)
X_new, y_new = erupt(5000, seed=1)

# %%
# Fit both
# --------
# One feature is given, so a joint mixture of both columns is enough: ``prototypes``,
# conditioned in closed form. It takes the columns as they are; the network wants them
# standardised.

density = ConditionalMixtureDensity("prototypes", random_state=0).fit(X, y)
network = make_pipeline(
    StandardScaler(),
    MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=1000, random_state=0),
).fit(X, y)

# %%
# Judge them after long waits
# ---------------------------
# Near: within half a minute of what happened.

late = X_new[:, 0] > 75
predictions = {
    "mean of the network": network.predict(X_new[late]),
    "mode of the density": density.predict_mode(X_new[late]),
}
for name, predicted in predictions.items():
    near = np.mean(np.abs(predicted - y_new[late]) < 0.5)
    print(f"{name}: {predicted.mean():.2f} minutes on average, near in {near:.0%}")
observed = np.mean(y_new[late] < 3)
stated = density.predict_mixture(X_new[late]).cdf(3.0)
print(f"shorter than 3 minutes: {observed:.0%} observed, {stated.mean():.0%} stated")

spread = np.mean((y - network.predict(X)) ** 2)
errors = y_new - network.predict(X_new)
gaussian = np.mean(-0.5 * (errors**2 / spread + np.log(2 * np.pi * spread)))
score = density.score(X_new, y_new)
print(f"nats per new sample: network {gaussian:.2f}, density {score:.2f}")

# %%
# Look at them
# ------------

figure, (axis, cut) = plt.subplots(
    1, 2, figsize=(12, 4.6), width_ratios=[1.4, 1], layout="constrained"
)
ConditionalDensityDisplay.from_estimator(density, X, y, ax=axis, show_mean=False)
grid = np.linspace(X.min(), X.max(), 200)[:, None]
axis.plot(grid, network.predict(grid), color=NETWORK, lw=2.5, label="network")
axis.set(xlabel="waiting time (minutes)", ylabel="duration of the eruption (minutes)")
axis.legend(loc="lower left")

wait = np.array([[85.0]])
lengths = np.linspace(1, 6, 300)
heights = np.exp(density.log_prob(np.repeat(wait, 300, axis=0), lengths))
cut.fill_between(lengths, heights, color="#0072B2", alpha=0.25)
cut.plot(lengths, heights, color="#0072B2", lw=2, label="density")
cut.axvline(network.predict(wait)[0], color=NETWORK, lw=2.5, label="network")
cut.set(
    title="after a wait of 85 minutes",
    xlabel="duration of the eruption (minutes)",
    ylabel="density (1 / minute)",
    ylim=(0, None),
)
cut.legend()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "geyser.png", dpi=110)

"""
=========================
Streaming data that drift
=========================

Claim: where the data move, a density that takes one chunk after the other and forgets
stays good; one that was fitted once becomes useless, and one that is fitted again to
all that was ever seen blurs.

A growing neural gas places nodes where samples are, and moves those that have become
useless [1]_. Its ``partial_fit`` sees each sample once. Here two blobs go a quarter of
a turn around each other.

References
----------
.. [1] B. Fritzke, "A Self-Organizing Network That Can Follow Non-Stationary
   Distributions", 1997.
"""

from pathlib import Path
from time import process_time

import matplotlib.pyplot as plt
import numpy as np

from skgmje import GaussianMixture, GrowingNeuralGasMixture
from skgmje.inspection import DensityDisplay
from skgmje.mixture import GasGrowth

OUT = Path(__file__).parent / "out"
STYLES = {
    "streamed": {"color": "#0072B2", "ls": "-"},
    "all samples so far": {"color": "#E69F00", "ls": "--"},
    "first chunks only": {"color": "#D55E00", "ls": ":"},
}
N_CHUNKS, CHUNK = 80, 200


def draw(time, n_rows, rng):
    """Draw samples from the two blobs, as they are at a time between 0 and 1."""
    angle = np.pi * (time / 2 + rng.integers(2, size=n_rows))
    places = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return places + rng.normal(0, 0.4, (n_rows, 2))


# %%
# Follow the stream
# -----------------
# Each chunk is scored before it is learnt. The rivals are mixtures by EM: fitted
# once to the first chunks, or again and again to everything.

rng = np.random.default_rng(0)
growth = GasGrowth(utility_threshold=10.0)
stream = GrowingNeuralGasMixture(20, growth=growth, random_state=0)
seen, scores, panels = [], {name: [] for name in STYLES}, {}
seconds = dict.fromkeys(STYLES, 0.0)
densities = {"streamed": stream}
for number in range(N_CHUNKS):
    chunk = draw(number / N_CHUNKS, CHUNK, rng)
    if number >= 5:
        for name, density in densities.items():
            scores[name].append(density.score(chunk))
    seen.append(chunk)
    start = process_time()
    stream.partial_fit(chunk)
    seconds["streamed"] += process_time() - start
    if number < 4:
        continue
    start = process_time()
    everything = GaussianMixture(5, random_state=0).fit(np.concatenate(seen))
    seconds["all samples so far"] += process_time() - start
    densities["all samples so far"] = everything
    densities.setdefault("first chunks only", everything)
for name, values in scores.items():
    last = np.mean(values[-20:])
    print(
        f"{name}: {last:.2f} nats per sample over the last 20 chunks, "
        f"{seconds[name]:.1f} s of fitting"
    )

# %%
# The scores, and what each believes at the end
# ---------------------------------------------
# Points are the last chunk.

figure, axes = plt.subplots(
    1, 4, figsize=(14, 3.9), width_ratios=[1.5, 1, 1, 1], layout="constrained"
)
for name, values in scores.items():
    axes[0].plot(np.arange(5, N_CHUNKS), values, label=name, lw=2, **STYLES[name])
axes[0].set(xlabel="chunk", ylabel="nats per sample of the next chunk")
axes[0].legend()
grid = np.linspace(-4, 4, 90)
points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
for axis, (name, density) in zip(axes[1:], densities.items(), strict=True):
    log_density = density.score_samples(points).reshape(90, 90)
    display = DensityDisplay([grid, grid], log_density, data=chunk)
    display.plot(ax=axis, depth=6, show_colorbar=False)
    axis.set(title=name, xlabel="feature 0", ylabel="", aspect="equal")
axes[1].set_ylabel("feature 1")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "streaming.png", dpi=110)

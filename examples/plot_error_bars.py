"""
=========================================
Measurement errors: stars with error bars
=========================================

Claim: where each sample has an error bar of its own, a mixture that is fitted with them
finds the density without errors. One that ignores them is blurred, and one of the
precise samples alone has less to learn from.

Two colors of stars lie on a narrow line with a bend. Colors are differences of
magnitudes, which are measured well for bright stars and badly for faint ones; two
colors share a magnitude, so that their errors are correlated. The method is known as
extreme deconvolution [1]_.

References
----------
.. [1] J. Bovy, D. W. Hogg and S. T. Roweis, "Extreme deconvolution: Inferring complete
   distribution functions from noisy, heterogeneous and incomplete observations", 2011.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import GaussianMixture

OUT = Path(__file__).parent / "out"

# %%
# Magnitudes in three bands, and two colors
# -----------------------------------------
# ``COLORS`` makes colors of magnitudes, and covariances of the former of the latter's.

COLORS = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])


def draw(n_samples, seed):
    """Return colors without errors."""
    rng = np.random.default_rng(seed)
    place = np.sort(rng.beta(1.2, 1.2, n_samples))
    first = 0.3 + 1.1 * np.minimum(place / 0.6, 1)
    second = 0.1 + 0.35 * place + 1.9 * np.maximum(place - 0.5, 0)
    return np.stack([first, second], axis=1) + 0.03 * rng.normal(size=(n_samples, 2))


rng = np.random.default_rng(0)
true = draw(3000, seed=1)
brightness = rng.exponential(1.0, 3000)
error_bars = np.minimum(0.02 + 0.25 * np.exp(-brightness), 0.3)
errors = error_bars[:, None] * rng.normal(size=(3000, 3))
X = true + errors @ COLORS.T
noise = error_bars[:, None, None] ** 2 * (COLORS @ COLORS.T)

# %%
# Three densities, judged on colors without errors
# -------------------------------------------------

settings = {"n_components": 8, "tol": 1e-5, "max_iter": 1000, "random_state": 0}
precise = error_bars < 0.06
densities = {
    "without error bars": GaussianMixture(**settings).fit(X),
    "precise stars only": GaussianMixture(**settings).fit(X[precise]),
    "with error bars": GaussianMixture(**settings).fit(X, noise=noise),
}
fresh = draw(20_000, seed=2)
for name, density in densities.items():
    print(f"{name:20} {density.score(fresh):.2f} nats per star without errors")

# %%
# What a star is without its error
# --------------------------------

told = densities["with error bars"]
mean, covariance = told.denoise(X, noise, return_cov=True)
for name, colors in {"measured": X, "denoised": mean}.items():
    print(f"{name:20} error {np.sqrt(np.mean((colors - true) ** 2)):.3f}")
diff = mean - true
white = np.linalg.solve(covariance, diff[:, :, None])[:, :, 0]
inside = (diff * white).sum(axis=1) < 5.99
print(f"{inside.mean():.0%} of the stars lie in their ellipse of 95 %")

# %%
# Stars, measured and denoised, and the densities
# -----------------------------------------------

figure, axes = plt.subplots(2, 2, figsize=(10, 8), sharex=True, sharey=True)
x, y = np.linspace(-0.2, 2.0, 160), np.linspace(-0.4, 1.9, 160)
grid = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
some = np.random.default_rng(3).permutation(3000)[:600]
axes[0, 0].errorbar(
    *X[some].T,
    xerr=np.sqrt(noise[some, 0, 0]),
    yerr=np.sqrt(noise[some, 1, 1]),
    fmt=".",
    color="#0072B2",
    ecolor="0.8",
    ms=3,
)
axes[0, 0].set(title="measured, one star in five")
axes[0, 1].plot(*mean[some].T, ".", color="#0072B2", ms=3)
axes[0, 1].set(title="the same stars, denoised")
for axis, name in zip(axes[1], ("without error bars", "with error bars"), strict=True):
    log_prob = densities[name].score_samples(grid).reshape(160, 160)
    axis.contourf(
        x, y, log_prob, levels=np.arange(-5, 4.1), cmap="cividis", extend="both"
    )
    axis.plot(*true[some[:150]].T, ".", color="#D55E00", ms=3, label="the truth")
    axis.set(title=f"density {name}")
axes[1, 1].legend(loc="upper left")
for axis in axes[1]:
    axis.set(xlabel="first color (magnitudes)")
for axis in axes[:, 0]:
    axis.set(ylabel="second color (magnitudes)")
axes[0, 0].set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
figure.tight_layout()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "error_bars.png", dpi=110)

"""
=================================
Inverse kinematics of a robot arm
=================================

Claim: a hand can be at one place with the elbow up or down. A network trained on
squared errors answers with the mean of both, and its arm misses; the modes of a
conditional density are arms that reach.

An arm of two links turns at shoulder and elbow. From its two angles the place of the
hand follows; here the angles are asked for, given the place [1]_.

References
----------
.. [1] C. M. Bishop, "Mixture Density Networks", 1994.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPRegressor

from skgmje import ConditionalMixtureDensity
from skgmje.conditional import MixtureNetwork

OUT = Path(__file__).parent / "out"
COLORS = {"network": "#D55E00", "density": "#0072B2"}


def joints(angles):
    """Return the places of elbow and hand, shape (n, 2) each."""
    shoulder, elbow = angles.T
    first = np.stack([np.cos(shoulder), np.sin(shoulder)], axis=1)
    direction = np.stack([np.cos(shoulder + elbow), np.sin(shoulder + elbow)], axis=1)
    return first, first + direction


def move(n_poses, seed):
    """Draw places of the hand, and the angles that brought it there."""
    rng = np.random.default_rng(seed)
    place = np.stack(
        [rng.uniform(0.5, 1.2, n_poses), rng.uniform(0.5, 1.2, n_poses)], 1
    )
    # The law of cosines gives the elbow; its sign is the arm's choice.
    elbow = np.arccos((np.sum(place**2, axis=1) - 2) / 2)
    elbow *= rng.choice([-1, 1], n_poses)
    shoulder = np.arctan2(place[:, 1], place[:, 0]) - elbow / 2
    angles = np.stack([shoulder, elbow], axis=1)
    return place, angles + rng.normal(0, 0.03, angles.shape)


X, Y = move(1000, seed=0)
X_new, Y_new = move(500, seed=1)

# %%
# Fit both, and let the arms reach
# --------------------------------
# The miss is the distance of hand and place, in lengths of a link.

density = ConditionalMixtureDensity(
    MixtureNetwork(n_members=2, max_iter=300), random_state=0
)
density.fit(X, Y)
network = MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=500, random_state=0).fit(
    X, Y
)
answers = {
    "network": network.predict(X_new),
    "density": density.predict_mode(X_new),
}
for name, angles in answers.items():
    miss = np.linalg.norm(joints(angles)[1] - X_new, axis=1)
    print(f"{name}: median miss {np.median(miss):.3f}, largest {miss.max():.3f}")
drawn = density.sample_y(X_new, random_state=0)[..., 0]
print(f"elbow up: {np.mean(drawn[:, 1] < 0):.0%} of the draws, half in truth")

# %%
# Look at three places
# --------------------
# Of the density, 30 draws are shown: both ways to be there.

figure, axes = plt.subplots(
    1, 3, figsize=(12, 4.4), sharex=True, sharey=True, layout="constrained"
)
places = np.array([[0.6, 0.6], [1.1, 0.6], [0.9, 1.1]])
# One arm per sample, instead of scikit-learn's one per column.
draws = density.sample_y(places, 30, random_state=0).swapaxes(1, 2)
for axis, place, arms in zip(axes, places, draws, strict=True):
    answer = network.predict(place[None])
    for name, angles in {"density": arms, "network": answer}.items():
        elbows, hands = joints(angles)
        lines = np.stack([np.zeros_like(elbows), elbows, hands], axis=2)
        style = {"lw": 4} if name == "network" else {"lw": 1, "alpha": 0.5}
        axis.plot(*np.moveaxis(lines, 1, 0).swapaxes(1, 2), color=COLORS[name], **style)
    axis.plot(*place, "*", color="black", ms=16, mfc="#F0E442", zorder=5)
    axis.plot(0, 0, "s", color="black", ms=8)
    axis.set(aspect="equal", xlabel="x")
axes[0].set_ylabel("y")
handles = [
    plt.Line2D([], [], color=COLORS["network"], lw=4, label="arm of the network"),
    plt.Line2D(
        [], [], color=COLORS["density"], lw=1, label="arms drawn from the density"
    ),
    plt.Line2D(
        [],
        [],
        ls="",
        marker="*",
        color="black",
        mfc="#F0E442",
        ms=14,
        label="place to reach",
    ),
    plt.Line2D([], [], ls="", marker="s", color="black", ms=8, label="shoulder"),
]
figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "inverse_kinematics.png", dpi=110)

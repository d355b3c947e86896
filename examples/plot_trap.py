r"""
==================================================
Collapse of a likelihood objective, and the remedy
==================================================

Claim: the negative log-likelihood of embeddings under their own batch's Gaussian has a
data term that is a constant, so nothing is left but to shrink the embeddings; marginal
log-determinants are the remedy [1]_.

.. math:: \tfrac{1}{2n} \sum_i z_i^T C^{-1} z_i + \tfrac12 \log |C|, \qquad
    C = \tfrac1n \sum_i z_i z_i^T

The first term is half the number of dimensions, whatever the embeddings. The gradient
has only the second to follow, and the likelihood rises without bound while all samples
end up at one point. A covariance that is fixed is no remedy either.

References
----------
.. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised Representation
   Learning", 2026. arXiv:2603.26799
"""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import MaxNLocator
from sklearn.linear_model import LogisticRegression

from skgmje import GJEEmbedder
from skgmje.datasets import make_digit_views
from skgmje.embedding import (
    CollapseWarning,
    diagnose,
    gje_loss,
    logdet_term,
    mahalanobis_term,
    naive_loss,
)

OUT = Path(__file__).parent / "out"
COLORS = {"naive": "#D55E00", "fixed covariance": "#E69F00", "remedy": "#0072B2"}
DASHES = {"naive": "-", "fixed covariance": "--", "remedy": "-"}

# %%
# The data term is constant
# -------------------------

z = torch.from_numpy(np.random.default_rng(0).normal(size=(256, 16)))
z.requires_grad_()
for name, term in {"data": mahalanobis_term, "log-det": logdet_term}.items():
    value = term(z)
    (gradient,) = torch.autograd.grad(value, z)
    print(f"{name} term: {value.item():.6f}, gradient of norm {gradient.norm():.1e}")

# %%
# Train an encoder with each loss
# -------------------------------
# Two changed copies of each digit are the views, without labels. Any function of
# both views' embeddings can be the loss; these also note what the terms do.


def no_marginals(z_context, z_target):
    return gje_loss(z_context, z_target, logdet_weight=0.0)


losses = {"naive": naive_loss, "fixed covariance": no_marginals, "remedy": gje_loss}
X, Y, labels = make_digit_views(random_state=0)
train, test = np.arange(len(X)) < 1200, np.arange(len(X)) >= 1200
histories, fits = {}, {}
for name, loss in losses.items():
    history = histories[name] = []

    def watched(z_context, z_target, loss=loss, history=history):
        z = torch.concat([z_context, z_target], dim=1).detach().double()
        history.append([mahalanobis_term(z, 1e-9).item(), logdet_term(z, 1e-9).item()])
        return loss(z_context, z_target)

    embedder = GJEEmbedder(
        16, views="pair", loss=watched, standardize=False, max_iter=150, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        fits[name] = embedder.fit(X[train], Y[train])

# %%
# What became of the embeddings
# -----------------------------
# Ten labels of each digit are enough to see what an embedding is worth.

few = np.concatenate(
    [np.flatnonzero(labels[train] == digit)[:10] for digit in range(10)]
)
for name, embedder in fits.items():
    figures = diagnose(embedder, X[test])
    Z = embedder.transform(X)
    # Without a scale of its own, a classifier cannot blame the size.
    Z = (Z - Z[few].mean(axis=0)) / Z[few].std(axis=0)
    classifier = LogisticRegression(max_iter=1000).fit(Z[few], labels[few])
    print(
        f"{name}: standard deviation {figures['std'].mean():.3f}, effective rank "
        f"{figures['effective_rank']:.1f} of 16, log-determinant changed by "
        f"{-figures['logdet_drop'].max():+.0f}, collapsed {figures['collapsed']}, "
        f"accuracy {classifier.score(Z[test], labels[test]):.2f}"
    )

# %%
# The terms in training
# ---------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for name, history in histories.items():
    style = {"color": COLORS[name], "ls": DASHES[name], "lw": 2, "label": name}
    axes[0].plot([data for data, _ in history], **style)
    axes[1].plot([logdet for _, logdet in history], **style)
    std = np.linalg.svd(
        fits[name].transform(X[test]) - fits[name].transform(X[test]).mean(axis=0),
        compute_uv=False,
    )
    axes[2].semilogy(range(1, 17), std / test.sum() ** 0.5, marker="o", ms=4, **style)
axes[0].set(
    title="data term: the same for all",
    xlabel="training step",
    ylabel="nats",
    ylim=(0, 40),
)
axes[1].set(title="log-determinant: the volume", xlabel="training step", ylabel="nats")
axes[2].set(
    title="embeddings of new samples",
    xlabel="principal direction",
    ylabel="standard deviation",
)
axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
axes[0].legend(loc="lower left")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "trap.png", dpi=110)

"""Fits that tests/faults/test_torchrun.py launches: `OUT [FOLDER]`.

Each process writes what it has learned to OUT-RANK.npz. With a folder for
checkpoints the second process kills itself in the middle of the first try.
"""

import os
import signal
import sys
import warnings

import numpy as np
import torch
from torch import distributed

# Inside: gradients are averaged inside of the training loop.
from skgmje._training._loop import TensorRows, train
from skgmje._training._schedule import Hooks, Schedule
from skgmje.conditional import ConditionalMixtureDensity, MixtureNetwork
from skgmje.costs import COSTS, svd_cost
from skgmje.embedding import MLP, ConvNet, GJEEmbedder
from skgmje.embedding._encoder import Perceptron, Trunk, ViewPair
from skgmje.embedding._losses import Objective
from skgmje.embedding._views import jitter
from skgmje.mixture import Codes, KernelMixtureDensity
from skgmje.modules import mlp

X = np.random.default_rng(0).normal(size=(151, 3)) @ np.diag([1.0, 2.0, 3.0])
CODES = {"max_iter": 20, "generator": Codes(hidden_layer_sizes=(8,)), "random_state": 0}
SEED = {"max_iter": 20, "random_state": 0}
SMALL = {"hidden_layer_sizes": (8,), **SEED}
KILLED_AT = 13


def fit_all():
    """Return what each kind of network learns, double precision where it can."""
    learned = {}
    for cost in COSTS:
        for size in (None, 37):
            density = KernelMixtureDensity(
                5, shrinkage=2, cost=cost, batch_size=size, refine=None, **CODES
            ).fit(X)
            learned[f"{cost} {size}"] = density.centers_
    learned |= {f"gje {name}": value for name, value in train_views().items()}
    small = {k: v for k, v in SMALL.items() if k != "random_state"}
    network = MixtureNetwork(n_members=2, **small)
    conditional = ConditionalMixtureDensity(network, random_state=0)
    learned["single: network"] = conditional.fit(X[:, :2], X[:, 2]).predict(X[:, :2])
    embedder = GJEEmbedder(2, encoder=MLP((8,)), **SEED).fit(X)
    learned["single: embedder"] = embedder.loss_curve_
    embedder.set_params(loss="gje+sigreg")
    learned["single: sigreg"] = embedder.fit(X).loss_curve_
    for kind, side in (("single", 8), ("half", 12)):
        images = np.random.default_rng(0).normal(size=(60, side, side))
        curve = GJEEmbedder(2, encoder=ConvNet((8,)), **SEED).fit(images).loss_curve_
        learned[f"{kind}: images"] = curve[:5]
    return learned


def train_views():
    """Return the parameters of an encoder with the loss of `GJEEmbedder`."""
    generator = torch.Generator().manual_seed(0)
    head = mlp([8, 2], generator)
    module = ViewPair(
        Trunk(Perceptron([3, 8], generator), head).double(),
        None,
        follows=False,
        augmentations=(jitter, jitter),
        n_context=3,
        random_state=torch.Generator().manual_seed(1),
    )
    training = train(
        module,
        Objective("gje", rho=0.9, logdet_weight=1.0),
        TensorRows(torch.from_numpy(X)),
        Schedule(20, 50),
        Hooks(),
        generator,
        torch.device("cpu"),
    )
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    return state | {"loss": training.loss_curve}


def fit_with_checkpoints(folder):
    """Return what a network learns that is killed once, and one that is not."""
    learned = {}
    for name in ("killed", "whole"):
        path = os.path.join(folder, name)
        cost = DeadlyCost(path + ".note" if name == "killed" else None)
        trainer = {"checkpoint_dir": path}
        density = KernelMixtureDensity(
            5, shrinkage=2, batch_size=37, cost=cost, trainer=trainer, **CODES
        )
        density.fit(X)
        learned[f"{name} means"] = density.means_
        learned[f"{name} loss"] = density.loss_curve_
        learned[f"{name} calls"] = np.array(cost.calls)
    return learned


class DeadlyCost:
    """The cost "svd", and the end of the second process on its first try."""

    def __init__(self, note):
        self.note = note
        self.calls = 0

    def __call__(self, grams):
        self.calls += 1
        if self.note and self.calls == KILLED_AT and os.environ["RANK"] == "1":
            if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                with open(self.note, "w") as file:
                    file.write(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        return svd_cost(grams)


def main(out, folder=None):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    learned = fit_all() if folder is None else fit_with_checkpoints(folder)
    np.savez(f"{out}-{os.environ.get('RANK', '0')}.npz", **learned)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

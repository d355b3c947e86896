"""Work on a device that exists in name only; tests/training/test_devices.py runs it.

torch's FakeTensorMode knows of each tensor where it is, and no values: what mixes
devices raises, and what asks for a value waits for the device. Prints JSON: of each
case what it raised, and the lines that waited.
"""

import json
import traceback
import types
import warnings
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

from skgmje import (
    ConditionalMixtureDensity,
    GJEEmbedder,
    KernelDecoder,
    KernelMixtureDensity,
    Mixture,
)
from skgmje.conditional import MixtureNetwork
from skgmje.costs import COSTS
from skgmje.embedding import LOSSES, MLP, GJELoss, PatchKernel
from skgmje.gaussian import grams
from skgmje.mixture import Noise
from skgmje.modules import MixtureDensityNetwork, Prototypes

N, D, K = 60, 4, 5
ATEN = torch.ops.aten


class Watch(TorchDispatchMode):
    """Answer what only the device knows, and note which line asks."""

    def __init__(self):
        super().__init__()
        self.waits = set()

    def __torch_dispatch__(self, function, kinds, args=(), kwargs=None):
        first = args[0] if args else None
        is_there = torch.is_tensor(first) and first.device.type == "gpu"
        if function is ATEN._local_scalar_dense.default:
            if is_there:
                self.note()
            return first.dtype == torch.bool or 1.0
        found = function(*args, **(kwargs or {}))
        if is_there and function is ATEN._to_copy.default:
            if found.device.type == "cpu":
                self.note()
        return found

    def note(self):
        """Keep the line of the library, or of a loss here, that waits."""
        frames = traceback.extract_stack()
        own = [frame for frame in frames if "/skgmje/" in frame.filename]
        self.waits.add((own or frames)[-1].line)


def attempt(function):
    """Call a function; return what it raised, and the lines that waited."""
    watch, words = Watch(), ""
    try:
        # FakeTensorMode bears no second thread, which each device has for gradients.
        with watch, torch.autograd.set_multithreading_enabled(False):
            function()
    except Exception as error:
        own = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in own if "/skgmje/" in frame.filename]
        line = own[-1].line if own else ""
        words = f"{type(error).__name__}: {str(error)[:200]} ({line})"
    return words, sorted(watch.waits)


# Algebra, costs and modules -----------------------------------------------------------

METHODS = {
    "log_prob": lambda p, X: p.log_prob(X),
    "component_log_prob": lambda p, X: p.component_log_prob(X),
    "responsibilities": lambda p, X: p.responsibilities(X),
    "grad_log_prob": lambda p, X: p.grad_log_prob(X),
    "moments": lambda p, X: (p.mean, p.covariance, p.within_covariance),
    "marginal": lambda p, X: p.marginal([0, 2]),
    "condition": lambda p, X: p.condition([0], X[:, :1]),
    "affine": lambda p, X: p.affine(2.0, 1.0),
    "select": lambda p, X: p.select([0, 1]),
    "mix": lambda p, X: Mixture.mix([p, p], [0.5, 0.5]),
    "convolve": lambda p, X: p.convolve(p),
    "product": lambda p, X: p.product(p),
    "l2_distance": lambda p, X: p.l2_distance(p),
    "cdf": lambda p, X: p.marginal([0]).cdf(X[:, :1]),
}


def mixtures():
    """Return a mixture of each covariance type on the device."""
    make = partial(torch.ones, device="gpu")
    shapes = {"full": (K, D, D), "tied": (D, D), "diag": (K, D), "spherical": (K,)}
    covariances = {name: make(shape) for name, shape in shapes.items()}
    covariances["low-rank"] = make(K, D, 2), make(K, D)
    return {
        name: Mixture(make(K), make(K, D), own, name)
        for name, own in covariances.items()
    }


def values():
    """Yield name and function of each case that is no training."""
    X = torch.ones(N, D, device="gpu")
    for name, mixture in mixtures().items():
        for method, function in METHODS.items():
            yield f"{name} {method}", partial(function, mixture, X)
    for name, cost in COSTS.items():
        yield f"cost {name}", partial(descend, cost)
    for name, module in modules().items():
        yield f"module {name}", partial(follow, move(module, {}), X)


def descend(cost):
    """Compute the gradient of a cost by the centers."""
    centers = torch.ones(K, D, device="gpu", requires_grad=True)
    cost(grams(torch.ones(N, D, device="gpu"), centers, 1.5)).backward()


def modules():
    """Return modules on the CPU."""
    seed = torch.Generator()
    return {
        "prototypes": Prototypes(K, D, seed),
        "network": MixtureDensityNetwork(D, D, seed, hidden_layer_sizes=(8,)),
    }


def follow(module, batch):
    """Let a module follow a batch, and score the samples by its mixture."""
    module.update(batch, torch.Generator())
    module(batch).log_prob(batch)


# One step of each training ------------------------------------------------------------


class Done(Exception):
    """The end of a fit after its first steps."""


def move(value, known):
    """Return a value with all its tensors on the device, objects as they are."""
    if id(value) in known:
        return known[id(value)][0]
    known[id(value)] = value, value  # which also keeps the name taken
    moved = _moved(value, known)
    known[id(value)] = moved, value
    return moved


def _moved(value, known):
    if torch.is_tensor(value):
        there = torch.empty(value.shape, dtype=value.dtype, device="gpu")
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(there, requires_grad=value.requires_grad)
        return there
    if isinstance(value, torch.device):
        return torch.device("gpu")
    if isinstance(value, tuple):
        parts = [move(part, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            cell.cell_contents = move(cell.cell_contents, known)
    elif isinstance(value, types.MethodType):
        move(value.__self__, known)
    elif isinstance(value, list):
        value[:] = [move(part, known) for part in value]
    elif isinstance(value, dict):
        value.update({name: move(part, known) for name, part in value.items()})
    elif _is_ours(value):
        move(vars(value), known)
    return value


def _is_ours(value):
    is_object = hasattr(value, "__dict__") and not isinstance(value, type)
    return is_object and type(value).__module__.startswith(("skgmje", "torch.nn"))


def step(net, X, y=None, **params):
    """Take one step on the device, in place of all epochs, and end the fit."""
    iterator = net.get_iterator(net.get_split_datasets(X, y)[0], training=True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        known = {}
        for part in (net.module_, net.criterion_, iterator.dataset, net.hooks):
            move(part, known)
        move(net.optimizer_.param_groups, known)
        batch, parameters = iterator._next(), list(net.module_.parameters())
        raise Done(attempt(lambda: net._lean_step(batch, parameters)))


# What the tests must find.
def waiting(a, b):
    return (a - b).square().mean() * a.mean().item()


def fetching(a, b):
    return (a - b).square().mean() + a.cpu().mean().to(a)


def mixing(a, b):
    return (a - b * torch.ones(a.shape[1])).square().mean()


def trainings():
    """Yield name, estimator and data of each training."""
    rng = np.random.default_rng(0)
    X, images = rng.normal(size=(N, D)), rng.normal(size=(N, 8, 8))
    wide = rng.normal(size=(N, 20))
    how = {"max_iter": 20, "random_state": 0}
    embedder = partial(GJEEmbedder, 3, **how)
    for loss in LOSSES:
        yield f"step {loss}", embedder(loss=loss), X
    for fault in (waiting, fetching, mixing):
        yield f"fault {fault.__name__}", embedder(loss=fault), X
    yield "step moments", embedder(loss=GJELoss(moment_decay=0.5)), X
    yield "step ema", embedder(encoder=MLP((4,), target="ema", norm="sphere")), X
    yield "step pair", embedder(views="pair"), X, X**2
    for name in ("aligned", "scene"):
        yield f"step images {name}", embedder(augmentation=name), images
    yield "step decoder", KernelDecoder(2, n_centers=3, **how), X
    patches = KernelDecoder(2, n_centers=3, kernel=PatchKernel(2), **how)
    yield "step patches", patches, images
    kernels = partial(KernelMixtureDensity, K, **how)
    for cost in COSTS:
        yield f"step {cost}", kernels(cost=cost), wide
        yield f"step bandwidths {cost}", kernels(cost=cost, bandwidth="multiscale"), X
    yield "step batches", kernels(batch_size=20), X
    yield "step noise", kernels(generator="noise"), X
    yield "step Noise", kernels(generator=Noise(), bandwidth=1.0), X
    network = MixtureNetwork(n_members=1, max_iter=20)
    yield "step network", ConditionalMixtureDensity(network, random_state=0), X, X[:, 0]


def main():
    """Run all cases, and print what was found."""
    # Before torch is used.
    backend_registration._setup_privateuseone_for_python_backend("gpu")
    # What FakeTensorMode does for the device "cuda" where there is none.
    FakeTensorMode.avoid_device_init = property(lambda mode: True)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = {}
    with FakeTensorMode():
        for name, function in values():
            found[name] = attempt(function)
    NeuralNet.fit_loop = step
    for name, estimator, *data in trainings():
        try:
            estimator.fit(*data)
        except Done as done:
            found[name] = done.args[0]
    print(json.dumps(found))


if __name__ == "__main__":
    main()

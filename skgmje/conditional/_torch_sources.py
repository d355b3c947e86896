"""Sources of components that torch trains: networks, and modules of the user."""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from skgmje._interrupt import learn_then
from skgmje._settings import own_settings
from skgmje._training._hardware import load_tensors
from skgmje._training._loop import train
from skgmje._training._schedule import Hooks, Progress, Schedule, Training, read_trainer
from skgmje.conditional._models import (
    Conditional,
    Fit,
    JointConditional,
    NetworkConditional,
    assign_folds,
    check_complete,
    clip_context,
)
from skgmje.modules._network import MixtureDensityNetwork

# Samples up to which, steps, batch size.
PLANS = (
    (500, 1200, 128),
    (2000, 1600, 128),
    (5000, 3000, 256),
    (math.inf, 6000, 256),
)

# Decay of the matrices: this over rows and squared number of context features,
# within limits. Few rows of few features tell little but the trend.
DECAY = 300.0
DECAY_RANGE = (0.1, 1.0)

# Share of the steps that place the means before the scales are learned.
WARMUP = 1 / 3

# The softness of the distances in the warm phase falls along a geometric path.
SOFT, HARD = 1.0, 0.1

# Of a single sample in the loss: one must not steer a member.
WORST_LOG_PROB = -50.0
GRADIENT_NORM = 5.0

# How much a batch may raise the loss by chance, in nats.
NOISE = 0.1
SMOOTHING = 0.99

# Whose progress is told.
PROGRESS = "ConditionalMixtureDensity"

# Samples that are enough to judge a member.
MOST_JUDGED = 2000


class MemberRows(torch.utils.data.Dataset):
    """The samples of each member, all members' next to each other."""

    def __init__(self, tensors, index):
        self.tensors, self.index = tensors, index

    def __len__(self):
        return self.index.shape[1]

    def __getitem__(self, rows):
        chosen = self.index[:, rows]
        X, *others = (tensor[chosen] for tensor in self.tensors)
        return X, tuple(others)


class Members(nn.Module):
    """Members under training, with a moving average of their parameters."""

    remembered = ("fraction", "n_steps", "average", "best", "best_steps", "scores")

    def __init__(self, network, judged_on, warmup, drop, patience):
        super().__init__()
        self.network, self.judged_on = network, judged_on
        self.warmup, self.drop, self.patience = warmup, drop, patience
        self.fraction, self.n_steps = 0.0, 0
        self.average = self.best = self.scores = self.best_steps = None

    def forward(self, context):
        return self.network.heads(context, self.drop if self.training else None)

    def on_step(self, fraction):
        """Remember which part of the run is completed."""
        self.fraction = fraction

    def loss(self, heads, context, targets, weight):
        """Compute the mean loss of the members."""
        if self.fraction < self.warmup:
            part = self.fraction / self.warmup
            values = heads.distortion(targets, SOFT ** (1 - part) * HARD**part)
        else:
            values = -heads.log_prob(targets).clamp(min=WORST_LOG_PROB)
        return (weight * values).mean()

    def clip_gradients(self):
        """Clip the norm of each member's gradient."""
        gradients = [p.grad for p in self.network.parameters()]
        squares = [g.square().sum((1, 2)) for g in gradients]
        norm = torch.stack(squares).sum(0).sqrt() * len(squares[0])
        factor = (GRADIENT_NORM / (norm + 1e-6)).clamp(max=1.0)[:, None, None]
        torch._foreach_mul_(gradients, [factor] * len(gradients))

    @torch.no_grad()
    def update(self, batch, random_state):
        """Average the parameters over the last steps."""
        current = [p.detach() for p in self.network.parameters()]
        if self.average is None:
            self.average = [p.clone() for p in current]
        self.n_steps += 1
        part = min(SMOOTHING, self.n_steps / (9 + self.n_steps))
        torch._foreach_lerp_(self.average, current, 1 - part)

    @torch.no_grad()
    def judge(self):
        """Keep the best averages by held-out samples; return whether to stop."""
        if self.fraction < self.warmup:
            return False
        current = [p.clone() for p in self.network.parameters()]
        self._load(self.average)
        context, (targets, weight) = self.judged_on
        log_prob = self.network.log_prob(context, targets)
        scores = (weight * log_prob).mean(-1)
        if self.best is None:
            self.best = [p.clone() for p in self.average]
            self.scores = scores
            self.best_steps = torch.full_like(scores, self.n_steps)
        self._load(current)
        better = scores > self.scores
        where = better[:, None, None]
        pairs = zip(self.best, self.average, strict=True)
        best = [torch.where(where, average, best) for best, average in pairs]
        steps = torch.where(better, self.n_steps, self.best_steps)
        # All at once, should Ctrl-C come.
        self.best, self.scores = best, torch.where(better, scores, self.scores)
        self.best_steps = steps
        return self.n_steps - int(self.best_steps.max()) > self.patience

    @torch.no_grad()
    def finish(self):
        """Set each member to its best parameters."""
        self._load(self.best or self.average or list(self.network.parameters()))

    def _load(self, values):
        for parameter, value in zip(self.network.parameters(), values, strict=True):
            parameter.copy_(value)


def _drop(hidden, share, random_state):
    """Leave out a share of the hidden units, by a source of randomness of its own."""
    # The same units of all members: they have different samples.
    draws = torch.rand(hidden.shape[1:], generator=random_state, dtype=torch.float32)
    return hidden * (draws >= share).to(hidden) / (1 - share)


def _make_network(n_context, n_targets, source, generator, start):
    """Return the networks of a source, perhaps with a start of their means."""
    n_components = source.n_components
    if n_components == "auto":
        n_components = N_COMPONENTS if n_targets <= MANY_TARGETS else 1
    shape = ("n_members", "hidden_layer_sizes", "covariance_type", "min_scale")
    network = MixtureDensityNetwork(
        n_context,
        n_targets,
        generator,
        n_components=n_components,
        **{name: getattr(source, name) for name in shape},
    )
    if start is not None:
        network._start_at(*(torch.from_numpy(np.float32(part)) for part in start))
    return network


def _make_hooks(members, schedule, context, source, settings):
    """Return what the training calls."""
    trainer = read_trainer(source.trainer)
    progress = Progress(PROGRESS, schedule.max_iter, settings.verbose)

    def on_epoch(losses):
        is_over = members.judge()
        return settings.on_epoch(losses) or is_over

    return Hooks.of(
        trainer,
        progress,
        on_epoch,
        on_step=members.on_step,
        checkpoint=None if trainer.checkpoint_dir is None else settings.checkpoint,
        clip_gradients=members.clip_gradients,
        net_params=_net_params(context, settings.weight_decay) | trainer.net_params,
    )


def make_schedule(n_samples, n_targets, source, warms_up):
    """Choose what the source leaves open."""
    steps, batch_size = next(plan for most, *plan in PLANS if n_samples <= most)
    if n_targets > MANY_TARGETS:
        steps //= 3
    return Schedule(
        steps if source.max_iter == "auto" else source.max_iter,
        batch_size if source.batch_size == "auto" else source.batch_size,
        source.learning_rate,
        warmup=WARMUP if warms_up else 0.0,
        tol=NOISE,
    )


def _net_params(context, decay):
    """Return AdamW, which decays the matrices and nothing else."""
    n_samples, n_context = context.shape
    if decay == "auto":
        decay = np.clip(DECAY / (n_samples * n_context**2), *DECAY_RANGE)
    matrices = "network.weights.*", {"weight_decay": float(decay)}
    return {
        "optimizer": torch.optim.AdamW,
        "optimizer__weight_decay": 0.0,
        "optimizer__param_groups": [matrices],
    }


def _member_rows(chosen, random_state):
    """List the chosen samples of each member, in random order, filled by repetition."""
    rows = [random_state.permutation(np.flatnonzero(row)) for row in chosen]
    most = max(map(len, rows))
    return torch.from_numpy(np.stack([np.resize(row, most) for row in rows]))


def _layers(network):
    """Return what a :class:`NetworkConditional` keeps of a network."""
    network.cpu().requires_grad_(requires_grad=False)
    layers = network.weights, network.biases
    arrays = [tuple(part.numpy() for part in own) for own in layers]
    return *arrays, network.skip.numpy()


# More targets are memorized sooner, and by more components.
N_COMPONENTS = 5
MANY_TARGETS = 8


def fit_network(X, Y, source, settings, sample_weight=None, random_state=None):
    """Train an ensemble of mixture density networks, each without one fold."""
    check_complete(X)
    if len(X) < 2:
        raise ValueError(
            f"X has n_samples={len(X)}; a network needs at least 2, one of them to "
            "be judged on. Use the source 'prototypes'."
        )
    fold = assign_folds(X, Y, random_state)

    def describe(trained):
        model, unseen, training, _ = trained
        held_out = _held_out(model, X, Y, unseen)
        return Fit(model, held_out, _info(training), training.complaint)

    data = X, Y, fold, source, settings, sample_weight, random_state
    return learn_then(describe, tuple, train_network, *data)


def _info(training):
    """Return what a fit tells of its training."""
    return {"loss_curve": training.loss_curve, "n_iter": len(training.loss_curve)}


def train_network(
    X, Y, fold, source, settings, sample_weight=None, random_state=None, start=None
):
    """Train an ensemble of networks on given folds."""
    own_fold = np.arange(source.n_members) % (fold.max() + 1)
    unseen = own_fold[:, None] == fold
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
    network = _make_network(X.shape[1], Y.shape[1], source, generator, start)
    drop = None
    if settings.dropout:
        drop = partial(_drop, share=settings.dropout, random_state=generator)
    device = settings.device or torch.device("cpu")
    data = clip_context(X), Y, weight / weight.mean()
    tensors = [torch.from_numpy(np.asarray(a, np.float32)).to(device) for a in data]
    shown = MemberRows(tensors, _member_rows(~unseen, random_state).to(device))
    held = MemberRows(tensors, _member_rows(unseen, random_state).to(device))
    judged_on = held[torch.arange(min(len(held), MOST_JUDGED))]
    schedule = make_schedule(*Y.shape, source, settings.warmup)
    patience = settings.patience * schedule.max_iter
    members = Members(network, judged_on, schedule.warmup, drop, patience)
    hooks = _make_hooks(members, schedule, X, source, settings)

    def describe(training):
        members.finish()
        steps = np.full(source.n_members, members.n_steps)
        if members.best_steps is not None:
            steps = members.best_steps.cpu().numpy().astype(int)
        shape = network.n_components, Y.shape[1], source.min_scale
        model = NetworkConditional(*_layers(network), *shape)
        return model, unseen, training, steps

    plan = members, members.loss, shown, schedule, hooks, generator, device
    return learn_then(describe, Training, train, *plan)


def _held_out(model, X, Y, unseen):
    """Pool, for each sample, the members that have not seen it; NaN if all have."""
    total = np.full(len(X), -np.inf)
    for m, rows in enumerate(unseen):
        log_prob = model.member(m).heads(X[rows]).log_prob(Y[rows])[0]
        total[rows] = np.logaddexp(total[rows], log_prob)
    n_members = unseen.sum(axis=0)
    return np.where(n_members > 0, total - np.log(np.maximum(n_members, 1)), np.nan)


@dataclass(frozen=True)
class ModuleConditional(Conditional):
    """The mixtures that a trained module makes of its contexts."""

    module: Any
    n_context: int
    n_targets: int

    def predict_mixture(self, X):
        with own_settings(), torch.no_grad():
            mixture = self.module(_tensor(X, _precision(self.module))).to_numpy()
        weights = np.broadcast_to(mixture.weights, (len(X), mixture.n_components))
        return replace(mixture, weights=weights)


def fit_module(X, Y, source, settings, sample_weight=None, random_state=None):
    """Train a module by gradient steps on the negative log-likelihood."""
    module = copy.deepcopy(source.module)
    n_context, n_targets = X.shape[1], Y.shape[1]
    with torch.no_grad():
        width = module(_tensor(X[:2])).n_features
    joint = width == n_context + n_targets
    if not joint and width != n_targets:
        raise ValueError(
            f"The module {type(module).__name__} makes mixtures of {width} features; "
            f"they must be over the {n_targets} targets, or over contexts and targets, "
            f"{n_context + n_targets} features."
        )
    context = np.hstack([X, Y]) if joint else X
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    tensors = tuple(_tensor(part) for part in (context, Y, weight / weight.mean()))

    def criterion(mixture, context, targets, weight):
        return -(weight * mixture.log_prob(context if joint else targets)).mean()

    def describe(training):
        model = ModuleConditional(_in_double(module.cpu(), X), n_context, n_targets)
        if joint:
            with torch.no_grad():
                model = JointConditional(model.module().to_numpy(), n_context)
        return Fit(model, None, _info(training), training.complaint)

    data = module, criterion, tensors, source, settings, random_state
    return learn_then(describe, Training, _train, *data)


def restore_module(model, module):
    """Return the model of a file with a copy of the user's module in it."""
    module = load_tensors(copy.deepcopy(module), model.module)
    return replace(model, module=_in_double(module, np.zeros((1, model.n_context))))


def _train(module, criterion, tensors, source, settings, random_state):
    """Train a module in place."""
    sizes = source.max_iter, source.batch_size, source.learning_rate
    schedule = Schedule(*sizes, tol=NOISE)
    generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
    progress = Progress(PROGRESS, schedule.max_iter, settings.verbose)
    hooks = Hooks.of(read_trainer(source.trainer), progress, settings.on_epoch)
    device = settings.device or torch.device("cpu")
    return train(module, criterion, tensors, schedule, hooks, generator, device)


def _in_double(module, X):
    """Return a module in double precision, or as it is if it knows another only."""
    double = copy.deepcopy(module).double()
    try:
        with torch.no_grad():
            mixture = double(_tensor(X[:1], np.float64))
    except RuntimeError:  # torch's word for data types that do not meet
        return module
    return double if mixture.means.dtype == torch.float64 else module


def _precision(module):
    """Return the data type of a module's parameters; double precision without."""
    known = chain(module.parameters(), module.buffers())
    dtype = next((tensor.dtype for tensor in known), torch.float64)
    return np.float64 if dtype == torch.float64 else np.float32


def _tensor(array, dtype=np.float32):
    """Return an array as a tensor of the data type."""
    return torch.from_numpy(np.asarray(array, dtype))

"""A bank of weighted particles as a module."""

import torch

from skgmje._backend import as_array_of, as_generator, detach, to_numpy
from skgmje.em import kernel_bandwidth
from skgmje.modules._generators import MixtureModule
from skgmje.particles import BankState, bank_mixture, start_bank, step_bank

# Samples of the first batch of which the bandwidth looks at all pairs.
MAX_PAIRED = 1000


class MemoryBankModule(MixtureModule):
    r"""A kernel around each of many past samples, followed by sequential Monte Carlo.

    .. math:: p(z) = \sum_m W_m N(z; z_m, h^2 I)

    Each batch reweights the particles by their responsibilities, resamples them
    when few carry the weight, and takes the place of some. Nothing is learned by
    the gradient; it passes through to the samples that are scored. With
    ``rate=0, replacement="oldest"`` this is the uniform queue of contrastive
    learning.

    Parameters
    ----------
    n_components : int
        Number of particles.

    n_features : int
        Number of features.

    random_state : torch.Generator
        Source of the first particles, which are standard normal until a batch
        comes; on the CPU.

    bandwidth : float or None, default=None
        Standard deviation h of the kernels. None: of the first batch the best
        leave-one-out likelihood, then EM steps on each batch before it is in
        the bank.

    rate : float, default=0.05
        Rate of the weights, and of the bandwidth.

    ess_threshold : float, default=0.5
        Share of the particles below which the effective sample size triggers
        resampling.

    resampling : str, default='systematic'
        Key of :data:`skgmje.particles.RESAMPLING`.

    jitter : float, default=0.1
        How far copies are moved, in bandwidths.

    replacement : {'lowest-weight', 'oldest', None}, default='lowest-weight'
        Which particles give way to the batch; None: none does.

    max_age : int or None, default=None
        Particles of more steps lose their weight.

    dtype : torch.dtype, default=torch.float32
        The data type of the particles.

    See Also
    --------
    skgmje.particles.step_bank : The step.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import MemoryBankModule
    >>> random_state = torch.Generator().manual_seed(0)
    >>> bank = MemoryBankModule(64, 2, random_state)
    >>> bank.update(torch.randn((32, 2), generator=random_state), random_state)
    >>> bank()
    Mixture(n_components=64, n_features=2, covariance_type='spherical')
    """

    def __init__(
        self,
        n_components,
        n_features,
        random_state,
        *,
        bandwidth=None,
        rate=0.05,
        ess_threshold=0.5,
        resampling="systematic",
        jitter=0.1,
        replacement="lowest-weight",
        max_age=None,
        dtype=torch.float32,
    ):
        super().__init__()
        self.learn_bandwidth = bandwidth is None
        self.step_params = {
            "rate": rate,
            "ess_threshold": ess_threshold,
            "resampling": resampling,
            "jitter": jitter,
            "replacement": replacement,
            "max_age": max_age,
        }
        size = (n_components, n_features)
        rows = torch.randn(size, generator=random_state, dtype=dtype)
        for name, value in start_bank(rows)._asdict().items():
            self.register_buffer(name, value)
        width = 1.0 if bandwidth is None else bandwidth
        self.register_buffer("bandwidth", torch.tensor(width, dtype=dtype))
        self.register_buffer("n_steps", torch.tensor(0))

    def forward(self, context=None):
        return bank_mixture(self._state(), self.bandwidth)

    @torch.no_grad()
    def update(self, batch, random_state):
        batch = detach(as_array_of(batch, self.particles))
        seed = int(torch.randint(2**31 - 1, (), generator=random_state))
        random_state = as_generator(seed)
        step = self._step if self.n_steps else self._fill
        for name, value in step(batch, random_state)._asdict().items():
            getattr(self, name).copy_(value)
        self.n_steps += 1

    def _state(self):
        """Return the bank that the buffers hold."""
        return BankState(self.particles, self.weights, self.ages)

    def _fill(self, batch, random_state):
        """Return a bank of the first batch, and choose the bandwidth."""
        n_particles = len(self.particles)
        if self.learn_bandwidth:
            rows = to_numpy(batch[:MAX_PAIRED]).astype(float)
            self.bandwidth.fill_(kernel_bandwidth(rows))
        rows = random_state.permutation(max(n_particles, len(batch)))[:n_particles]
        return start_bank(batch[torch.from_numpy(rows % len(batch)).to(batch.device)])

    def _step(self, batch, random_state):
        """Return the bank after a step, and adapt the bandwidth."""
        state, info = step_bank(
            self._state(),
            batch,
            self.bandwidth,
            random_state=random_state,
            **self.step_params,
        )
        if self.learn_bandwidth:
            rate = self.step_params["rate"]
            self.bandwidth *= (1 - rate + rate * info.stretch) ** 0.5
        return state

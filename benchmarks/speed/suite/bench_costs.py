"""The kernel costs with their gradients, and the training loop."""

import torch

from skgmje import KernelMixtureDensity
from skgmje.costs import COSTS
from skgmje.gaussian import grams


class CostGradient:
    """Value and gradient at 256 centres for 2048 rows, d = 16."""

    params = tuple(COSTS)
    param_names = ("cost",)

    def setup(self, cost):
        """Draw rows and centres."""
        generator = torch.Generator().manual_seed(0)
        self.X = torch.randn((2048, 16), generator=generator)
        self.centers = torch.randn((256, 16), generator=generator).requires_grad_()

    def time_gradient(self, cost):
        """Compute the gradient at the centres."""
        value = COSTS[cost](grams(self.X, self.centers, 1.5))
        torch.autograd.grad(value, self.centers)

    def peakmem_gradient(self, cost):
        """Compute the gradient at the centres."""
        self.time_gradient(cost)


class Training:
    """Fifty gradient steps of a network of 64 centres on 2000 rows, d = 8."""

    params = ("scalar", "svd")
    param_names = ("cost",)

    def setup(self, cost):
        """Draw rows."""
        generator = torch.Generator().manual_seed(0)
        self.X = torch.randn((2000, 8), generator=generator).numpy()
        self.density = KernelMixtureDensity(
            64,
            cost=cost,
            covariance_type="spherical",
            shrinkage=0,
            refine="weights",
            max_iter=50,
            tol=0,
            batch_size=256,
            device="cpu",
            random_state=0,
        )

    def time_fit(self, cost):
        """Place the centres."""
        self.density.fit(self.X)

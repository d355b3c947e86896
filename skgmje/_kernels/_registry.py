"""The hot loops by covariance type."""

from skgmje._kernels._diagonal import DiagKernel, SphericalKernel
from skgmje._kernels._full import FullKernel
from skgmje._kernels._low_rank import LowRankKernel
from skgmje._kernels._tied import TiedKernel

KERNELS = {
    "full": FullKernel,
    "tied": TiedKernel,
    "diag": DiagKernel,
    "spherical": SphericalKernel,
    "low-rank": LowRankKernel,
}

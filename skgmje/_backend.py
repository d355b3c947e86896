"""Array namespaces: functions of NumPy arrays and torch tensors alike."""

import math
from importlib import import_module

import numpy as np
from array_api_compat import array_namespace as namespace
from array_api_compat import is_torch_array as is_torch

LOG_2PI = math.log(2 * math.pi)

# The data types of computations; numbers of other types are converted.
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
_ARRAYS = (np.ndarray, np.generic)

# Entries of a temporary array: 4 MB of float64, so that memory stays bounded.
BLOCK_SIZE = 2**19


def is_at_hand(x):
    """Return whether values can be looked at without a wait for another device."""
    return not is_torch(x) or x.device.type == "cpu"


def check_torch(caller, packages=("torch", "skorch")):
    """Raise if a package that networks need cannot be imported."""
    for name in packages:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(
                f"{caller} needs {name} for its networks: pip install {name}. What "
                "has no network needs neither torch nor skorch; GaussianMixture, "
                "StackingDensity and DensityOutlierDetector are such estimators."
            ) from error


def to_numpy(x):
    """Return `x` as a NumPy array, detached from any autograd graph."""
    if not is_torch(x):
        return np.asarray(x)
    x = x.detach()
    if x.is_floating_point() and x.element_size() < 4:
        x = x.float()  # NumPy knows no bfloat16
    return x.cpu().resolve_neg().numpy()


def from_tensor(x):
    """Return tensors as arrays, masked entries as NaN, anything else as it is."""
    if isinstance(x, tuple | list) and any(map(is_torch, x)):
        return type(x)(map(from_tensor, x))
    return to_numpy(x) if is_torch(x) else unmasked(x)


def unmasked(x):
    """Return a masked array with NaN for what is masked, anything else as it is."""
    if not isinstance(x, np.ma.MaskedArray):
        return x
    # NumPy itself would show what is under the mask.
    return np.ma.filled(x.astype(np.result_type(x.dtype, np.float32)), np.nan)


def as_float(values):
    """Return numbers as an array of floats; arrays of floats stay as they are."""
    if is_torch(values):
        if values.is_floating_point() and values.element_size() in (4, 8):
            return values
        if values.is_complex():
            raise TypeError(f"{values.dtype} holds no real numbers. Take its parts.")
        return as_double(values)
    if hasattr(values, "dtype") and values.dtype in FLOATS:
        # Rows that are computed where they are asked for are no array, and stay so.
        if isinstance(values, _ARRAYS) or not hasattr(values, "__array__"):
            return values
    try:
        values = np.asarray(from_tensor(values))
        if values.dtype.kind not in "biufO":
            raise TypeError(f"{values.dtype} holds no real numbers")
        return values if values.dtype in FLOATS else values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Expected an array of real numbers: {error}. Convert it."
        ) from error


def as_floats(*arrays):
    """Return each by :func:`as_float`; None stays, and what is one array stays one."""
    known = {id(a): None if a is None else as_float(a) for a in arrays}
    return tuple(known[id(array)] for array in arrays)


def asarray_like(values, like):
    """Return `values` as an array of the library, dtype and device of `like`."""
    if is_torch(like):
        if isinstance(values, np.ndarray) and not values.flags.writeable:
            values = values.copy()  # torch warns of memory that it may not write into
        return namespace(like).asarray(values, dtype=like.dtype, device=like.device)
    return np.asarray(to_numpy(values), dtype=like.dtype)


def as_array_of(values, like):
    """Return `values` as an array of the kind of `like`, with its gradient."""
    if is_torch(like) and is_torch(values):
        return values.to(like)
    return asarray_like(values, like)


def eye_like(x):
    """Return the identity with the last dimension, dtype and device of `x`."""
    device = {"device": x.device} if is_torch(x) else {}
    return namespace(x).eye(x.shape[-1], dtype=x.dtype, **device)


def logsumexp(x, axis):
    """Compute ``log(sum(exp(x)))`` along `axis`; a slice of -inf gives -inf."""
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.sum(xp.exp(x - top), axis=axis)
    if is_torch(x):
        return xp.squeeze(top, axis=axis) + xp.log(total)
    with np.errstate(divide="ignore"):
        return xp.squeeze(top, axis=axis) + xp.log(total)


def softmax(x, axis):
    """Compute ``exp(x) / sum(exp(x))`` along `axis`."""
    xp = namespace(x)
    shifted = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return shifted / xp.sum(shifted, axis=axis, keepdims=True)


def cholesky(matrices, name, *, overwrite=False):
    """Return the lower Cholesky factors of `matrices`, shape (..., d, d)."""
    try:
        learned = getattr(matrices, "requires_grad", False)
        if matrices.ndim == 2 and is_at_hand(matrices) and not learned:
            return _cholesky_of_one(matrices, overwrite)
        return namespace(matrices).linalg.cholesky(matrices)
    except RuntimeError as error:  # torch's LinAlgError is a RuntimeError
        reason = error
    except np.linalg.LinAlgError as error:
        reason = error
    raise ValueError(
        f"{name} of shape {tuple(matrices.shape)} has a matrix that is not "
        "positive definite. Add a positive number to its diagonal (reg_covar or "
        "jitter), merge duplicated features, or use a diagonal covariance type."
    ) from reason


def _cholesky_of_one(matrix, overwrite):
    """Factorise a matrix by SciPy: for large ones it takes half the time or less."""
    from scipy.linalg import cholesky as scipy_cholesky

    # The transpose is in Fortran's order, so that nothing need be copied.
    rows = to_numpy(matrix).T
    upper = scipy_cholesky(rows, overwrite_a=overwrite, check_finite=False)
    # What is no number anywhere ends up in the last pivot.
    if np.isnan(upper[-1:, -1:]).any():
        raise np.linalg.LinAlgError("There are entries that are not numbers.")
    return asarray_like(upper.T, matrix)


def transpose(matrices):
    """Swap the last two axes."""
    return namespace(matrices).matrix_transpose(matrices)


def solve_triangular(lower, right):
    """Solve ``lower @ x = right`` for lower-triangular matrices, batched."""
    if is_torch(lower):
        import torch

        return torch.linalg.solve_triangular(lower, right, upper=False)
    if lower.ndim == 2 and right.ndim == 2:
        from scipy.linalg import solve_triangular as scipy_solve_triangular

        return scipy_solve_triangular(lower, right, lower=True, check_finite=False)
    return np.linalg.solve(lower, right)


def invert_triangular(lower):
    """Invert lower-triangular matrices, batched."""
    identity = namespace(lower).broadcast_to(eye_like(lower), lower.shape)
    return solve_triangular(lower, identity)


def as_generator(random_state, name="random_state"):
    """Return a NumPy generator that owes nothing to the global random state."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(np.iinfo(np.int32).max))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}={random_state!r} must be an integer from 0 on, a generator of "
            "NumPy, or None."
        ) from error


def slices(size, step, start=0):
    """Return slices of at most `step` entries that cover those from `start` on."""
    return [slice(i, min(i + step, size)) for i in range(start, size, step)]


def block_rows(row_size):
    """Return how many rows of `row_size` entries make one block."""
    return max(1, BLOCK_SIZE // max(1, row_size))


def row_blocks(n_rows, row_size):
    """Return slices of rows, each of which makes one block; at least one slice."""
    return slices(n_rows, block_rows(row_size)) or [slice(0, 0)]


def detach(x):
    """Return `x` without its autograd history; a NumPy array is returned as is."""
    return x.detach() if is_torch(x) else x


def as_double(x):
    """Return `x` in double precision where its device has it (Apple's has not)."""
    if not is_torch(x):
        return as_float(x).astype(np.float64)
    xp = namespace(x)
    single = x.device.type == "mps"
    return xp.astype(x, xp.float32 if single else xp.float64)


def unit_of(*arrays):
    """Return a power of two near the largest size among the entries of all arrays."""
    xp = namespace(*arrays)
    ends = [
        end for a in arrays if math.prod(a.shape) for end in (xp.max(a), -xp.min(a))
    ]
    largest = max(map(float, ends), default=0.0)
    if not 0 < largest < math.inf:
        return 1.0
    smallest = float(xp.finfo(arrays[0].dtype).smallest_normal)
    return max(math.ldexp(1.0, math.frexp(largest)[1] - 1), smallest)

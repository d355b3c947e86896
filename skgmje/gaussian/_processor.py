"""What depends on the processor: sizes of blocks, and how exponentials are taken."""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

# That of a core where the system does not tell.
USUAL_CACHE = 2**20


def _cache_bytes():
    """Return the size of the cache that one core has of its own."""
    size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    with suppress(OSError, ValueError):
        return int(size.read_text().strip().removesuffix("K")) * 2**10
    return USUAL_CACHE


def _has_slow_exp():
    """Return whether NumPy's exponential of doubles is not vectorised, but sums are."""
    with suppress(ImportError):  # before NumPy 2.0
        from numpy.lib.introspect import opt_func_info

        loops = opt_func_info(func_name="^exp$", signature="float64").get("exp", {})
        used = [loop["current"] for loop in loops.values()]
        return any("AVX2" in target or target == "X86_V3" for target in used)
    return False


# Blocks are made for it; larger ones gain nothing.
CACHE_BYTES = min(max(_cache_bytes(), 2**18), USUAL_CACHE)

# exp(x) = 2^(n/N) (1 + z + z^2 / 2) for z = x - n log(2) / N, and N steps an octave.
_BITS = 12
_STEPS = 2**_BITS
_HALF_STEP = math.log(2) / (2 * _STEPS)

# Added and subtracted again, it leaves a multiple of 1 / N; its bits hold the number.
_MAGIC = 1.5 * 2.0 ** (52 - _BITS)

_LARGEST = 700.0

# With y = z / log(2), the square is ((y + a)^2 + b) / (a^2 + b); most of the cubic
# term is taken into the linear one, which leaves a relative error below 3e-14.
_A = (1 + _HALF_STEP**2 / 8) / math.log(2)
_B = 2 / math.log(2) ** 2 - _A**2


class Exponential:
    """Exponentials of doubles by a table and elementary steps, a piece at a time.

    The steps are exact or rounded once, so bits depend on the number alone. Relative
    to NumPy's the result is off by 3e-14, and by the rounding of one product with x.
    """

    def __init__(self):
        # The powers 2^(n/N) of one octave, without the bits that n itself adds.
        n = np.arange(_STEPS)
        powers = np.exp2(n / _STEPS) / (_A * _A + _B)
        self.table = (powers.view(np.int64) - (n << (52 - _BITS))).view(float)
        self.size = CACHE_BYTES // 32

    def __call__(self, x, work):
        """Overwrite contiguous numbers by their exponentials."""
        flat = x.ravel("K")
        memory, size = work.get("exp"), min(self.size, flat.size)
        if memory is None or memory.shape[1] < size:
            memory = work["exp"] = np.empty((3, size))
        for start in range(0, flat.size, memory.shape[1]):
            y = flat[start : start + memory.shape[1]]
            number, power, bits = memory[:, : y.size]
            # What the steps cannot hold, NaN among them.
            odd = None
            if not (y.max() <= _LARGEST and y.min() >= -_LARGEST):
                odd = ~(np.abs(y) <= _LARGEST)
                known = np.exp(y[odd])
                y[odd] = 0.0
            self._piece(y, number, power, number.view(np.int64), bits.view(np.int64))
            if odd is not None:
                y[odd] = known
        return x

    def _piece(self, y, number, power, place, octave):
        y *= 1 / math.log(2)
        np.add(y, _MAGIC, out=number)
        np.subtract(number, _MAGIC, out=power)
        y -= power
        y += _A
        y *= y
        y += _B
        np.left_shift(place, 52 - _BITS, out=octave)
        place &= _STEPS - 1
        self.table.take(place, out=power, mode="clip")
        whole = power.view(np.int64)
        whole += octave
        y *= power


def _numpy_exp(x, work):
    """Overwrite numbers by their exponentials."""
    return np.exp(x, out=x)


exp_in_place = Exponential() if _has_slow_exp() else _numpy_exp

"""The former home of what stands in `em`, `neural_gas` and `particles`."""

from skgmje import em, neural_gas, particles

__all__ = []  # listed where they stand
_PLACES = (em, neural_gas, particles)


def __getattr__(name):
    for place in _PLACES:
        if name in place.__all__:
            return getattr(place, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

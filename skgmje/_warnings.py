"""Warnings that point at the line of the user's that they are about."""

import sys
import warnings

# What calls in a user's place: searches of scikit-learn, by processes of joblib.
_CALLERS = {"skgmje", "sklearn", "joblib"}


def warn(message, category=UserWarning):
    """Warn where a user called this library, or others that call it."""
    # As `skip_file_prefixes` does, from Python 3.12 on.
    frame, level = sys._getframe(1), 2
    while frame.f_back and _package(frame) in _CALLERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(frame):
    """Return the name of the package whose code a frame runs."""
    return frame.f_globals.get("__name__", "").partition(".")[0]

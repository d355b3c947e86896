"""Pairs of views to learn from: synthetic ones with known truth, and digits."""

from skgmje.datasets._alignment import AlignmentTask
from skgmje.datasets._tasks import ALIGNMENT_TASKS, make_alignment
from skgmje.datasets._views import make_digit_views, make_paired_views

__all__ = [
    "ALIGNMENT_TASKS",
    "AlignmentTask",
    "make_alignment",
    "make_digit_views",
    "make_paired_views",
]

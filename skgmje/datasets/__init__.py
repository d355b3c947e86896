"""Pairs of views to learn from: synthetic ones with known truth, and digits."""

from skgmje.datasets._alignment import ALIGNMENT_TASKS, AlignmentTask, make_alignment
from skgmje.datasets._paired_views import make_digit_views

__all__ = ["ALIGNMENT_TASKS", "AlignmentTask", "make_alignment", "make_digit_views"]

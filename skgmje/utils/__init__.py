"""Helpers for those who test, document or extend the library."""

from skgmje.utils._discovery import all_estimators, all_functions
from skgmje.utils.estimator_checks import check_density_estimator

__all__ = ["all_estimators", "all_functions", "check_density_estimator"]

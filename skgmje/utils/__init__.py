"""Helpers for those who test, document or extend the library."""

from skgmje.utils._discovery import all_estimators, all_functions

__all__ = ["all_estimators", "all_functions"]

"""Conditional densities."""

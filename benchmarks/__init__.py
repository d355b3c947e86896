"""Benchmarks: a folder for each subject, with its scripts and their results."""

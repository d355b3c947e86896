"""Benchmarks of the algebra of mixtures."""

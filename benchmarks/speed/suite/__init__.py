"""Benchmarks in the format of airspeed velocity, to follow figures over commits."""

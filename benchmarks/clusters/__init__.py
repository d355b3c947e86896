"""Clusters, classes with few labels, background and tails."""

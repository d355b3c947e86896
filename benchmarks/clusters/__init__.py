"""Model-based clusters, classes with few labels, background and tails."""

"""Model-based clusters beside the numbers of R's mclust."""

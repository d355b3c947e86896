"""Embeddings, densities, decoders and generators of images."""

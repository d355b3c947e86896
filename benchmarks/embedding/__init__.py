"""Embeddings of two views."""

"""Matches the weights of a checkpoint to those of a model."""

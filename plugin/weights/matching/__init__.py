"""Which weights of a checkpoint belong where in a model."""

"""The generated data set and the picture of what a model has learnt. Imports config."""

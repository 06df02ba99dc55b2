"""Two implementations of one model: features and weights compared. Imports config."""

"""Reading checkpoints from anywhere, without running anything in them."""

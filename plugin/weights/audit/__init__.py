"""Find what was loaded, and report it."""

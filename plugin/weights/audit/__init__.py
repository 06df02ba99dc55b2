"""What was loaded, and how it is reported."""

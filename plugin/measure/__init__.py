"""Measures what a backbone or a model returns. Imports det and the rooms below."""

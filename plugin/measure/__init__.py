"""What a backbone or a model gives. Imports det and the rooms below."""

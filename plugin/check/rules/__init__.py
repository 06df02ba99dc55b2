"""The rules of check: one a file, or one a folder. Imports the rest of check."""

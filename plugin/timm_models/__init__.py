"""Models of timm, built and taken apart. Imports spec and the rooms below."""

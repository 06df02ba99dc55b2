"""Two implementations of one model. Imports config and the rooms below.

Features and weights compared, and checkpoints converted.
"""

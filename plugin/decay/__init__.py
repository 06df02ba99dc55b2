"""Learning rates by layer. Imports freezing and the rooms below.

Depths of parameters, and groups of equal rate.
"""

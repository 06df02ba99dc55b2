"""What a backbone or a model gives, measured without memory for its weights.

Imports weights, freezing, decay, backbones and what those import.
"""

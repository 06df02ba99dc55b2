"""The shapes data set: generated pictures that every ready config can be tried on.

1 to 4 circles, squares and triangles over textured backgrounds, with occlusion,
blur and stray marks; annotated for detection, instance and semantic
segmentation, and cut up for classification.
"""

from plugin.demo.shapes.dataset import generate
from plugin.demo.shapes.scene import CLASSES

PALETTE = ((255, 176, 0), (0, 190, 255), (255, 64, 150))
"""RGB of each class in drawings; three that colour-blind readers tell apart."""

__all__ = ['CLASSES', 'PALETTE', 'generate']

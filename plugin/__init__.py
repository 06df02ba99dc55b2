"""Any backbone in mmdet, mmsegmentation and mmyolo, correctly and in one step.

Importing this package imports nothing else: ``plugin.det``, ``plugin.seg``,
``plugin.yolo`` and ``plugin.cls`` are what a config names in ``custom_imports``.
"""

__version__ = '0.1.0'

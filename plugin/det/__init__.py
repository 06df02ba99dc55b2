"""Everything of ours in mmdetection: ``custom_imports = dict(imports=['plugin.det'])``."""

from plugin.publish import publish

publish('mmdet')

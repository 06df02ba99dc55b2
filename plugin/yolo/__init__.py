"""Everything of ours in mmyolo: ``custom_imports = dict(imports=['plugin.yolo'])``."""

from plugin.publish import publish

publish('mmyolo')

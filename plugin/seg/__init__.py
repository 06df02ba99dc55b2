"""Everything of ours in mmsegmentation: ``custom_imports = dict(imports=['plugin.seg'])``."""

from plugin.publish import publish

publish('mmseg')

"""Everything of ours in mmpretrain: ``custom_imports = dict(imports=['plugin.cls'])``."""

from plugin.publish import publish

publish('mmpretrain')

"""Importing this registers everything of ours in mmsegmentation."""

from plugin.publish import publish

publish('mmseg')

"""Importing this registers everything of ours in mmpretrain."""

from plugin.publish import publish

publish('mmpretrain')

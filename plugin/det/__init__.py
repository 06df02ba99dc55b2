"""Importing this registers everything of ours in mmdetection."""

from plugin.publish import publish

publish('mmdet')

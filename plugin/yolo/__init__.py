"""Importing this registers everything of ours in mmyolo."""

from plugin.publish import publish

publish('mmyolo')

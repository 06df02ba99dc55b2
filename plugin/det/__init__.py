"""All that is particular to mmdet. Imports publish and the rooms below.

Importing this registers everything of ours in mmdet.
"""

from plugin.publish import publish

publish('mmdet')

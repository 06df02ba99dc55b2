"""All that is particular to mmsegmentation. Imports publish and the rooms below.

Importing this registers everything of ours in mmsegmentation.
"""

from plugin.publish import publish

publish('mmseg')

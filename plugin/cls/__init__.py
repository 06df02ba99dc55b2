"""All that is particular to mmpretrain. Imports publish and the rooms below.

Importing this registers everything of ours in mmpretrain.
"""

from plugin.publish import publish

publish('mmpretrain')

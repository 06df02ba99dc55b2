"""All that is particular to mmyolo. Imports publish and the rooms below.

Importing this registers everything of ours in mmyolo.
"""

from plugin.publish import publish

publish('mmyolo')

"""Pretrained weights: where they come from, their names, and whether they arrived.

:func:`watch_initialization` switches the audit on; every task package does.
"""

from plugin.pretrained.audit import MIN_LOADED, PretrainedError
from plugin.pretrained.interception import watch_initialization

__all__ = ['MIN_LOADED', 'PretrainedError', 'watch_initialization']

"""Registries of scope ``plugin``, children of mmengine's root registries.

mmengine imports this module by itself as soon as a config says ``type='plugin.X'``.
It swallows an ImportError raised in here and then reports that X is not in the
registry, so nothing is imported here but mmengine; an error inside one of the
``locations`` does reach the user.
"""

from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=ROOT_MODELS,
    scope='plugin',
    locations=['plugin.backbones', 'plugin.necks', 'plugin.wrappers'],
)
HOOKS = Registry(
    'hook',
    parent=ROOT_HOOKS,
    scope='plugin',
    locations=['plugin.freezing.hooks', 'plugin.training'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='plugin',
    locations=['plugin.decay.constructor'],
)

"""The page on bases; :mod:`plugin.config.bases` looks while the config is read."""

from plugin.check.rule import Rule

RULE = Rule(
    name='bases',
    finds='A `_base_`, or a module under `read_base()`, that is not there, that leads '
    'back to the config itself, or that has a key which another base has too.',
    why='The config cannot be read. mmengine answers a wrong `mmdet::` name with the '
    'names of every config there is, and stops at the first base that is wrong.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coc.py'",
    fix='Write the nearest name. That is safe where the name can only be a misspelling '
    'of it, or its spelling of 1.x; unsafe where several names are about as near, and '
    'where one of two bases with the same key is left out.',
)

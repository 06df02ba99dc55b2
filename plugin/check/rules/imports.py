"""The page on imports; :mod:`plugin.config.imports` looks while the config is read."""

from plugin.check.rule import Rule

RULE = Rule(
    name='imports',
    finds='`custom_imports` that fail, that are written so that mmengine reads none, '
    'or whose failure is allowed.',
    why='What the module registers is not there. With `allow_failed_imports=True` that '
    'shows only later, as a class that is in no registry.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "custom_imports = dict(imports=['plugin.dett'], allow_failed_imports=False)",
    fix='A misspelt module gets the nearest name that can be imported; a package that '
    'is missing, the command that installs it. To forbid failing imports, and a name '
    'that can only be a misspelling, are safe; another near name is unsafe.',
)

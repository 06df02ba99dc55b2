"""The page on comments that ignore nothing; :mod:`plugin.check.ignores` looks."""

from plugin.check.rule import Rule

RULE = Rule(
    name='unused-ignore',
    finds='A comment `# plugin: ignore[RULE]` on a line where that rule finds nothing.',
    why='What it was for is fixed or has moved to another line, and the comment would '
    'hide the next problem there.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(neck=dict(out_channels=256))  # plugin: ignore[maps]',
    fix='Take the rule out of the comment. What comes from a `_base_` is ignored by '
    '`--ignore`, or by a comment on the line of that `_base_`.',
)

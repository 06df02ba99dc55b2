"""Pretrained weights: whether they are there, safe, and those of this backbone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.weights.addresses import (
    is_local,
    is_timm_model,
    replacement,
    table_of,
)
from plugin.check.rules.weights.compare import compare
from plugin.check.rules.weights.missing import (
    gone,
    missing,
    not_in_package,
    problem,
    taken_out,
)
from plugin.check.weight_sources import (
    FILE,
    INIT_CFG,
    PASSED_ON,
    TIMM,
    WeightSource,
    all_without,
    own_weight_sources,
    weight_sources,
)
from plugin.config.problem import Problem
from plugin.spec import type_name
from plugin.weights.files.package_files import NotInPackage

# The first that fits counts: a PyramidVisionTransformer is no ViT.
_FAMILIES = (
    r'csp|darknet|elan|bifpn',
    r'convnext',
    r'regnet',
    r'res2net',
    r'res(net|nex|nest)|(^|\W)r(50|101)\W',
    r'swin',
    r'pvt|pyramid_?vision',
    r'beit|mae|deit|vit|vision_?transformer',
    r'mobilenet',
    r'efficientnet',
    r'hrnet',
    r'vgg',
)


def weights(checked: CheckedConfig) -> Iterator[Problem]:
    """Look at every checkpoint that the config names, without downloading any."""
    done: list[WeightSource] = []
    for found, source in _passed_on(checked):
        done.append(source)
        yield found
    for found, together in _too_many(checked, done):
        done += together
        yield found
    for source in weight_sources(checked):
        if source not in done:
            yield from _one(checked, source)


def _passed_on(checked: CheckedConfig) -> Iterator[tuple[Problem, WeightSource]]:
    """Report a ``pretrained`` that mmseg passes on to a backbone it is not for."""
    for source in own_weight_sources(checked):
        if source.way != PASSED_ON or checked.backbone is None:
            continue
        name = type(checked.backbone).__name__
        if name == 'TIMMBackbone' or not _takes_pretrained(type(checked.backbone)):
            reason = 'None; give the checkpoint in init_cfg'
        elif _is_of_another_family(source.address, name):
            reason = f'weights of {name}, or None'
        else:
            continue
        yield (
            problem(source, source.address, reason, taken_out(checked, source)),
            source,
        )


def _too_many(
    checked: CheckedConfig, done: list[WeightSource]
) -> Iterator[tuple[Problem, list[WeightSource]]]:
    """Report several checkpoints for one backbone; classes refuse all or take any."""
    found = [source for source in own_weight_sources(checked) if source not in done]
    if len(found) > 1:
        order = (INIT_CFG, FILE, TIMM)
        first = min(
            found, key=lambda o: order.index(o.way) if o.way in order else len(order)
        )
        others = [source for source in found if source is not first]
        yield (
            problem(
                others[0],
                ' and '.join(source.key for source in found),
                f'one of them, such as {first.key}',
                all_without(others),
            ),
            found,
        )


def _one(checked: CheckedConfig, source: WeightSource) -> Iterator[Problem]:
    backbone = type_name(checked.backbone_cfg) if checked.backbone_cfg else ''
    if source.way == TIMM and not is_timm_model(source.address):
        return  # A mistake of another kind.
    leads, new = replacement(source.address, backbone)
    if not leads:
        yield gone(checked, source, new)
        return
    if source.way == TIMM:
        return
    path = Path(source.address).expanduser()
    if is_local(source.address) and not (source.address and path.exists()):
        yield missing(checked, source)
        return
    try:
        table = table_of(source.address)
    except NotInPackage as error:
        yield not_in_package(checked, source, error)
        return
    except (OSError, ValueError) as error:
        yield problem(
            source,
            ' '.join(str(error).split()),
            'a file of weights, numbers and text alone',
            taken_out(checked, source),
        )
        return
    if table is not None:
        yield from compare(checked, source, table)
    elif source.target == checked.backbone_key and _is_of_another_family(
        source.address, backbone
    ):
        yield problem(
            source, source.address, f'weights of {backbone}', taken_out(checked, source)
        )


def _takes_pretrained(cls: type) -> bool:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return any(p.name == 'pretrained' or p.kind is p.VAR_KEYWORD for p in parameters)


def _is_of_another_family(address: str, backbone: str) -> bool:
    """Return whether a checkpoint and a class are named after two families."""
    theirs, ours = (
        next((f for f in _FAMILIES if re.search(f, text, re.I)), None)
        for text in (address.rstrip('/').rpartition('/')[2], backbone)
    )
    return theirs is not None and ours is not None and theirs != ours


RULE = Rule(
    name='weights',
    finds='Pretrained weights that are not there, are refused by the safe loader, or '
    'are not those of this backbone.',
    why='mmengine loads what fits and only logs the rest, so that a wrong prefix or '
    'another variant trains from random values.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    '# The weights that the base names are those of a ResNet-50.\n'
    'model = dict(\n'
    '    backbone=dict(depth=18),\n'
    '    neck=dict(in_channels=[64, 128, 256, 512]),\n'
    ')',
    fix='Write the prefix that fits or the weights of the same variant, which is '
    'safe. Unsafe: another address, and to do without weights.',
    look=weights,
)

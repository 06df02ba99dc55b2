"""Pretrained weights: whether they are there, safe, and those of this backbone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from plugin.checking.addresses import is_local, is_timm_model, replacement, table_of
from plugin.checking.origins import (
    FILE,
    HANDED_ON,
    INIT_CFG,
    TIMM,
    Origin,
    all_without,
    origins,
    own_origins,
)
from plugin.checking.problem import Problem
from plugin.checking.subject import Subject
from plugin.checking.weights_compare import compare
from plugin.checking.weights_missing import gone, missing
from plugin.checking.weights_problem import problem, taken_out
from plugin.wiring import type_name

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


def weights(subject: Subject) -> Iterator[Problem]:
    """Look at every checkpoint that the config names, without downloading any."""
    done: list[Origin] = []
    for found, origin in _handed_on(subject):
        done.append(origin)
        yield found
    for found, together in _too_many(subject, done):
        done += together
        yield found
    for origin in origins(subject):
        if origin not in done:
            yield from _one(subject, origin)


def _handed_on(subject: Subject) -> Iterator[tuple[Problem, Origin]]:
    """mmseg gives its ``pretrained`` to any backbone, as the base wrote it."""
    for origin in own_origins(subject):
        if origin.way != HANDED_ON or subject.backbone is None:
            continue
        name = type(subject.backbone).__name__
        if name == 'TIMMBackbone' or not _takes_pretrained(type(subject.backbone)):
            reason = f'None: {name} takes no checkpoint as pretrained'
        elif _is_of_another_family(origin.address, name):
            reason = f'weights of {name}, or None'
        else:
            continue
        yield (
            problem(origin, origin.address, reason, taken_out(subject, origin)),
            origin,
        )


def _too_many(
    subject: Subject, done: list[Origin]
) -> Iterator[tuple[Problem, list[Origin]]]:
    """Of several checkpoints for one backbone, classes refuse all or take any."""
    found = [origin for origin in own_origins(subject) if origin not in done]
    if len(found) > 1:
        order = (INIT_CFG, FILE, TIMM)
        first = min(
            found, key=lambda o: order.index(o.way) if o.way in order else len(order)
        )
        others = [origin for origin in found if origin is not first]
        yield (
            problem(
                others[0],
                ' and '.join(origin.key for origin in found),
                f'one of them, such as {first.key}',
                all_without(others),
            ),
            found,
        )


def _one(subject: Subject, origin: Origin) -> Iterator[Problem]:
    backbone = type_name(subject.backbone_cfg) if subject.backbone_cfg else ''
    if origin.way == TIMM and not is_timm_model(origin.address):
        return  # A mistake of another kind.
    leads, new = replacement(origin.address, backbone)
    if not leads:
        yield gone(subject, origin, new)
        return
    if origin.way == TIMM:
        return
    path = Path(origin.address).expanduser()
    if is_local(origin.address) and not (origin.address and path.exists()):
        yield missing(subject, origin)
        return
    try:
        table = table_of(origin.address)
    except (OSError, ValueError) as error:
        yield problem(
            origin,
            ' '.join(str(error).split()),
            'a file of weights, numbers and text alone',
            taken_out(subject, origin),
        )
        return
    if table is not None:
        yield from compare(subject, origin, table)
    elif origin.target == subject.backbone_key and _is_of_another_family(
        origin.address, backbone
    ):
        yield problem(
            origin, origin.address, f'weights of {backbone}', taken_out(subject, origin)
        )


def _takes_pretrained(cls: type) -> bool:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return any(p.name == 'pretrained' or p.kind is p.VAR_KEYWORD for p in parameters)


def _is_of_another_family(address: str, backbone: str) -> bool:
    """Whether the names of a checkpoint and of a class speak of two families."""
    theirs, ours = (
        next((f for f in _FAMILIES if re.search(f, text, re.I)), None)
        for text in (address.rstrip('/').rpartition('/')[2], backbone)
    )
    return theirs is not None and ours is not None and theirs != ours

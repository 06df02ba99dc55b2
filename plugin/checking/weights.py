"""Pretrained weights: whether they are there, safe, and those of this backbone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from torch import Tensor, nn

from plugin.checking.addresses import is_local, is_timm_model, replacement, table_of
from plugin.checking.frozen import thawed
from plugin.checking.origins import (
    FILE,
    HANDED_ON,
    INIT_CFG,
    TIMM,
    Origin,
    all_without,
    fills_backbone,
    origins,
    own_origins,
    without,
)
from plugin.checking.problem import ERROR, WARNING, Problem, assign, both
from plugin.checking.subject import Subject
from plugin.checking.weights_fit import (
    covered,
    fitting_prefix,
    imports_of,
    mismatched,
    needs_the_audit,
    sibling_of,
    task_package,
)
from plugin.pretrained.wording import percent
from plugin.wiring import type_name

# Below it, weights of another size are no detail such as a stem for other images.
_MOST = 0.9
_ENDINGS = ('.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt')
_FAMILIES = (
    r'csp|darknet|elan|bifpn',
    r'convnext',
    r'regnet',
    r'res2net',
    r'res(net|nex|nest)|(^|\W)r(50|101)\W',
    r'swin',
    r'beit|mae|deit|vit|vision_?transformer',
    r'mobilenet',
    r'efficientnet',
    r'hrnet',
    r'vgg',
    r'pvt|pyramid_?vision',
)


def weights(subject: Subject) -> Iterator[Problem]:
    """Look at every checkpoint that the config names, without downloading any."""
    taken_out: list[Origin] = []
    for problem, origin in _handed_on(subject):
        taken_out.append(origin)
        yield problem
    for problem, together in _too_many(subject, taken_out):
        taken_out += together
        yield problem
    for origin in origins(subject):
        if origin not in taken_out:
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
        yield _problem(origin, origin.address, reason, _out(subject, origin)), origin


def _too_many(
    subject: Subject, taken_out: list[Origin]
) -> Iterator[tuple[Problem, list[Origin]]]:
    """Of several checkpoints for one backbone, classes refuse all or take any."""
    found = [origin for origin in own_origins(subject) if origin not in taken_out]
    if len(found) > 1:
        order = (INIT_CFG, FILE, TIMM)
        first = min(
            found, key=lambda o: order.index(o.way) if o.way in order else len(order)
        )
        others = [origin for origin in found if origin is not first]
        yield (
            _problem(
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
        yield _gone(subject, origin, new)
        return
    if origin.way == TIMM:
        return
    path = Path(origin.address).expanduser()
    if is_local(origin.address) and not (origin.address and path.exists()):
        yield _missing(subject, origin)
        return
    try:
        table = table_of(origin.address)
    except (OSError, ValueError) as error:
        yield _problem(
            origin,
            ' '.join(str(error).split()),
            'a file of weights, numbers and text alone',
            _out(subject, origin),
        )
        return
    if table is not None:
        yield from _compare(subject, origin, table)
    elif origin.target == subject.backbone_key and _is_of_another_family(
        origin.address, backbone
    ):
        yield _problem(
            origin, origin.address, f'weights of {backbone}', _out(subject, origin)
        )


def _gone(subject: Subject, origin: Origin, new: str | None) -> Problem:
    expected = new or 'the path or the URL of a checkpoint'
    if origin.way == TIMM:
        return _problem(
            origin,
            f'timm has no weights for {origin.address.partition("://")[2]}',
            f'False, or a model with weights, such as {new.partition("://")[2]}',
            _out(subject, origin),
        )
    if new is None:
        return _problem(origin, origin.address, expected, _out(subject, origin))
    statements = [assign(origin.key, new)]
    # What mmengine loads under mmcls:// it strips of this prefix.
    if origin.way == INIT_CFG and not new.startswith('mmcls://'):
        if origin.address.startswith(('mmcls://', 'mmselfsup://', 'mmpretrain://')):
            statements.append(assign(f'{origin.entry}.prefix', 'backbone.'))
    return _problem(origin, origin.address, expected, both(statements))


def _missing(subject: Subject, origin: Origin) -> Problem:
    path = Path(origin.address)
    folder = path.expanduser().parent
    names = []
    if path.name and folder.is_dir():
        names = sorted(p.name for p in folder.iterdir() if p.suffix in _ENDINGS)
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    beside = [str(path.with_name(name)) for name in near]
    return _problem(
        origin,
        f'{origin.address or "an empty path"}, which is not there',
        ' or '.join(beside) or 'the path or the URL of a checkpoint',
        assign(origin.key, beside[0]) if beside else _out(subject, origin),
    )


def _compare(
    subject: Subject, origin: Origin, table: Mapping[str, Tensor]
) -> Iterator[Problem]:
    module = _part(subject, origin.target)
    if module is None:
        return
    share, least = covered(origin, table, module, subject.backbone)
    if share is None:
        return
    if share >= least and (share or not least):
        if needs_the_audit(subject, origin, table, module):
            yield _without_import(subject, origin)
        elif share < _MOST and origin.min_loaded is None:
            yield from _of_another_size(subject, origin, table, module, share)
        return
    better = fitting_prefix(origin, table, module, subject.backbone)
    name = type(module).__name__
    found = f'{percent(share)} of the parameters of {name} are in {origin.address}'
    if better is None:
        theirs = ', '.join(list(table)[:2]) or 'nothing'
        yield _problem(
            origin,
            found,
            f'weights of {name}, not of {theirs}',
            _out(subject, origin),
            origin.entry,
        )
        return
    prefix, gain = better
    expected = f"prefix='{prefix}' gives {percent(gain)}" if prefix else 'no prefix'
    if origin.way == INIT_CFG:
        fix = assign(f'{origin.entry}.prefix', prefix or None)
    else:
        entry = dict(type='Pretrained', checkpoint=origin.address)
        if prefix:
            entry['prefix'] = prefix
        fix = both([without(origin), assign(f'{subject.backbone_key}.init_cfg', entry)])
    yield _problem(origin, found, expected, fix, origin.entry)


def _of_another_size(
    subject: Subject,
    origin: Origin,
    table: Mapping[str, Tensor],
    module: nn.Module,
    share: float,
) -> Iterator[Problem]:
    """Weights of a variant that has many tensors in common with this one."""
    name = mismatched(origin, table, module)
    if name is None:
        return
    own = tuple(module.state_dict()[name].shape)
    sibling = sibling_of(origin.address, module)
    fix = assign(origin.key, sibling) if sibling else _out(subject, origin)
    yield _problem(
        origin,
        f'{percent(share)} of the parameters of {type(module).__name__} are in '
        f'{origin.address}; others are there in another size, such as {name}',
        f'{sibling or "weights of the same variant"}: {name} is {own} in the model',
        fix,
        origin.entry,
        WARNING,
    )


def _without_import(subject: Subject, origin: Origin) -> Problem:
    package = task_package(subject)
    imports = [*imports_of(subject), package]
    fix = assign('custom_imports', dict(imports=imports, allow_failed_imports=False))
    return _problem(
        origin,
        f'{origin.address} is in a format or under names that mmengine does not know',
        f'an import of {package}, which does',
        fix,
    )


def _out(subject: Subject, origin: Origin) -> str:
    """Takes ``origin`` out, and lets the backbone train if nothing else fills it."""
    statements = [without(origin)]
    others = [o for o in origins(subject) if o != origin]
    if fills_backbone(subject, origin) and not any(
        fills_backbone(subject, o) for o in others
    ):
        statements += thawed(subject)
    return both(statements)


def _problem(
    origin: Origin,
    found: str,
    expected: str,
    fix: str,
    key: str | None = None,
    severity: str = ERROR,
) -> Problem:
    return Problem(key or origin.key, 'pretrained', severity, found, expected, fix)


def _part(subject: Subject, target: str) -> nn.Module | None:
    if target == subject.backbone_key:
        return subject.backbone
    if subject.built is None:
        return None
    try:
        return subject.built.get_submodule(target.partition('.')[2])
    except AttributeError:
        return None


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

"""``num_classes`` of the heads against the classes of the data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.data_sets import DataSet, data_sets, names_in_file
from plugin.check.rule import Rule
from plugin.config.problem import ERROR, WARNING, Fix, Problem, assign, both, delete
from plugin.spec import type_name

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Parts that have one output for each class. An RPN, say, has another num_classes.
_HEADS = (
    *('bbox_head', 'mask_head', 'point_head', 'mask_iou_head', 'head_module'),
    *('decode_head', 'auxiliary_head', 'head', 'query_head'),
    *('kernel_generate_head', 'kernel_update_head'),
    *('assigner', 'initial_assigner', 'loss_cls'),
)
_THINGS = ('panoptic_head', 'panoptic_fusion_head')
# It has two classes: boundaries and the rest.
_OF_THEIR_OWN = ('STDCHead',)
_NOT_IN = ('rpn_head', 'backbone', 'neck')


@dataclass(frozen=True)
class _Number:
    """A place in the model with a number of classes, and its part."""

    key: str
    written: int
    things: bool
    part_key: str
    part: Mapping[str, Any]


def classes(checked: CheckedConfig) -> Iterator[Problem]:
    """Compare the data sets with each other, and the model with them."""
    found = {loader: data_sets(checked.cfg, loader) for loader in _LOADERS}
    sets = [data_set for loader in _LOADERS for data_set in found[loader]]
    meant = _meant(found['train_dataloader'], sets)
    # Models that get the classes as words count those words.
    if meant is None or 'language_model' in checked.model:
        return
    names = meant.classes
    numbers = [
        (number, right)
        for number in _numbers(checked.model, 'model')
        if number.written != (right := _of(number, meant))
    ]
    follow = [line for number, right in numbers for line in _renumber(number, right)]

    for data_set in sets:
        mistake = _misspelt(data_set)
        if mistake is not None:
            fix = both([*_give(names, data_set, sets), *follow])
            safe = all(d.classes in (None, names) for d in sets if d.written)
            yield Problem(*mistake, tuple(names), fix, safe=safe)
            return
    others = [
        d
        for d in sets
        if d.classes is not None and d.classes != names and _pairs(d, meant)
    ]
    if others:
        other = others[0]
        key = other.written[0] if other.written else f'{other.key}.metainfo'
        yield Problem(
            key,
            'classes',
            ERROR,
            f'{_listed(other.classes)}, but {_listed(names)} in {meant.key}',
            tuple(names),
            both([*_give(names, meant, others), *follow]),
            safe=all(d.written is None for d in others),
        )
    elif numbers:
        first, right = numbers[0]
        expected = f'{right}, {_whose(right, meant)}'
        # A classifier trains with outputs to spare, as mmpretrain's of ImageNet-21k do.
        classifies = checked.wiring is not None and checked.wiring.classifies
        spare = classifies and first.written > right
        yield Problem(
            first.key,
            'classes',
            WARNING if spare else ERROR,
            first.written,
            expected,
            both(follow),
            # Where nobody wrote the classes, they may be what is wrong.
            safe=meant.written is not None and not spare,
        )


def _meant(train: Sequence[DataSet], sets: Sequence[DataSet]) -> DataSet | None:
    """Return the data set whose classes are meant: one that writes them, if any."""
    first = next((d for d in train if d.classes), None)
    if first is None or first.written:
        return first
    return next(
        (d for d in sets if d.classes and d.written and _pairs(d, first)), first
    )


def _pairs(one: DataSet, other: DataSet) -> bool:
    """Return whether two data sets must have the same classes.

    Where the class of one says what they are, only if the other is of that class: to be
    evaluated on other data is no mistake. Trackers are evaluated on one class of many.
    """
    if 'MOTChallengeDataset' in (type_name(one.cfg), type_name(other.cfg)):
        return False
    written = one.written is not None and other.written is not None
    return written or type_name(one.cfg) == type_name(other.cfg)


def _misspelt(data_set: DataSet) -> tuple[str, str, str, str] | None:
    """Return key, kind, severity and what is found, if classes are not a list."""
    if data_set.written is None:
        return None
    key, value = data_set.written
    if key.endswith('.CLASSES'):
        return key, 'classes', ERROR, 'CLASSES, which is not read: write classes'
    if isinstance(value, str) and names_in_file(value) is None:
        text = f'{value!r}, a string, which counts as {len(value)} classes'
        return key, 'classes', ERROR, text
    return None


def _give(
    names: Sequence[str], source: DataSet, others: Sequence[DataSet]
) -> Iterator[Fix]:
    """Write ``names`` into the data sets that have others."""
    for data_set in others:
        if data_set.classes is None:
            continue
        wrong = _misspelt(data_set) is not None
        if data_set.written is None:
            if data_set.classes != tuple(names):
                key = f'{data_set.key}.metainfo'
                given = isinstance(data_set.cfg.get('metainfo'), Mapping)
                yield (
                    assign(f'{key}.classes', list(names))
                    if given
                    else assign(key, dict(classes=list(names)))
                )
        elif wrong or data_set.classes != tuple(names):
            key = data_set.written[0]
            if key.endswith('.CLASSES'):
                yield delete(key)
                key = key.replace('.CLASSES', '.classes')
            yield assign(key, list(names))


def _numbers(node: Any, key: str) -> Iterator[_Number]:
    if isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _numbers(child, f'{key}[{index}]')
    if not isinstance(node, Mapping):
        return
    name = key.rpartition('.')[2].partition('[')[0]
    for argument, parts in (('num_classes', _HEADS), ('num_things_classes', _THINGS)):
        number = node.get(argument)
        fixed = node.get('class_agnostic') or type_name(node) in _OF_THEIR_OWN
        if name in parts and type(number) is int and not fixed:
            things = 'decode' not in key and 'auxiliary' not in key
            yield _Number(f'{key}.{argument}', number, things, key, node)
    for child_name, child in node.items():
        if child_name not in _NOT_IN:
            yield from _numbers(child, f'{key}.{child_name}')


def _of(number: _Number, data_set: DataSet) -> int:
    """Return the right number of classes for a place in the model."""
    # Of panoptic data, boxes and masks are of things only.
    things = data_set.metainfo.get('thing_classes')
    if number.things and things and data_set.written is None:
        return len(things)
    return len(data_set.classes)


def _renumber(number: _Number, right: int) -> Iterator[Fix]:
    yield assign(number.key, right)
    loss = number.part.get('loss_cls')
    weight = loss.get('class_weight') if isinstance(loss, Mapping) else None
    # Mask2Former: one for each class, and the last for no object.
    if isinstance(weight, (list, tuple)) and len(weight) == number.written + 1:
        new = [weight[0]] * right + [weight[-1]]
        yield assign(f'{number.part_key}.loss_cls.class_weight', new)


def _whose(right: int, data_set: DataSet) -> str:
    """Return which classes ``right`` counts: all of a data set, or its things."""
    names, kind = data_set.classes, 'classes'
    if right != len(names):
        names, kind = data_set.metainfo['thing_classes'], 'thing classes'
    return f'the {kind} of {data_set.key} ({_first(names)})'


def _listed(names: Sequence[str]) -> str:
    count = f'{len(names)} class{"" if len(names) == 1 else "es"}'
    return f'{count} ({_first(names)})'


def _first(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > 3 else ''
    return f'{", ".join(map(str, names[:3]))}{more}'


RULE = Rule(
    name='classes',
    finds='`num_classes` of a head that is not the number of classes of the data set, '
    'or data sets with different classes.',
    why='Labels past the last class crash the loss (on a GPU with an assertion of '
    'CUDA), or the evaluation counts other classes than were trained.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "metainfo = dict(classes=('cat', 'dog'))\n"
    'train_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
    'val_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
    'test_dataloader = dict(dataset=dict(metainfo=metainfo))',
    fix='Write the number of classes of the data set. Safe where the config itself '
    'writes the classes; unsafe where they are those that the class of the data '
    'set has by default, which may be what is wrong.',
    look=classes,
)

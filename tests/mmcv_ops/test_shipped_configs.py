"""No shipped config of the libraries needs an operator that mmcv-lite-ops lacks.

What a model needs is found in the code of its classes: from the types of its config
along the functions and classes that their methods name, down to the operators of
``mmcv._ext`` that mmcv's Python calls.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType

import mmcv.ops
import pytest
from mmcv import _ext
from mmengine.config import Config
from mmengine.registry import Registry
from test_uncovered import arguments_in_mmcv

from plugin.libraries import SCOPES
from plugin.measure.shipped import shipped

OPERATORS = frozenset(arguments_in_mmcv())
# Whose code is followed.
PACKAGES = ('mmcv', *SCOPES)
# Folders of configs whose models another package has, which is not one of the four.
OTHER_PACKAGES = {
    'mmyolo/rtmdet/rotated': 'mmrotate, which needs nms_rotated and a full mmcv itself',
    'mmyolo/rtmdet/distillation': 'mmrazor',
    'mmyolo/razor': 'mmrazor',
    'mmyolo/rtmdet/cspnext_imagenet_pretrain': 'mmcls of 1.x',
}
# These cannot be read as they are shipped: a base or a variable is missing.
BROKEN = {
    'mmdet/bytetrack/bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot17halftrain_test-'
    'mot17test.py',
    'mmdet/sort',
    'mmpretrain/replknet/deploy',
    'mmpretrain/replknet/replknet-31B_32xb64_in1k-384px.py',
    'mmpretrain/replknet/replknet-31B_32xb64_in1k.py',
    'mmpretrain/swin_transformer_v2',
}
# A `type` that names no class, and whose it is.
NO_CLASS = {
    'dilation': 'CascadeRPN',
    'offset': 'CascadeRPN',
    'conv': 'FPG',
    'last_conv': 'FPG',
    'interpolation_conv': 'FPG',
    'qkv': 'LoRA',
    'BatchCutMix': 'mmpretrain, 1.x',
}
# Of mmpretrain, which registers their models beside an old transformers alone.
WITH_LANGUAGE = {
    *('blip', 'blip2', 'chinese_clip', 'clip', 'flamingo', 'llava', 'minigpt4', 'ofa'),
    'otter',
}


def operators_of(cfg: Config, library: str) -> tuple[set[str], set[str]]:
    """The operators of ``mmcv._ext`` that a config's model calls, and unknown types."""
    found, unknown = set(), set()
    for name in {*types_in(cfg.get('model')), *types_in(cfg.get('tta_model'))}:
        objects = resolve(name, cfg.get('default_scope') or library)
        if not objects:
            unknown.add(name)
        for obj in objects:
            found |= operators_below(obj)
    return found, unknown


def types_in(value: object) -> Iterator[object]:
    """Every ``type`` in nested dicts and lists."""
    if isinstance(value, dict):
        if isinstance(value.get('type'), str | type | FunctionType):
            yield value['type']
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for part in value:
        yield from types_in(part)


def all_registries() -> Iterator[tuple[str, Registry]]:
    """Each registry of the installed packages, with the package."""
    for package in filter(find_spec, ('mmengine', *SCOPES)):
        for registry in vars(import_module(f'{package}.registry')).values():
            if isinstance(registry, Registry):
                yield package, registry


@cache
def registries() -> list[Registry]:
    """mmengine's, through which a scope's own are asked, and those without a parent."""
    return [
        registry
        for package, registry in all_registries()
        if package == 'mmengine' or registry.parent is None
    ]


@cache
def registered() -> frozenset[str]:
    """The names in the registries of all packages, without a scope."""
    names = set()
    for _, registry in all_registries():
        registry.import_from_location()
        names.update(registry.module_dict)
    return frozenset(names)


@cache
def resolve(name: object, scope: str) -> tuple[object, ...]:
    """Return what a type stands for: in the registries, and among mmcv's operators."""
    if not isinstance(name, str):
        return (name,)
    objects = []
    # Most strings in the code are no type; asking each registry takes long.
    known = name.rpartition('.')[2] in registered()
    for registry in registries() if known else ():
        with registry.switch_scope_and_registry(scope) as of_scope:
            if (found := of_scope.get(name)) is not None:
                objects.append(found)
    # mmdet takes `roi_layer` and mmcv `nms` from mmcv.ops, by their types.
    if callable(getattr(mmcv.ops, name, None)):
        objects.append(getattr(mmcv.ops, name))
    return tuple(objects)


@cache
def operators_below(obj: object) -> frozenset[str]:
    """The operators that an object's code calls, whatever it calls in between."""
    seen, waiting, found = set(), [obj], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for function in functions_of(current):
            names, strings = contents(function.__code__)
            used = [function.__globals__.get(name) for name in names]
            if _ext in used:
                found |= OPERATORS & names
            if mmcv.ops in used or 'mmcv.ops' in names:
                used += [getattr(mmcv.ops, name, None) for name in names]
            waiting += used
            defaults = [function.__defaults__, function.__kwdefaults__]
            scope = function.__module__.partition('.')[0]
            for name in {*strings, *types_in(defaults)}:
                waiting += resolve(name, scope)
    return frozenset(found)


def functions_of(obj: object) -> Iterator[FunctionType]:
    """The function that an object is, or those of a class and its bases."""
    if isinstance(obj, BuiltinFunctionType | MethodType):
        # `apply` of an autograd.Function.
        obj = obj.__self__
    if not isinstance(obj, FunctionType | type):
        return
    for part in obj.__mro__ if isinstance(obj, type) else [obj]:
        if part.__module__.partition('.')[0] not in PACKAGES:
            continue
        for value in vars(part).values() if isinstance(part, type) else [part]:
            value = getattr(value, '__func__', getattr(value, 'fget', value))
            while hasattr(value, '__wrapped__'):
                value = value.__wrapped__
            if isinstance(value, FunctionType):
                yield value


def contents(code: CodeType) -> tuple[set[str], set[str]]:
    """Names and strings in a function's code, and in that of the functions inside."""
    names, strings = set(code.co_names), set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = contents(constant)
            names |= inner[0]
            strings |= inner[1]
        elif isinstance(constant, str) and constant.isidentifier():
            strings.add(constant)
    return names, strings


def within(path: str, folders: object) -> bool:
    return any(path == folder or path.startswith(f'{folder}/') for folder in folders)


def configs_of(library: str) -> Iterator[tuple[str, Path]]:
    """Name and path of each config that trains or tests something."""
    root = shipped(library)
    for path in sorted(root.rglob('*.py')):
        name = f'{library}/{path.relative_to(root).as_posix()}'
        if '_base_' not in path.parts and not within(name, OTHER_PACKAGES):
            yield name, path


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        ('mmdet/carafe/faster-rcnn_r50_fpn-carafe_1x_coco.py', 'carafe'),
        ('mmdet/dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py', 'deform_roi_pool'),
        ('mmdet/dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py', 'deform_roi_pool'),
        ('mmdet/dyhead/atss_r50_fpn_dyhead_1x_coco.py', 'modulated_deform_conv'),
        ('mmseg/psanet/psanet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 'psamask'),
    ],
)
def test_the_operators_of_a_config_are_found(config, expected):
    library, _, inside = config.partition('/')
    pytest.importorskip(library)
    found, unknown = operators_of(Config.fromfile(shipped(library) / inside), library)
    assert {f'{expected}_forward', f'{expected}_backward'} <= found
    assert found <= set(_ext.__all__) and not unknown


def test_what_a_config_does_not_use_is_not_found():
    pytest.importorskip('mmdet')
    path = shipped('mmdet') / 'retinanet/retinanet_r50_fpn_1x_coco.py'
    found, unknown = operators_of(Config.fromfile(path), 'mmdet')
    assert {'nms', 'sigmoid_focal_loss_forward'} <= found and not unknown
    assert not found & {'psamask_forward', 'deform_roi_pool_forward', 'nms_rotated'}


@pytest.mark.wide
@pytest.mark.parametrize('library', SCOPES)
def test_no_shipped_config_uses_an_operator_that_is_missing(library):
    pytest.importorskip(library)
    missing, unknown, unreadable, read = {}, {}, set(), 0
    for name, path in configs_of(library):
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except Exception as error:
            if not within(name, BROKEN):
                unreadable.add(f'{name}: {error}')
            continue
        read += 1
        found, types = operators_of(cfg, library)
        for operator in found - set(_ext.__all__):
            missing.setdefault(operator, name)
        if library != 'mmpretrain' or name.split('/')[1] not in WITH_LANGUAGE:
            for type_ in types - NO_CLASS.keys():
                unknown.setdefault(type_, name)
    assert read > 100 and not unreadable
    assert missing == {}
    assert unknown == {}

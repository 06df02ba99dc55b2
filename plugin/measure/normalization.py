"""The normalization that a backbone's pretrained weights were trained under."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from plugin.libraries import SCOPES
from plugin.measure.shipped import listed

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """The mean and standard deviation of each channel of an image.

    Attributes:
        mean: Of red, green and blue, on the scale 0 to 255, whatever ``order`` is.
        std: Likewise.
        order: ``'RGB'`` or ``'BGR'``: how the weights want the channels.
    """

    mean: Triple
    std: Triple
    order: str = 'RGB'


IMAGENET = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_IMAGENET_BGR = Normalization(IMAGENET.mean, IMAGENET.std, 'BGR')
_ONE = Normalization((0.0,) * 3, (255.0,) * 3)
_HALF = Normalization((127.5,) * 3, (127.5,) * 3)
_CLIP = Normalization((122.7709, 116.746, 104.0937), (68.5005, 66.6322, 70.3232))
_ONES = (1.0, 1.0, 1.0)
_CAFFE2 = Normalization(IMAGENET.mean, _ONES, 'BGR')
_CAFFE = Normalization((122.7717, 115.9465, 102.9801), _ONES, 'BGR')

# What the shipped configs of mmdet 3.3.0, mmseg 1.2.2, mmyolo 0.6.0 and mmpretrain
# 1.2.0 feed to these weights; the first pattern that fits counts.
_OPENMMLAB = {
    'detectron/resnet*_caffe': _CAFFE,
    'detectron/resnet*_gn': _CAFFE2,
    'detectron2/resnet*_caffe': _CAFFE2,
    'detectron2/resnext101_32x8d': _IMAGENET_BGR,
    'regnetx_*': _IMAGENET_BGR,
    'vgg16_caffe': Normalization(IMAGENET.mean, _ONES),
    'darknet53': _ONE,
    # Kinetics clips, image restoration, and one that no config uses.
    'kin400/*': None,
    'mmedit/*': None,
    'bninception_caffe': None,
    '*': IMAGENET,
}
_TORCHVISION = {'efficientnet_v2_l': _HALF, '*': IMAGENET}
_PLACES = {
    '*/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/*': _IMAGENET_BGR,
    # The backbones are of ImageNet, the whole detectors of Objects365.
    '*/mmyolo/v0/ppyoloe/ppyoloe_pretrain/ppyoloe_plus_*': _ONE,
    '*/mmyolo/v0/ppyoloe/ppyoloe_pretrain/*': IMAGENET,
    '*/mmsegmentation/v0.5/pretrain/segmenter/*': _HALF,
    '*/mmsegmentation/v0.5/pretrain/*': IMAGENET,
    '*/mmsegmentation/v0.5/ddrnet/pretrain/*': IMAGENET,
    '*/mmsegmentation/v0.5/san/clip_*': _CLIP,
    # Where mmpretrain with its index of weights is not installed, or leaves them out.
    '*/mmclassification/v0/regnet/*': _IMAGENET_BGR,
    '*/mmclassification/v0/convnext/*': IMAGENET,
    '*/mmclassification/v0/resn*': IMAGENET,
    '*/mmclassification/v0/se-resn*': IMAGENET,
    '*/mmclassification/v0/swin-transformer/*': IMAGENET,
    '*/mmclassification/v0/mobilenet_v[23]/*': IMAGENET,
    '*/mmclassification/v0/efficientnet/*01norm*': _HALF,
    '*/mmclassification/v0/efficientnet/*': IMAGENET,
    '*/mmclassification/v0/vgg/*': IMAGENET,
    'https://github.com/SwinTransformer/storage/*': IMAGENET,
    'https://github.com/whai362/PVT/*': IMAGENET,
    'https://dl.fbaipublicfiles.com/convnext/*': IMAGENET,
    'https://dl.fbaipublicfiles.com/deit/*': IMAGENET,
}


def normalization_of(backbone_cfg: Mapping[str, Any]) -> Normalization | None:
    """Return the normalization that the pretrained weights of a backbone want.

    Args:
        backbone_cfg: Of a backbone, as a config has it. A timm model has a
            normalization of its own, whether or not this config loads weights; any
            other class has that of the checkpoint which the config names.

    Returns:
        None where nothing is known, or no weights are named.
    """
    named = list(_checkpoints(backbone_cfg))
    if named:
        return normalization_of_checkpoint(named[-1])
    type_ = backbone_cfg.get('type')
    name = getattr(type_, '__name__', type_)
    if isinstance(name, str) and name.rpartition('.')[2] == 'TIMMBackbone':
        return _of_timm(str(backbone_cfg.get('model_name', '')))
    return None


def normalization_of_checkpoint(address: str) -> Normalization | None:
    """Return what the weights at ``address`` want; None where they are not known.

    Args:
        address: As in ``init_cfg``: a URL, ``torchvision://``, ``open-mmlab://``,
            ``timm://`` or ``hf-hub:timm/`` and a name, or a path, of which the last
            part counts: OpenMMLab's file names end in a hash.

    Source: the data preprocessors of the shipped configs; timm's ``pretrained_cfg``.
    """
    from mmengine.runner.checkpoint import get_mmcls_models

    scheme, _, name = address.partition('://')
    if scheme in ('torchvision', 'modelzoo'):
        return _first(_TORCHVISION, name.rpartition('.')[2])
    if scheme in ('open-mmlab', 'openmmlab'):
        return _first(_OPENMMLAB, name)
    if scheme == 'timm':
        return _of_timm(name)
    if scheme == 'mmcls':
        address = get_mmcls_models().get(name, address)
    elif address.startswith('https://download.pytorch.org/models/'):
        return _first(_TORCHVISION, PurePosixPath(address).name.rpartition('-')[0])
    hub = re.match(r'(?:hf[-_]hub:|https://huggingface\.co/)timm/([\w.-]+)', address)
    if hub:
        return _of_timm(hub[1])
    file_name = PurePosixPath(address).name
    if file_name in _of_openmmlab():
        return _first(_OPENMMLAB, _of_openmmlab()[file_name])
    return _of_config(file_name) or _first(_PLACES, address)


def _checkpoints(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the checkpoints that a backbone's config loads, the last one last."""
    if isinstance(cfg.get('pretrained'), str):
        yield cfg['pretrained']
    init = cfg.get('init_cfg')
    for entry in init if isinstance(init, (list, tuple)) else [init]:
        if isinstance(entry, Mapping) and isinstance(entry.get('checkpoint'), str):
            yield entry['checkpoint']


def _first(table: Mapping[str, Normalization | None], name: str):
    fitting = (found for pattern, found in table.items() if fnmatchcase(name, pattern))
    return next(fitting, None)


def _of_timm(model_name: str) -> Normalization | None:
    from timm.models import get_pretrained_cfg

    try:
        own = get_pretrained_cfg(model_name.removeprefix('hf-hub:timm/'))
    except RuntimeError:  # There is no such tag.
        own = None
    if own is None or not (len(own.mean) == len(own.std) == 3):
        return None
    return Normalization(
        *(tuple(round(x * 255, 4) for x in xs) for xs in (own.mean, own.std))
    )


@functools.cache
def _of_openmmlab() -> dict[str, str]:
    """mmengine's names of weights, by the names of their files."""
    from mmengine.runner.checkpoint import get_external_models

    return {PurePosixPath(url).name: n for n, url in get_external_models().items()}


@functools.cache
def _of_config(file_name: str) -> Normalization | None:
    """Return the normalization of the config that a library lists for weights."""
    from mmengine.config import Config

    path = _config_of(file_name)
    if path is None:
        return None
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except Exception:
        return None  # Some of the shipped configs can't be read; then it's unknown.
    found = cfg.get('data_preprocessor') or cfg.model.get('data_preprocessor') or {}
    mean, std = found.get('mean'), found.get('std')
    if not mean or not std or not len(mean) == len(std) == 3:
        return None
    swapped = found.get('bgr_to_rgb', found.get('to_rgb', False))
    # CIFAR's images are RGB on disk, all others are read as BGR.
    rgb = swapped or str(cfg.get('dataset_type')).startswith('CIFAR')
    step = -1 if not rgb else 1
    return Normalization(
        *(tuple(round(float(x), 4) for x in xs[::step]) for xs in (mean, std)),
        'RGB' if rgb else 'BGR',
    )


def _config_of(file_name: str) -> Path | None:
    """Return the config of a file of weights that an installed library lists."""
    # pytorch_model.bin, null and ?dl=1 say nothing.
    if not re.fullmatch(r'[\w.+-]*\d[\w.+-]*', file_name):
        return None
    for library in SCOPES:
        for entry in listed(library, file_name):
            # Those that a checkpoint was converted from want the same.
            for address in (entry.weights, *entry.origins):
                if address and PurePosixPath(address).name == file_name:
                    return entry.config
    return None

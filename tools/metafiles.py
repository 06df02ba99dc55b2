"""Writes metafile.yml of each config folder, and the table in its README.

    python tools/metafiles.py            write them
    python tools/metafiles.py --check    exit status 1 if one of them is out of date

Parameters and FLOPs are computed from the configs, at the size of image that the config
tests at: the model is put on the meta device, so that nothing is calculated, and the
same config gives the same numbers everywhere. DINO and Mask2Former read sizes off
tensors, and only those have values. What the OpenMMLab libraries call FLOPs are
multiply-adds of convolutions and matrix products, and so are these. A two-stage
detector is counted with 1000 boxes and 100 masks an image.

Papers count at sizes of their own, so the metafiles have the FLOPs at these too. Where
mmdet publishes a number of parameters, it leaves those of frozen stages out; here they
are in.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from plugin.measure.build import build_model  # noqa: E402
from plugin.measure.forward import multiply_adds  # noqa: E402
from plugin.measure.values_free import small_values  # noqa: E402

TASKS = {
    'det': 'Object Detection',
    'seg': 'Semantic Segmentation',
    'yolo': 'Object Detection',
    'cls': 'Image Classification',
}
# algorithm, as file names begin: name, paper, title
COLLECTIONS = {
    'convnext': ('ConvNeXt', '2201.03545', 'A ConvNet for the 2020s'),
    'dino': (
        'DINO',
        '2203.03605',
        'DINO: DETR with Improved DeNoising Anchor Boxes for End-to-End Object '
        'Detection',
    ),
    'faster-rcnn': (
        'Faster R-CNN',
        '1506.01497',
        'Faster R-CNN: Towards Real-Time Object Detection with Region Proposal '
        'Networks',
    ),
    'fcn': (
        'FCN',
        '1411.4038',
        'Fully Convolutional Networks for Semantic Segmentation',
    ),
    'mask2former': (
        'Mask2Former',
        '2112.01527',
        'Masked-attention Mask Transformer for Universal Image Segmentation',
    ),
    'mask-rcnn': ('Mask R-CNN', '1703.06870', 'Mask R-CNN'),
    'retinanet': ('RetinaNet', '1708.02002', 'Focal Loss for Dense Object Detection'),
    'rtmdet': (
        'RTMDet',
        '2212.07784',
        'RTMDet: An Empirical Study of Designing Real-Time Object Detectors',
    ),
    'upernet': (
        'UPerNet',
        '1807.10221',
        'Unified Perceptual Parsing for Scene Understanding',
    ),
    'yolov5': ('YOLOv5', None, 'Ultralytics YOLOv5'),
    'yolox': ('YOLOX', '2107.08430', 'YOLOX: Exceeding YOLO Series in 2021'),
}
YOLOV5_URL = 'https://github.com/ultralytics/yolov5'
DATA_SETS = {
    'coco': 'COCO',
    'ade20k-512x512': 'ADE20K',
    'in1k': 'ImageNet-1k',
    'shapes': 'Shapes',
}
# Height and width of the image at which papers count, by algorithm.
PAPER_SIZES = {
    'convnext': (224, 224),
    'dino': (800, 1280),
    'faster-rcnn': (800, 1280),
    'fcn': (512, 2048),
    'mask-rcnn': (800, 1280),
    # Its paper counts on the crop that it trains with (arXiv:2112.01527).
    'mask2former': (512, 512),
    'retinanet': (800, 1280),
    'rtmdet': (640, 640),
    'upernet': (512, 2048),
    'yolov5': (640, 640),
    'yolox': (640, 640),
}
BOXES, MASKS = 1000, 100
BEGIN, END = '<!-- configs: begin -->', '<!-- configs: end -->'


@dataclass(frozen=True)
class Entry:
    """Figures that are computed of one config.

    Attributes:
        config: Path from the root of the repository.
        backbone: Type of the backbone, and what says which variant.
        size: Height and width of the image in pixels.
        params: Elements of all parameters.
        flops: Multiply-adds for one image of ``size``.
        paper_size: Height and width at which papers count models of this kind.
        paper_flops: Multiply-adds for one image of ``paper_size``.
    """

    config: str
    backbone: str
    size: tuple[int, int]
    params: int
    flops: int
    paper_size: tuple[int, int]
    paper_flops: int

    @property
    def name(self) -> str:
        return Path(self.config).stem

    @property
    def algorithm(self) -> str:
        return algorithm_of(self.name)

    @property
    def data_set(self) -> str:
        return DATA_SETS[self.name.rpartition('_')[2]]

    def __post_init__(self) -> None:
        if self.algorithm not in COLLECTIONS:
            raise ValueError(
                f'{self.config}: {self.algorithm} is not in COLLECTIONS of '
                'tools/metafiles.py; add it there with its paper'
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--check', action='store_true')
    check = parser.parse_args().check
    logging.disable(logging.WARNING)
    warnings.filterwarnings('ignore', category=UserWarning)
    stale = 0
    for task in TASKS:
        for path, text in rendered(task):
            if not path.exists() or path.read_text() != text:
                stale += 1
                if not check:
                    path.write_text(text)
                print(path.relative_to(ROOT), 'is out of date' if check else 'written')
    return int(check and stale > 0)


def algorithm_of(name: str) -> str:
    """Return the algorithm, as the name of a config begins."""
    return re.match(r'[a-z0-9]+(-rcnn)?', name)[0]


def rendered(task: str) -> Iterator[tuple[Path, str]]:
    """The files of one config folder and what they should hold."""
    folder = ROOT / 'configs' / task
    entries = [entry(path) for path in sorted(folder.glob('*.py'))]
    yield folder / 'metafile.yml', metafile(task, entries)
    readme = folder / 'README.md'
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    yield readme, f'{before}{BEGIN}\n{table(entries)}{END}{after}'


def entry(path: Path) -> Entry:
    """Build the model of the config at ``path`` and count."""
    cfg = Config.fromfile(str(path))
    model = build_model(cfg).eval()
    size = input_size(cfg)
    paper_size = PAPER_SIZES[algorithm_of(path.stem)]
    flops = count_flops(model, size)
    return Entry(
        config=path.relative_to(ROOT).as_posix(),
        backbone=describe(cfg.model.backbone, cfg.default_scope),
        size=size,
        params=sum(p.numel() for p in model.parameters()),
        flops=flops,
        paper_size=paper_size,
        paper_flops=flops if paper_size == size else count_flops(model, paper_size),
    )


def input_size(cfg: Config) -> tuple[int, int]:
    """Height and width of the images that ``cfg`` tests at, padded as it pads them."""
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if preprocessor.get('size') is not None:
        return tuple(preprocessor.size)
    height = width = None
    for step in cfg.test_dataloader.dataset.pipeline:
        kind = step.type.rpartition('.')[2]
        if kind in ('Resize', 'LetterResize'):
            width, height = step.scale
        elif kind == 'CenterCrop':
            height = width = step.crop_size
    divisor = preprocessor.get('pad_size_divisor', 1)
    return tuple(-(-side // divisor) * divisor for side in (height, width))


def count_flops(model: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-adds of ``model`` for one image of ``size`` (height, width)."""
    image = torch.empty(1, 3, *size, device='meta')
    head = getattr(model, 'decode_head', None)
    with torch.no_grad(), small_values():
        if hasattr(model, 'encoder') or type(head).__name__ == 'Mask2FormerHead':
            return multiply_adds(lambda: with_samples(model, image))[0]
        if hasattr(model, 'roi_head'):
            return multiply_adds(lambda: two_stages(model, image))[0]
        return multiply_adds(lambda: model(image, mode='tensor'))[0]


def two_stages(model: nn.Module, image: Tensor) -> None:
    """Run a two-stage detector with a fixed number of boxes and masks.

    Its own forward takes as many as its weights find.
    """
    maps = model.extract_feat(image)
    model.rpn_head(maps)
    head = model.roi_head
    channels = maps[0].shape[1]
    side = head.bbox_roi_extractor.roi_layers[0].output_size
    head.bbox_head(torch.empty(BOXES, channels, *side, device='meta'))
    if head.with_mask:
        side = head.mask_roi_extractor.roi_layers[0].output_size
        head.mask_head(torch.empty(MASKS, channels, *side, device='meta'))


def with_samples(model: nn.Module, image: Tensor) -> None:
    """Run a model that wants to know the sizes of the images as well."""
    size = tuple(image.shape[2:])
    sample = BaseDataElement(metainfo=dict(batch_input_shape=size, img_shape=size))
    if hasattr(model, 'decode_head'):
        model.decode_head(model.extract_feat(image), [sample])
    else:
        model(image, [sample], mode='tensor')


def describe(backbone: ConfigDict, scope: str) -> str:
    if 'backbone' in backbone:
        wrapper = backbone.type.rpartition('.')[2]
        return f'{describe(backbone.backbone, scope)} in {wrapper}'
    name = backbone.type if '.' in backbone.type else f'{scope}.{backbone.type}'
    for key in ('model_name', 'arch', 'depth', 'depths'):
        if key in backbone:
            return f'{name} {backbone[key]}'
    return name


def metafile(task: str, entries: list[Entry]) -> str:
    lines = ['# Written by tools/metafiles.py.', 'Collections:']
    for algorithm in sorted({e.algorithm for e in entries}):
        name, paper, title = COLLECTIONS[algorithm]
        url = f'https://arxiv.org/abs/{paper}' if paper else YOLOV5_URL
        lines += [
            f'  - Name: {collection(task, algorithm)}',
            '    Paper:',
            f'      Title: "{title}"',
            f'      URL: {url}',
            '    README: README.md',
        ]
    lines += ['', 'Models:']
    for e in entries:
        height, width = e.size
        lines += [
            f'  - Name: {task}/{e.name}',
            f'    In Collection: {collection(task, e.algorithm)}',
            f'    Config: {e.config}',
            '    Metadata:',
            f'      Task: {TASKS[task]}',
            f'      Training Data: {e.data_set}',
            f'      Backbone: {e.backbone}',
            f'      Input Size: {height}x{width}',
            f'      Parameters: {e.params}',
            f'      FLOPs: {e.flops}',
            f'      Paper Input Size: {"x".join(map(str, e.paper_size))}',
            f'      FLOPs At Paper Input Size: {e.paper_flops}',
            '    Results: null',
        ]
    return '\n'.join(lines) + '\n'


def collection(task: str, algorithm: str) -> str:
    return f'{COLLECTIONS[algorithm][0]} ({task})'


def table(entries: list[Entry]) -> str:
    lines = [
        '| config | backbone | input | parameters | FLOPs |',
        '|---|---|---|---|---|',
    ]
    for e in entries:
        height, width = e.size
        lines.append(
            f'| [{e.name}]({Path(e.config).name}) | {e.backbone} | {height}x{width} '
            f'| {e.params / 1e6:.2f} M | {e.flops / 1e9:.2f} G |'
        )
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    sys.exit(main())

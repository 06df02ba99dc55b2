"""Features of a backbone held against those of a timm model with the same weights.

On images, each model may get them as its own pipeline gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from torch import Tensor, nn

from plugin.align.map_differences import MapDifference, compare, with_own_inputs
from plugin.config.backbone import backbone_of
from plugin.config.names import load_config
from plugin.libraries import wiring
from plugin.measure.backbone import build
from plugin.timm_models.create import ANY_SIZE, check_model_name, create
from plugin.weights.audit.loading import Loading, fill
from plugin.weights.audit.report import percent, reasons, threshold
from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.files.timm_files import create_with_weights
from plugin.weights.matching.fit import best_prefix, fit


@dataclass(frozen=True)
class Alignment:
    """A backbone beside a reference.

    Attributes:
        maps: One entry for each map of the reference.
        inputs: What they were compared on.
        reference_weights: Where the reference's weights came from.
        pipelines: Largest difference between the images as the config's test pipeline
            and as timm's gives them; None without images, or where sizes differ.
    """

    maps: tuple[MapDifference, ...]
    inputs: str
    reference_weights: str
    pipelines: float | None = None

    @property
    def largest(self) -> float:
        """The largest relative difference of all maps."""
        return max(m.relative for m in self.maps)


def align(
    config: str,
    reference: str,
    checkpoint: str,
    images: Path | None = None,
    reference_checkpoint: str | None = None,
    num: int = 4,
) -> Alignment:
    """Compare a config's backbone with a timm model, map by map.

    Args:
        config: A config, as a path or ``mmdet::...``.
        reference: ``timm:MODEL``.
        checkpoint: Weights for the backbone, and for the reference where they are in
            names that timm knows; else the reference has timm's own.
        images: A folder. They go through the config's test pipeline. None compares on
            one random input of the reference's size.
        reference_checkpoint: Weights for the reference.
        num: Images to take from the folder, at least 1.

    Raises:
        ValueError: An argument is wrong, or weights don't fit.
        OSError: A file cannot be read or downloaded.
    """
    if not reference.startswith('timm:'):
        raise ValueError(f'--reference {reference}: write timm:{reference}')
    model_name = reference.removeprefix('timm:').removeprefix('//')
    check_model_name(model_name)
    paths = None if images is None else _images_in(images, num)
    cfg = load_config(config)
    backbone = build(backbone_of(cfg))
    weights = weights_of(read_checkpoint(checkpoint))
    _fill(backbone, weights, checkpoint, f'the backbone of {config}')
    backbone.eval()
    if paths is None:
        given = None
    else:
        given = [pipeline_input(cfg, path) for path in paths]
    model, origin = _reference(
        model_name, checkpoint, weights, reference_checkpoint, given
    )
    if given is None:
        size = model.pretrained_cfg.get('input_size', (3, 224, 224))
        image = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
        inputs = f'random {"x".join(map(str, image.shape))}'
        return Alignment(compare(backbone, model, [image]), inputs, origin)
    found = compare(backbone, model, given)
    theirs = [own_input(model, path) for path in paths]
    pairs = list(zip(given, theirs, strict=True))
    pipelines = None
    if all(a.shape == b.shape for a, b in pairs):
        pipelines = max(float((a - b).abs().max()) for a, b in pairs)
        found = with_own_inputs(found, backbone, model, pairs)
    return Alignment(found, f'{len(paths)} images of {images}', origin, pipelines)


def _images_in(folder: Path, num: int) -> list[Path]:
    if num < 1:
        raise ValueError(f'num={num}: compare at least 1 image')
    if not folder.is_dir():
        raise NotADirectoryError(20, 'is not a folder', str(folder))
    endings = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
    paths = sorted(p for p in folder.rglob('*') if p.suffix.lower() in endings)
    if not paths:
        raise ValueError(f'{folder} has no images ({", ".join(endings)})')
    return paths[:num]


def _fill(
    module: nn.Module, weights: Mapping[str, Tensor], source: str, what: str
) -> None:
    found = best_prefix(weights, module)
    share = found[1].share if found else 0.0
    bad = fit(under(weights, found[0] if found else None), module).unusable
    held = f'; what no model can use in it: {reasons(bad)}' if bad else ''
    if share < threshold(None):
        raise ValueError(
            f'{source} has {percent(share)} of the parameters of {what}{held}'
        )
    if bad:
        raise ValueError(f'{source} cannot be compared{held}')
    fill(Loading(module, source), found[1])


class _Wrapped(nn.Module):
    def __init__(self, timm_model: nn.Module) -> None:
        super().__init__()
        self.timm_model = timm_model


def _reference(
    model_name: str,
    checkpoint: str,
    weights: Mapping[str, Tensor],
    reference_checkpoint: str | None,
    inputs: Sequence[Tensor] | None,
) -> tuple[nn.Module, str]:
    if reference_checkpoint is not None:
        checkpoint = reference_checkpoint
        weights = weights_of(read_checkpoint(checkpoint))
    kwargs: dict = dict(features_only=True)
    native = create(model_name, kwargs)[0]
    size = tuple(native.pretrained_cfg.get('input_size', (3, 224, 224)))
    if inputs is not None and any(tuple(x.shape[1:]) != size for x in inputs):
        taken = create(model_name, {**ANY_SIZE, **kwargs}, droppable=ANY_SIZE)[1]
        kwargs, native = taken, create(model_name, taken)[0]
    wrapped = _Wrapped(native)
    prefix = 'backbone.timm_model.' if any('.timm_model.' in n for n in weights) else ''
    found = fit(under(weights, prefix), wrapped)
    if found.share > 0.99:
        fill(Loading(wrapped, checkpoint), found)
        return native.eval(), checkpoint
    if Path(checkpoint).expanduser().is_file():
        try:
            model = create_with_weights(model_name, kwargs, checkpoint_path=checkpoint)
            return model.eval(), checkpoint
        except ValueError:
            if reference_checkpoint is not None:
                raise
    if reference_checkpoint is not None:
        raise ValueError(
            f'{checkpoint} has {percent(found.share)} of the parameters of {model_name}'
        )
    try:
        model = create_with_weights(model_name, kwargs, pretrained=True)
    except OSError as error:
        raise ValueError(
            f'{checkpoint} is not in names that timm knows, and its own weights for '
            f'{model_name} cannot be downloaded ({type(error).__name__}); pass '
            '--reference-checkpoint FILE'
        ) from error
    return model.eval(), "timm's own"


def pipeline_input(cfg: Config, path: Path) -> Tensor:
    """(1, C, H, W): what the model of ``cfg`` would get for an image file.

    Args:
        cfg: Its test pipeline is run without the steps that load annotations, then
            its data preprocessor.
        path: Of the image.

    Raises:
        ValueError: The config has no test pipeline, or it can't be run on an image
            alone.
    """
    scope = cfg.get('default_scope', 'mmengine')
    if scope != 'mmengine':
        import_module(f'{scope}.datasets')
        import_module(f'{scope}.models')
    with DefaultScope.overwrite_default_scope(scope):
        steps = [s for s in _pipeline(cfg) if 'Annotations' not in s['type']]
        try:
            packed = Compose(steps)(
                dict(
                    img_path=str(path),
                    img_id=0,
                    instances=[],
                    seg_fields=[],
                    reduce_zero_label=False,
                )
            )
        except Exception as error:
            raise ValueError(
                f"the config's test pipeline cannot be run on {path} alone: "
                f'{type(error).__name__}: {error}'
            ) from error
        preprocessor = cfg.model.get('data_preprocessor') or cfg.get(
            'data_preprocessor'
        )
        if not preprocessor:
            return packed['inputs'][None].float()
        preprocessor = dict(preprocessor)
        library = wiring(scope)
        if library is not None and library.preprocessor:
            # mmpretrain's classifiers do without one in the config.
            preprocessor.setdefault('type', library.preprocessor)
        return MODELS.build(preprocessor)(pseudo_collate([packed]), False)['inputs']


def own_input(model: nn.Module, path: Path) -> Tensor:
    """(1, C, H, W): the image as timm's evaluation of ``model`` would give it.

    By PIL, with the interpolation (mostly bicubic), crop, mean and std of its
    pretrained weights.
    """
    from timm.data import create_transform, resolve_data_config

    transform = create_transform(**resolve_data_config({}, model=model))
    with Image.open(path) as image:
        return transform(image.convert('RGB'))[None]


def _pipeline(cfg: Config) -> list[dict]:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    steps = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not steps:
        raise ValueError(f'{cfg.filename} has no test pipeline for the images')
    return steps

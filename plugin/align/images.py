"""Images as a config's test pipeline gives them, and as timm does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from torch import Tensor, nn

from plugin.libraries import wiring


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
                f"the config's test pipeline can not be run on {path} alone: "
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

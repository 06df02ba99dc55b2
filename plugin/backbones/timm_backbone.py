"""Any timm model as a backbone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from plugin.freezing import check_frozen_stages
from plugin.registry import MODELS
from plugin.spec import FeatureSpec
from plugin.timm_models.anatomy import PATCH, as_maps, dissect, round_up
from plugin.timm_models.create import check_model_name
from plugin.weights.files.timm_files import create_with_weights

# Arguments of TIMMBackbone by their names in timm.
_OWN = dict(
    model_name='model_name',
    features_only='features_only',
    out_indices='out_indices',
    pretrained='pretrained',
    checkpoint_path='checkpoint_path',
    in_chans='in_channels',
    drop_path_rate='drop_path_rate',
    img_size='img_size',
)


@MODELS.register_module()
class TIMMBackbone(BaseModule):
    """A timm model that gives a tuple of NCHW maps for an image of any size.

    An image is padded at the right and below where the model needs it, and the maps
    are cropped to ceil(H / stride) x ceil(W / stride). Models that take one size only
    (``fixed_size``) are padded up to it and refuse a larger image.

    Patches of 14 pixels, as DINOv2 has them, are resampled to 16 (FlexiViT's
    pseudo-inverse, in timm), so that strides are powers of two;
    ``timm_kwargs=dict(patch_size=14)`` keeps them.

    A stage is an entry of the model's feature list in timm. That of a ResNet begins
    with the map of the stem, so ``layer1`` is stage 2; that of a plain ViT has one
    entry a block, all of one stride.

    Parameters on which no map in ``out_indices`` depends would break distributed
    training. They are dropped, or become buffers where timm computes with them.

    Args:
        model_name: A name of ``timm.list_models()``, also with a tag of pretrained
            weights: ``'resnet18.a1_in1k'``.
        out_indices: Entries of the feature list, ascending; negative ones count from
            the end, and a number n means the last n, as in timm. None is timm's
            default for this model.
        pretrained: Load timm's weights, from its cache or the network.
        checkpoint_path: A local file (.pth or .safetensors) with weights of the full
            timm model, with or without a classifier. For a checkpoint of a whole
            detector or segmentor use ``init_cfg`` with ``prefix='backbone.'``.
        in_channels: Channels of the image. timm adapts pretrained weights.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages with
            their output norms, BN in eval.
        norm_eval: Keep all batch norms in eval mode while training.
        drop_path_rate: Stochastic depth in [0, 1). None is the model's own.
        img_size: Size in pixels, one number or (H, W), that the model is built for. It
            sets the size of position embeddings and of MaxViT's windows. None is the
            size of the pretrained weights. Most models have no such argument.
        timm_kwargs: More arguments of ``timm.create_model``.
        features_only: True; accepted for configs written for mmpretrain's class.
        with_cp: Keep the inputs of the blocks alone while training, and compute the
            rest again in the backward pass: less memory for more time, the same
            gradients. timm has it for most models (``set_grad_checkpointing``).
        init_cfg: mmengine's. None leaves the weights as timm made or loaded them.

    Attributes:
        timm_model: The model, as timm's ``features_only`` gives it.
        timm_kwargs: What it was built with, besides the name and the weights.
        num_stages: Entries of its feature list.
        fixed_size: (H, W) if the model takes this size only, else None.

    Raises:
        ValueError: An unknown model name or argument, ``out_indices`` or
            ``frozen_stages`` out of range, or weights that can't be had.

    Source: PyTorch Image Models, https://github.com/huggingface/pytorch-image-models
    """

    def __init__(
        self,
        model_name: str,
        out_indices: int | Sequence[int] | None = None,
        pretrained: bool = False,
        checkpoint_path: str = '',
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_path_rate: float | None = None,
        img_size: int | Sequence[int] | None = None,
        timm_kwargs: Mapping[str, Any] | None = None,
        features_only: bool = True,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check(features_only, pretrained, checkpoint_path, timm_kwargs, init_cfg)
        check_model_name(model_name)
        _check_pixels('img_size', img_size, 'img_size=(512, 512)')
        patch = (timm_kwargs or {}).get('patch_size')
        example = 'timm_kwargs=dict(patch_size=16)'
        _check_pixels('timm_kwargs.patch_size', patch, example)
        given = dict(drop_path_rate=drop_path_rate, img_size=img_size)
        given = {name: value for name, value in given.items() if value is not None}
        anatomy = dissect(
            model_name,
            dict(in_chans=in_channels, **given, **(timm_kwargs or {})),
            out_indices,
        )
        if anatomy.resampled_from is not None:
            own = anatomy.resampled_from
            print_log(
                f'{model_name}: its patches of {own} pixels are resampled to '
                f'{PATCH}, so that strides are powers of two; '
                f'timm_kwargs=dict(patch_size={own}) keeps them',
                logger='current',
            )
        self.model_name = model_name
        self.timm_kwargs = anatomy.kwargs
        self.out_indices = anatomy.out_indices
        self.num_stages = anatomy.num_stages
        self.fixed_size = anatomy.fixed_size
        self.norm_eval = norm_eval
        self._spec = anatomy.spec
        self._divisor = anatomy.divisor
        self._stage_of = anatomy.stage_of
        check_frozen_stages(frozen_stages, self.num_stages, model_name)
        self.frozen_stages = frozen_stages

        self.timm_model = create_with_weights(
            model_name,
            dict(anatomy.kwargs, features_only=True, out_indices=self.out_indices),
            pretrained,
            checkpoint_path,
        )
        # HRNet has an init_weights, which mmengine would call and so lose the weights.
        self.timm_model.is_init = True
        self._drop_unused()
        if with_cp:
            _checkpoint_blocks(self.timm_model, model_name)
        self.train()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) -> tuple of (N, C_i, ceil(H/s_i), ceil(W/s_i)), shallow first.

        Raises:
            ValueError: The image is larger than the only size that the model takes.
        """
        size = tuple(x.shape[-2:])
        height, width = self._padded(size)
        if (height, width) != size:
            x = F.pad(x, (0, width - size[1], 0, height - size[0]))
        maps = as_maps(self.timm_model, self.timm_model(x))
        # Necks and heads call `.view`, which a permuted or cropped tensor refuses.
        return tuple(
            y[:, :, : math.ceil(size[0] / s), : math.ceil(size[1] / s)].contiguous()
            for y, s in zip(maps, self._spec.strides, strict=True)
        )

    def feature_spec(self) -> FeatureSpec:
        """Channels and strides of the maps in ``out_indices``."""
        return self._spec

    def apply(self, fn: Callable[[nn.Module], None]) -> TIMMBackbone:
        """As ``nn.Module.apply``, but deaf to the ``init_cfg`` of a model around it.

        mmengine's initializers go through ``apply``: YOLOX's Kaiming would overwrite
        the weights that timm has loaded or drawn.
        """
        if self.init_cfg is None and fn.__module__ == 'mmengine.model.weight_init':
            return self
        return super().apply(fn)

    def train(self, mode: bool = True) -> TIMMBackbone:
        """Set the mode, keep frozen stages in eval, and return the module."""
        super().train(mode)
        if self.norm_eval:
            for module in self.timm_model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        self._freeze()
        return self

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.fixed_size is None:
            return round_up(size, self._divisor)
        if any(s > most for s, most in zip(size, self.fixed_size, strict=True)):
            raise ValueError(
                f'{self.model_name} is built for images of up to '
                f'{"x".join(map(str, self.fixed_size))} and was given '
                f'{"x".join(map(str, size))}; write the largest size of your pipeline '
                f'into the backbone, such as img_size={size}, or take another model'
            )
        return self.fixed_size

    def _freeze(self) -> None:
        check_frozen_stages(self.frozen_stages, self.num_stages, self.model_name)
        frozen, live = set(), set()
        for name, param in self.timm_model.named_parameters():
            if self._stage_of.get(name, math.inf) <= self.frozen_stages:
                param.requires_grad_(False)
                frozen.update(_owners(name))
            else:
                live.update(_owners(name))
        for name, module in self.timm_model.named_modules():
            if name in frozen - live:
                module.eval()

    def _drop_unused(self) -> None:
        model = self.timm_model
        if not isinstance(model, nn.ModuleDict):
            # timm 1.0.31: the EfficientNet and MobileNetV3 classes run all blocks,
            # whatever out_indices is; the wrappers for other models end in time.
            for name, child in model.named_children():
                while isinstance(child, nn.Sequential) and self._is_unused(
                    f'{name}.{len(child) - 1}', child[-1]
                ):
                    del child[-1]
        for name, param in list(model.named_parameters()):
            if name not in self._stage_of:
                owner, _, leaf = name.rpartition('.')
                module = model.get_submodule(owner)
                delattr(module, leaf)
                module.register_buffer(leaf, param.detach())

    def _is_unused(self, name: str, module: nn.Module) -> bool:
        names = [f'{name}.{inner}' for inner, _ in module.named_parameters()]
        return bool(names) and not any(n in self._stage_of for n in names)


def _check_pixels(key: str, value: int | Sequence[int] | None, example: str) -> None:
    if value is None:
        return
    pair = isinstance(value, Sequence) and not isinstance(value, str)
    sides = tuple(value) if pair else (value, value)
    whole = all(isinstance(s, int) and not isinstance(s, bool) for s in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ValueError(
            f'{key}={value!r} must be a whole number of pixels above 0, or two of them '
            f'(H, W); write {example}, or leave it out for the size of the weights'
        )


def _checkpoint_blocks(model: nn.Module, name: str) -> None:
    """Switch on timm's gradient checkpointing.

    Raises:
        ValueError: timm has none for this model.
    """
    # The wrapper of timm 1.0.31 around a plain ViT does not pass it on.
    for module in (model, getattr(model, 'model', None)):
        if hasattr(module, 'set_grad_checkpointing'):
            try:
                module.set_grad_checkpointing(True)
            except AssertionError:
                # timm 1.0.31: models without it refuse by an assert.
                break
            return
    raise ValueError(
        f'with_cp=True but timm has no gradient checkpointing for {name}; leave '
        'with_cp out, or make the images smaller or the batch'
    )


def _owners(name: str) -> list[str]:
    """The modules that a parameter is in, from '' for the model on."""
    parts = name.split('.')
    return ['.'.join(parts[:i]) for i in range(len(parts))]


def _check(
    features_only: bool,
    pretrained: bool,
    checkpoint_path: str,
    timm_kwargs: Mapping[str, Any] | None,
    init_cfg: dict | list | None,
) -> None:
    if features_only is not True:
        raise ValueError(
            f'features_only={features_only!r} but a backbone gives maps; leave '
            'features_only out and choose them by out_indices, such as '
            'out_indices=(-1,) for the last one'
        )
    if not isinstance(pretrained, bool):
        raise ValueError(
            f'pretrained={pretrained!r} must be True or False; a file goes into '
            'checkpoint_path, and a tag into model_name, such as resnet18.a1_in1k'
        )
    origins = dict(
        pretrained=pretrained, checkpoint_path=checkpoint_path, init_cfg=init_cfg
    )
    given = [name for name, value in origins.items() if value]
    if len(given) > 1:
        raise ValueError(
            f'{" and ".join(given)} each say where the weights come from; keep one '
            "(pretrained=False, checkpoint_path='' and init_cfg=None are off)"
        )
    own = sorted(set(timm_kwargs or {}) & set(_OWN))
    if own:
        raise ValueError(
            f'timm_kwargs holds {own[0]}, which is an argument of its own: write '
            f'{_OWN[own[0]]}={timm_kwargs[own[0]]!r} beside timm_kwargs'
        )

"""A backbone and a pyramid of its feature maps as one entry of a config."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from plugin.decay.layer_depth import LAYER_WISE, LayerDepths, layer_depths
from plugin.necks.simple_feature_pyramid import SimpleFeaturePyramid
from plugin.registry import MODELS
from plugin.spec import FeatureSpec


@MODELS.register_module()
class PyramidBackbone(BaseModule):
    """A backbone whose feature maps have one stride, made to give a pyramid.

    It goes where a hierarchical backbone goes: under the necks of the YOLO models, of
    the DETR family and of Mask2Former, none of which takes maps of one stride. Behind
    a ViT of patch size 16 the default gives strides 4, 8, 16 and 32; with patches of
    14 pixels they are 3.5, 7, 14 and 28.

    Args:
        backbone: Config of the backbone, such as
            ``dict(type='plugin.TIMMBackbone', model_name=..., out_indices=(-1,))``.
        out_channels: Channels of every feature map that is given, or of each.
        scales: Factors of the size, of 4, 2, 1 and 0.5, descending.
        in_channels: Channels of the backbone's own feature maps: of one, which the
            whole pyramid is made from, or of one for each scale. None is what its
            ``feature_spec()`` says.
        init_cfg: mmengine's, for the pyramid. The backbone has its own.

    Attributes:
        backbone: The backbone.
        pyramid: The :class:`SimpleFeaturePyramid` behind it.

    Raises:
        ValueError: The backbone's feature maps have several strides already,
            ``in_channels`` is needed, or something does not suit the pyramid.

    Source: ViTDet (arXiv:2203.16527), section 3.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        out_channels: int | Sequence[int] = 256,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        in_channels: Sequence[int] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        name = type(self.backbone).__name__
        self._spec: FeatureSpec | None = None
        if hasattr(self.backbone, 'feature_spec'):
            spec: FeatureSpec = self.backbone.feature_spec()
            _refuse_pyramid(name, spec)
            in_channels = spec.channels if in_channels is None else in_channels
            stride = spec.strides[0]
            strides = tuple(_exact(stride / scale) for scale in scales)
            channels = (
                (out_channels,) * len(strides)
                if isinstance(out_channels, int)
                else tuple(out_channels)
            )
            self._spec = FeatureSpec(channels, strides)
            # Only where it is known: any other is measured by a forward.
            self.feature_spec = self._feature_spec
        if in_channels is None:
            raise ValueError(
                f'{name} has no feature_spec(), so the pyramid needs in_channels; '
                '`python -m plugin probe` prints the channels of a backbone: write '
                'in_channels=[768] for one feature map of 768 channels'
            )
        self.pyramid = SimpleFeaturePyramid(in_channels, out_channels, scales)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> tuple of (N, C_i, ceil(H/s_i), ceil(W/s_i)), shallow first.

        A backbone without ``feature_spec()`` gives whole patches also at the edge, and
        so do its maps here.
        """
        maps = self.pyramid(self.backbone(x))
        if self._spec is None:
            return maps
        height, width = x.shape[2:]
        return tuple(
            y[:, :, : math.ceil(height / s), : math.ceil(width / s)].contiguous()
            for y, s in zip(maps, self._spec.strides, strict=True)
        )

    def _feature_spec(self) -> FeatureSpec:
        """Channels and strides of the pyramid."""
        return self._spec

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths."""
        found = self._depths
        return found.depths[param_name.removeprefix(prefix)], found.head + 1

    def depths_by(self, decay_type: str) -> LayerDepths:
        """Return the depths of all parameters; the pyramid lies as deep as the head."""
        found = layer_depths(self.backbone, decay_type)
        depths = {name: found.head for name, _ in self.named_parameters()}
        depths.update({f'backbone.{n}': depth for n, depth in found.depths.items()})
        return LayerDepths(depths, found.head, found.source)

    @cached_property
    def _depths(self) -> LayerDepths:
        return self.depths_by(LAYER_WISE)

    @property
    def frozen_stages(self) -> int:
        """The backbone's own; its ``train()`` obeys it."""
        return self.backbone.frozen_stages

    @frozen_stages.setter
    def frozen_stages(self, stages: int) -> None:
        self.backbone.frozen_stages = stages


def _refuse_pyramid(name: str, spec: FeatureSpec) -> None:
    if len(set(spec.strides)) > 1:
        raise ValueError(
            f'{name} gives a pyramid already, of strides {list(spec.strides)}; write '
            'it as the backbone itself, without PyramidBackbone'
        )


def _exact(stride: float) -> float:
    """A whole number where it is one."""
    return int(stride) if stride == int(stride) else stride

"""A pyramid for backbones whose maps all have one stride, such as a plain ViT."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from plugin.backbones.convnext import LayerNorm2d
from plugin.registry import MODELS

SCALES = (4, 2, 1, 0.5)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Rescales maps of one stride to a pyramid, without a top-down path.

    Behind a ViT of patch size 16 the default gives maps at strides 4, 8, 16 and 32.
    RetinaNet's strides, 8 to 128, are ``scales=(2, 1, 0.5), extra_maps=2``.

    Args:
        in_channels: Channels of the maps: of a single one, which all maps of the
            pyramid are then made from, or of one for each scale.
        out_channels: Channels of every feature map that is given, or of each.
        scales: Factors of the size, of 4, 2, 1 and 0.5, descending.
        extra_maps: Further maps, each half the size of the one before.
        init_cfg: mmengine's. None leaves PyTorch's initialization.

    Raises:
        ValueError: A scale that there is not, or a number of maps that does not fit.

    Source: Exploring Plain Vision Transformer Backbones for Object Detection
    (arXiv:2203.16527), section 3, which uses the backbone's last map alone.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | Sequence[int] = 256,
        scales: Sequence[float] = SCALES,
        extra_maps: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        in_channels = tuple(in_channels)
        if not scales or list(scales) != sorted(set(scales), reverse=True):
            raise ValueError(
                f'scales={tuple(scales)} must descend without repeats, since heads '
                'take maps shallow first, such as scales=(4, 2, 1, 0.5)'
            )
        if len(in_channels) not in (1, len(scales)):
            raise ValueError(
                f'in_channels={in_channels} has {len(in_channels)} entries for '
                f'{len(scales)} scales; give one, for a backbone with '
                f'out_indices=(-1,), or {len(scales)}'
            )
        if isinstance(out_channels, int):
            out_channels = (out_channels,) * len(scales)
        if len(out_channels) != len(scales):
            raise ValueError(
                f'out_channels={tuple(out_channels)} has {len(out_channels)} entries '
                f'for {len(scales)} scales; give one number, or {len(scales)}'
            )
        self.in_channels = in_channels
        self.extra_maps = extra_maps
        if len(in_channels) == 1:
            in_channels *= len(scales)
        self.branches = nn.ModuleList(
            _branch(channels, given, scale)
            for channels, given, scale in zip(
                in_channels, out_channels, scales, strict=True
            )
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(N, C_i, H, W) each -> (N, out_channels, H*scale, W*scale) each, and extras.

        Raises:
            ValueError: The backbone gives another number of maps than ``in_channels``,
                or maps of several sizes.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'the backbone gives {len(inputs)} maps but in_channels='
                f'{self.in_channels} has {len(self.in_channels)} entries; set the '
                "backbone's out_indices and in_channels together"
            )
        rows = [x.shape[2] for x in inputs]
        if len(set(rows)) > 1:
            raise ValueError(
                f'the backbone gives a pyramid already, its maps are {rows} cells '
                'high; this one takes maps of one stride, as of a plain ViT: write FPN '
                'for SimpleFeaturePyramid, or leave PyramidBackbone out'
            )
        if len(inputs) == 1:
            inputs = [inputs[0]] * len(self.branches)
        maps = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        for _ in range(self.extra_maps):
            maps.append(F.max_pool2d(maps[-1], 1, stride=2))
        return tuple(maps)


def _branch(channels: int, out_channels: int, scale: float) -> nn.Sequential:
    if scale == 4:
        layers = [
            nn.ConvTranspose2d(channels, channels // 2, 2, stride=2),
            LayerNorm2d(channels // 2, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 2, channels // 4, 2, stride=2),
        ]
        channels //= 4
    elif scale == 2:
        layers = [nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)]
        channels //= 2
    elif scale == 1:
        layers = []
    elif scale == 0.5:
        # Rounded up, as strides of odd sizes are everywhere else.
        layers = [nn.MaxPool2d(2, stride=2, ceil_mode=True)]
    else:
        raise ValueError(f'scale {scale} is none of 4, 2, 1 and 0.5')
    return nn.Sequential(
        *layers,
        nn.Conv2d(channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels, eps=1e-6),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels, eps=1e-6),
    )

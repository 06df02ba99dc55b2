"""ConvNeXt, the worked example of a backbone in this package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from plugin.freezing import check_frozen_stages, freeze
from plugin.registry import MODELS
from plugin.spec import FeatureSpec, resolve_out_indices

# arch: (blocks per stage, channels per stage). tiny to xlarge: arXiv:2201.03545,
# section 3; atto to nano: arXiv:2301.00808, table 9.
ARCHS = {
    'atto': ((2, 2, 6, 2), (40, 80, 160, 320)),
    'femto': ((2, 2, 6, 2), (48, 96, 192, 384)),
    'pico': ((2, 2, 6, 2), (64, 128, 256, 512)),
    'nano': ((2, 2, 8, 2), (80, 160, 320, 640)),
    'tiny': ((3, 3, 9, 3), (96, 192, 384, 768)),
    'small': ((3, 3, 27, 3), (96, 192, 384, 768)),
    'base': ((3, 3, 27, 3), (128, 256, 512, 1024)),
    'large': ((3, 3, 27, 3), (192, 384, 768, 1536)),
    'xlarge': ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over C of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), channels_last in memory."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, norm, and a two-layer perceptron over the channels.

    A channels_last map stays so, and nothing is copied: the convolution keeps the
    format, and the permuted map that the norm and the perceptron work on is contiguous.

    Args:
        channels: Channels in and out.
        drop_path_rate: Chance in [0, 1) that a sample skips the block.
        layer_scale_init_value: First value of the per-channel scale; 0 leaves the
            scale out.
        with_cp: Recompute the block in the backward pass to save memory.
    """

    def __init__(
        self,
        channels: int,
        drop_path_rate: float,
        layer_scale_init_value: float,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.depthwise_conv = nn.Conv2d(
            channels, channels, 7, padding=3, groups=channels
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pointwise_conv1 = nn.Linear(channels, 4 * channels)
        self.pointwise_conv2 = nn.Linear(4 * channels, channels)
        self.gamma = (
            nn.Parameter(torch.full((channels,), layer_scale_init_value))
            if layer_scale_init_value > 0
            else None
        )
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._residual, x, use_reentrant=False)
        return self._residual(x)

    def _residual(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))
        y = self.pointwise_conv2(F.gelu(self.pointwise_conv1(y)))
        if self.gamma is not None:
            y = y * self.gamma
        return x + self.drop_path(y.permute(0, 3, 1, 2))


@MODELS.register_module()
class ConvNeXt(BaseModule):
    """ConvNeXt with a map per stage, at strides 4, 8, 16 and 32.

    The names in its state dict are those of mmpretrain's ConvNeXt, so the public
    checkpoints load with ``init_cfg=dict(type='Pretrained', checkpoint=URL,
    prefix='backbone.')``.

    Args:
        arch: A name in ``ARCHS``, or ``dict(depths=[...], channels=[...])``.
        in_channels: Channels of the image.
        out_indices: Stages whose maps are returned, ascending; negative ones count
            from the end. Stages behind the last one are not built.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages
            with their output norms.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0.
        layer_scale_init_value: First value of the layer scale; 0 leaves it out.
        gap_before_final_norm: Average each map over H and W before its norm and
            return (N, C), as classifiers are trained. Detectors and segmentors need
            maps, so this is False here (True in mmpretrain).
        with_cp: Recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine's. None is a truncated normal of std 0.02.

    Raises:
        ValueError: An unknown ``arch``, ``out_indices`` out of range or unsorted, or
            ``frozen_stages`` out of range.

    Source: A ConvNet for the 2020s (arXiv:2201.03545).
    """

    def __init__(
        self,
        arch: str | dict = 'tiny',
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        gap_before_final_norm: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or [
                dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0),
                dict(type='Constant', layer=['LayerNorm'], val=1, bias=0),
            ]
        )
        self.depths, self.channels = _resolve_arch(arch)
        owner = f'ConvNeXt {arch}' if isinstance(arch, str) else 'this ConvNeXt'
        self.num_stages = len(self.depths)
        self.out_indices = resolve_out_indices(out_indices, self.num_stages, owner)
        check_frozen_stages(frozen_stages, self.num_stages, owner)
        self.frozen_stages = frozen_stages
        self.gap_before_final_norm = gap_before_final_norm

        rates = torch.linspace(
            0, drop_path_rate, sum(self.depths), device='cpu'
        ).tolist()
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        before = in_channels
        # What lies behind the last map would get no gradient, which DDP refuses.
        for i in range(self.out_indices[-1] + 1):
            depth, channels = self.depths[i], self.channels[i]
            self.downsample_layers.append(
                nn.Sequential(
                    nn.Conv2d(before, channels, 4, stride=4),
                    LayerNorm2d(channels, eps=1e-6),
                )
                if i == 0
                else nn.Sequential(
                    LayerNorm2d(before, eps=1e-6),
                    nn.Conv2d(before, channels, 2, stride=2),
                )
            )
            self.stages.append(
                nn.Sequential(
                    *(
                        ConvNeXtBlock(
                            channels, rates.pop(0), layer_scale_init_value, with_cp
                        )
                        for _ in range(depth)
                    )
                )
            )
            if i in self.out_indices:
                self.add_module(f'norm{i}', LayerNorm2d(channels, eps=1e-6))
            before = channels
        freeze(self._frozen_modules())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> tuple of (N, C_i, H/s_i, W/s_i), shallow first.

        With ``gap_before_final_norm`` the tuple holds (N, C_i).
        """
        outs = []
        for i, (downsample, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = stage(downsample(x))
            if i in self.out_indices:
                norm = getattr(self, f'norm{i}')
                if self.gap_before_final_norm:
                    outs.append(norm(x.mean((2, 3), keepdim=True)).flatten(1))
                else:
                    # Necks and heads call `.view`, which may refuse channels_last.
                    outs.append(norm(x).contiguous())
        return tuple(outs)

    def feature_spec(self) -> FeatureSpec:
        """Channels and strides of the maps in ``out_indices``."""
        return FeatureSpec(
            channels=tuple(self.channels[i] for i in self.out_indices),
            strides=tuple(4 * 2**i for i in self.out_indices),
        )

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning-rate decay.

        The stem is 0. The third stage is cut into groups of three blocks; what comes
        after it is one layer. Output norms and everything outside ``prefix`` belong to
        the head.

        Args:
            param_name: Full name of the parameter in the model.
            prefix: What precedes the backbone's own names, e.g. ``'backbone.'``.

        Returns:
            The depth in [0, number - 1], and the number of depths, head included: 8
            for archs of up to 9 blocks in the third stage, else 14.

        Source: the published ConvNeXt scheme (arXiv:2201.03545, appendix A), 6 or 12
        layers between stem and head.
        """
        num_layers = 12 if self.depths[-2] > 9 else 6
        name = param_name.removeprefix(prefix)
        kind, _, rest = name.partition('.')
        if not param_name.startswith(prefix) or kind not in (
            'downsample_layers',
            'stages',
        ):
            return num_layers + 1, num_layers + 2
        stage, _, rest = rest.partition('.')
        stage = int(stage)
        if stage == self.num_stages - 1:
            depth = num_layers
        elif kind == 'downsample_layers':
            depth = 0 if stage == 0 else stage + 1
        elif stage == self.num_stages - 2:
            depth = stage + 1 + int(rest.partition('.')[0]) // 3
        else:
            depth = stage + 1
        return depth, num_layers + 2

    def train(self, mode: bool = True) -> ConvNeXt:
        """Set the mode, keep frozen stages in eval, and return the module."""
        super().train(mode)
        freeze(self._frozen_modules())
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        n = self.frozen_stages
        norms = [getattr(self, f'norm{i}', None) for i in range(n)]
        return [
            self.downsample_layers[0],
            *self.downsample_layers[1:n],
            *self.stages[:n],
            *(norm for norm in norms if norm is not None),
        ]


def _resolve_arch(arch: str | dict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f"arch='{arch}' is not a ConvNeXt; choose one of {', '.join(ARCHS)}, "
                'or give dict(depths=[3, 3, 9, 3], channels=[96, 192, 384, 768])'
            )
        return ARCHS[arch]
    if set(arch) != {'depths', 'channels'} or len(arch['depths']) != len(
        arch['channels']
    ):
        raise ValueError(
            f'arch={dict(arch)} must have exactly the keys depths and channels, two '
            'lists of one length, such as '
            'dict(depths=[3, 3, 9, 3], channels=[96, 192, 384, 768])'
        )
    if len(arch['depths']) < 2:
        raise ValueError(f'arch={dict(arch)} needs at least two stages')
    return tuple(arch['depths']), tuple(arch['channels'])

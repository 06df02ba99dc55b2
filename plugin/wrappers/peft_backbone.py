"""Any backbone with adapters, of which the adapters alone are trained."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from plugin.decay.layer_depth import LAYER_WISE, LayerDepths, layer_depths
from plugin.registry import MODELS
from plugin.weights.audit.report import session
from plugin.wrappers.adapters import (
    BASE,
    adapted_layers,
    inject,
    refuse_other_adapters,
    without_adapters,
)
from plugin.wrappers.base_weights import (
    base_file,
    from_tensor,
    is_average,
    sums,
    to_tensor,
    unchanged,
)
from plugin.wrappers.pyramid_backbone import PyramidBackbone

ALL, NOTHING = 1, -1


@MODELS.register_module()
class PEFTBackbone(BaseModule):
    """A backbone with LoRA or other adapters of Hugging Face's peft.

    The adapters train, and the backbone's own parameters do not until one of the
    unfreeze hooks unfreezes them. Weights are loaded and initialized as if there were
    no adapters, under the names that the backbone has without them.

    A checkpoint leaves out the parameters that are frozen and just what a local file
    of the config holds (``init_cfg.checkpoint`` or ``checkpoint_path``); the name and
    the hash of that file go into it, and are compared when it is loaded. Buffers, such
    as the statistics of batch norms, are always in it.

    Args:
        backbone: Config of the backbone.
        peft_config: ``peft_type`` and the arguments of its config in peft, such as
            ``dict(peft_type='LORA', r=8, target_modules=['qkv'])``.
        frozen_stages: 1 freezes all of the backbone but the adapters, -1 nothing.
        norm_eval: Keep norms with running statistics in eval mode while the backbone
            is frozen.
        init_cfg: None; the backbone has its own.

    Attributes:
        backbone: The backbone, of its own class, with adapters inside.

    Raises:
        ValueError: ``target_modules`` match nothing, or adapters would be in stages
            that the backbone's own ``frozen_stages`` freezes.
        ImportError: peft is not installed.

    Source: LoRA (arXiv:2106.09685); peft, https://github.com/huggingface/peft
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        peft_config: Mapping[str, Any],
        frozen_stages: int = ALL,
        norm_eval: bool = True,
        init_cfg: None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        self._file = base_file(backbone)
        self._in_file: dict[str, tuple[float, float]] = {}
        self._copied_from: weakref.ref[PEFTBackbone] | None = None
        if isinstance(self.backbone, PyramidBackbone):
            raise ValueError(
                'PEFTBackbone would freeze the pyramid of its PyramidBackbone, which '
                'begins with random weights; write plugin.PyramidBackbone around '
                'plugin.PEFTBackbone, and the ViT in that'
            )
        if hasattr(self.backbone, 'feature_spec'):
            self.feature_spec = self.backbone.feature_spec
        own = list(self.backbone.parameters())
        self._trains = [param for param in own if param.requires_grad]
        inject(self.backbone, peft_config)
        # Now, since they are taken out at times.
        self._layers = list(adapted_layers(self.backbone))
        ours = {id(param) for param in own}
        self._adapters = [p for p in self.backbone.parameters() if id(p) not in ours]
        self._own = own
        self._refuse_frozen_adapters(backbone)
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_put_in)
        self.train()
        count = sum(param.numel() for param in self._adapters)
        total = count + sum(param.numel() for param in own)
        print_log(
            f'{type(self.backbone).__name__}: {len(self._layers)} '
            f'layers have adapters; {count:,} of {total:,} parameters '
            f'({count / total:.2%}) are theirs',
            logger='current',
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> tuple of (N, C_i, H/s_i, W/s_i), shallow first."""
        return self.backbone(x)

    def train(self, mode: bool = True) -> PEFTBackbone:
        """Set the mode, freeze what is to be frozen, and return the module."""
        if self.frozen_stages not in (ALL, NOTHING):
            raise ValueError(
                f'frozen_stages={self.frozen_stages} but PEFTBackbone freezes all of '
                'its backbone or nothing; write 1 (all but the adapters) or -1'
            )
        frozen = self.frozen_stages == ALL
        for param in self._trains:
            param.requires_grad_(not frozen)
        super().train(mode)
        if frozen:
            for param in self._own:
                param.requires_grad_(False)
            if self.norm_eval:
                for module in self.backbone.modules():
                    if isinstance(module, _NormBase) and module.track_running_stats:
                        module.eval()
        return self

    def init_weights(self) -> None:
        """Initialize or load the backbone, which has no adapters meanwhile."""
        if self.is_init:
            return
        # What was loaded is judged before the adapters change the names again.
        with without_adapters(self.backbone), session(self, apart=True):
            if hasattr(self.backbone, 'init_weights'):
                self.backbone.init_weights()
        with without_adapters(self.backbone):
            if self._file is not None:
                params = dict(self.backbone.named_parameters())
                names = unchanged(self.backbone, self._file)
                self._in_file = {name: sums(params[name]) for name in names}
        self.is_init = True

    def apply(self, fn: Callable[[nn.Module], None]) -> PEFTBackbone:
        """As ``nn.Module.apply``; the initializers of mmengine see no adapters.

        That of a model around it would go over the adapters, which begin at zero.
        """
        if fn.__module__ == 'mmengine.model.weight_init':
            with without_adapters(self.backbone):
                return super().apply(fn)
        return super().apply(fn)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths."""
        found = self._depths
        return found.depths[param_name.removeprefix(prefix)], found.head + 1

    def depths_by(self, decay_type: str) -> LayerDepths:
        """Return the depths of all parameters.

        An adapter lies as deep as the layer that it adapts.
        """
        with without_adapters(self.backbone):
            found = layer_depths(self.backbone, decay_type)
        depths = {
            f'backbone.{name}': found.depths[self._plain_name(name)]
            for name, _ in self.backbone.named_parameters()
        }
        return LayerDepths(depths, found.head, found.source)

    @cached_property
    def _depths(self) -> LayerDepths:
        return self.depths_by(LAYER_WISE)

    def __deepcopy__(self, memo: dict[int, Any]) -> PEFTBackbone:
        """Return a copy that knows what it is one of, as an average of weights is."""
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        new._copied_from = weakref.ref(self)
        return new

    def _left_out(self) -> list[str]:
        """Return the parameters of the backbone that a checkpoint need not hold."""
        original = self._copied_from and self._copied_from()
        if original is not None:
            # mmengine's EMAHook looks up each name of the average in the model. An
            # average of a frozen weight differs from it by rounding, and no unfreezing
            # reaches the copy that is averaged.
            return [
                name
                for name in original._left_out()
                if is_average(
                    self.backbone.get_parameter(name),
                    original.backbone.get_parameter(name),
                )
            ]
        if self.frozen_stages != ALL:
            return []
        return [
            name
            for name, param in self.backbone.named_parameters()
            if not _is_adapter(self, name)
            and self._in_file.get(self._plain_name(name)) == sums(param)
        ]

    def _plain_name(self, name: str) -> str:
        """Return the name without adapters; of an adapter, that of its layer."""
        for layer in self._layers:
            if name.startswith(f'{layer}.'):
                rest = name.removeprefix(layer)
                return (
                    f'{layer}{rest.removeprefix(BASE)}'
                    if rest.startswith(f'{BASE}.')
                    else f'{layer}.weight'
                )
        return name

    def _refuse_frozen_adapters(self, backbone: Mapping[str, Any]) -> None:
        self.backbone.train()
        names = [
            name
            for name, param in self.backbone.named_parameters()
            if not param.requires_grad and any(param is a for a in self._adapters)
        ]
        if names:
            raise ValueError(
                f'backbone.frozen_stages={backbone.get("frozen_stages")} freezes '
                f'{len(names)} adapters with their stages, such as {names[0]}; write '
                'backbone.frozen_stages=-1, since PEFTBackbone freezes all but the '
                'adapters, or target_modules in later stages alone'
            )


def _leave_out(
    self: PEFTBackbone, state_dict: dict, prefix: str, local_metadata: dict
) -> None:
    """Take out of a state dict what a file of the config has."""
    names = self._left_out()
    for name in names:
        del state_dict[f'{prefix}backbone.{name}']
    if names:
        facts = dict(file=self._file.path, sha256=self._file.digest())
        state_dict[f'{prefix}{_KEY}'] = to_tensor(facts)


_KEY = 'left_out'
"""Name in a state dict of the file that has what the state dict has not."""


def _put_in(self: PEFTBackbone, state_dict: dict, prefix: str, *_: object) -> None:
    """Put into a state dict what was left out, and names from before the adapters."""
    names = [name for name, _ in self.backbone.named_parameters()]
    facts = state_dict.pop(f'{prefix}{_KEY}', None)
    saved = {} if facts is None else from_tensor(facts)
    inside = f'{prefix}backbone.'
    theirs_by_name = {
        key.removeprefix(inside): tensor
        for key, tensor in state_dict.items()
        if key.startswith(inside)
    }
    refuse_other_adapters(dict(self.backbone.named_parameters()), theirs_by_name)
    theirs = {}
    if saved:
        if self._file is None:
            raise ValueError(
                f'this checkpoint has the adapters alone; the backbone is in '
                f'{saved["file"]}, which the config does not name, or which is not '
                "there: write init_cfg=dict(type='Pretrained', checkpoint=...) into "
                'the backbone of PEFTBackbone'
            )
        if saved['sha256'] != self._file.digest():
            raise ValueError(
                f'this checkpoint belongs to {saved["file"]} of SHA-256 '
                f'{saved["sha256"][:12]}..., but {self._file.path} is another file '
                f'({self._file.digest()[:12]}...); name the one it was trained with'
            )
        with without_adapters(self.backbone):
            theirs = self._file.tensors(self.backbone)
    for name in names:
        key, plain = f'{prefix}backbone.{name}', self._plain_name(name)
        if key in state_dict or _is_adapter(self, name):
            continue
        before = f'{prefix}backbone.{plain}'
        if before in state_dict:
            state_dict[key] = state_dict.pop(before)
        elif plain in theirs:
            state_dict[key] = theirs[plain]


def _is_adapter(self: PEFTBackbone, name: str) -> bool:
    return any(
        name.startswith(f'{layer}.') and not name.startswith(f'{layer}{BASE}.')
        for layer in self._layers
    )

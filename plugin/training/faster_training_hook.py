"""A hook that switches on what torch does faster and mmengine leaves off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer

from plugin.freezing.distributed import rewrap, unwrap
from plugin.registry import HOOKS

# What torch says of a model that one of the parts is too much for, and the part.
SYMPTOMS = {'view size is not compatible': 'channels_last', 'BFloat16': 'bfloat16'}


# Settings of a parameter group that choose the implementation of the step.
STEP = ('foreach', 'fused')


@HOOKS.register_module()
class FasterTrainingHook(Hook):
    """Trains the same model in less time.

    Each part is switched on where it gains, and one line of the log says at the start
    which parts are on, and why the others are not. Validation stays in float32, and
    the checkpoints are those of a training without this hook, which can resume them.

    Args:
        channels_last: Keep the weights of convolutions, and with them the maps, in
            channels_last. Results differ by rounding.
        bfloat16: Run the forward pass and the losses under autocast in bfloat16, on
            processors that compute in it. The weights stay in float32. Left off beside
            an optimizer wrapper with a precision of its own, such as AmpOptimWrapper.
        fused: Take torch's fused step of SGD, Adam and AdamW. Results differ by
            rounding.

    Raises:
        ValueError: An argument that is not True or False; in ``before_train``, a DDP
            whose settings the config does not have.
        RuntimeError: In training, when the model can't be trained with one of the
            parts, such as a ``view`` of a map that is channels_last; names the part.
    """

    # A checkpoint comes here after EMAHook has put its weights in.
    priority = 'LOW'

    def __init__(
        self,
        channels_last: bool = True,
        bfloat16: bool = True,
        fused: bool = True,
    ) -> None:
        self.parts = dict(channels_last=channels_last, bfloat16=bfloat16, fused=fused)
        for name, value in self.parts.items():
            if not isinstance(value, bool):
                raise ValueError(
                    f'{name}={value!r} in FasterTrainingHook; write True or False'
                )

    def before_train(self, runner: Runner) -> None:
        """Switch the parts on, after weights and optimizer have been loaded."""
        switches = dict(
            channels_last=use_channels_last, bfloat16=use_bfloat16, fused=use_fused
        )
        wrapper = runner.optim_wrapper
        self.step_settings = (
            [{k: g.get(k) for k in STEP} for g in wrapper.optimizer.param_groups]
            if isinstance(wrapper, OptimWrapper)
            else []
        )
        outcome = {
            name: switch(runner) if self.parts[name] else f'off ({name}=False)'
            for name, switch in switches.items()
        }
        line = ', '.join(f'{name} {word}' for name, word in outcome.items())
        runner.logger.info(f'FasterTrainingHook: {line}')
        if isinstance(wrapper, OptimWrapper):
            device = next(runner.model.parameters()).device.type
            bfloat16 = outcome['bfloat16'] == 'on'
            wrapper.optim_context = partial(
                _forward_context, wrapper.optim_context, device, bfloat16
            )

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer wrapper as it was."""
        vars(runner.optim_wrapper).pop('optim_context', None)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write what a training without this hook would write.

        There the weights are contiguous, and a fused step reads the optimizer's state
        as if it lay in memory like them.
        """
        for key in ('state_dict', 'ema_state_dict', 'optimizer'):
            if key in checkpoint:
                checkpoint[key] = apply_to(
                    checkpoint[key], torch.is_tensor, Tensor.contiguous
                )
        groups = checkpoint.get('optimizer', {}).get('param_groups', ())
        for group, settings in zip(groups, self.step_settings, strict=False):
            group.update(settings)


@contextmanager
def _forward_context(
    inner: Callable[[nn.Module], AbstractContextManager],
    device: str,
    bfloat16: bool,
    model: nn.Module,
) -> Iterator[None]:
    """The optimizer wrapper's own context around the forward pass, and autocast."""
    # A disabled autocast would switch that of AmpOptimWrapper off.
    autocast = torch.autocast(device, torch.bfloat16) if bfloat16 else nullcontext()
    try:
        with inner(model), autocast:
            yield
    except RuntimeError as error:
        for symptom, part in SYMPTOMS.items():
            if symptom in str(error):
                raise RuntimeError(
                    f'{error}\nIf this comes from FasterTrainingHook, write '
                    f"dict(type='FasterTrainingHook', {part}=False)"
                ) from error
        raise


def use_channels_last(runner: Runner) -> str:
    """Lay out convolutions, their averages and their optimizer state anew."""
    wrapper = runner.model
    if is_model_wrapper(wrapper) and (
        not isinstance(wrapper, DistributedDataParallel)
        or isinstance(wrapper, MMSeparateDistributedDataParallel)
    ):
        return f'off ({type(wrapper).__name__})'
    averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    for model in (unwrap(wrapper), *averages):
        for param in model.parameters():
            if param.ndim == 4:
                param.data = param.data.to(memory_format=torch.channels_last)
    # DDP has laid out its buckets like the weights.
    rewrap(runner)
    return 'on'


def use_bfloat16(runner: Runner) -> str:
    """Say whether the forward pass is to run in bfloat16."""
    wrapper = runner.optim_wrapper
    name = type(wrapper).__name__
    if not isinstance(wrapper, OptimWrapper):
        return f'off ({name})'
    if type(wrapper).optim_context is not OptimWrapper.optim_context:
        return f'off ({name} has a precision of its own)'
    param = next(runner.model.parameters())
    if param.dtype != torch.float32:
        return f'off (weights in {param.dtype})'
    device = param.device.type
    if device == 'cpu':
        # Elsewhere oneDNN computes bfloat16 by way of float32, and takes longer.
        if not (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        ):
            return 'off (this CPU has neither avx512_bf16 nor AMX)'
    elif device != 'cuda':
        return f'off (not tried on {device})'
    elif not torch.cuda.is_bf16_supported(including_emulation=False):
        return 'off (this GPU computes in float16 only; take AmpOptimWrapper)'
    return 'on'


def use_fused(runner: Runner) -> str:
    """Let the optimizer take one kernel for a whole step."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        return f'off ({type(wrapper).__name__})'
    optimizer = wrapper.optimizer
    if type(optimizer) not in (SGD, Adam, AdamW):
        return f'off ({type(optimizer).__name__} has no fused step)'
    for group in optimizer.param_groups:
        group.update(fused=True, foreach=False)
    match_layout(optimizer)
    return 'on'


def match_layout(optimizer: Optimizer) -> None:
    """Lay out the state of each weight in memory as the weight is, and where it is.

    A fused step on the CPU takes the strides for equal without looking.
    """
    for param, state in optimizer.state.items():
        for key, value in state.items():
            if torch.is_tensor(value):
                like = param if value.shape == param.shape else value
                state[key] = torch.empty_like(
                    like, dtype=value.dtype, device=param.device
                ).copy_(value)

"""A new DistributedDataParallel around the same model."""

from __future__ import annotations

from operator import attrgetter

import torch
from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# What a wrapper was built with, as far as it keeps it.
SETTINGS = (
    'device_ids',
    'output_device',
    'broadcast_buffers',
    'find_unused_parameters',
    'gradient_as_bucket_view',
    'static_graph',
    'bucket_bytes_cap',
)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model itself, without mmengine's wrapper."""
    return model.module if is_model_wrapper(model) else model


def check_wrapper(model: nn.Module) -> None:
    """Raise ValueError for a wrapper that can't follow a change of what trains."""
    if not is_model_wrapper(model):
        return
    if not isinstance(model, DistributedDataParallel) or isinstance(
        model, MMSeparateDistributedDataParallel
    ):
        raise ValueError(
            f'the model is wrapped in {type(model).__name__}, which cannot be told '
            'later what trains; freezing and unfreezing need model_wrapper_cfg='
            "dict(type='MMDistributedDataParallel') or none"
        )


def rewrap(runner: Runner) -> None:
    """Wrap the runner's model anew, so that DDP reduces what trains now.

    DDP looks at ``requires_grad`` once, when it is built. Does nothing to a model
    without a wrapper. As when DDP starts, rank 0's weights and buffers go to all ranks.

    Raises:
        ValueError: The model came to the runner in a wrapper of the user's own, with
            settings that the config does not know.
    """
    old = runner.model
    if not is_model_wrapper(old):
        return
    # The old reducer would go on listening to the gradients.
    old._remove_autograd_hooks()
    # They have been converted, and doing it twice would put new modules in the model.
    sync_bn = runner.cfg.pop('sync_bn', None)
    try:
        new = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), old.module)
    except (ValueError, RuntimeError) as error:
        raise _unknown_wrapper(old, str(error)) from error
    finally:
        if sync_bn is not None:
            runner.cfg.sync_bn = sync_bn
    changed = [
        f'{key}={getattr(old, key)!r}'
        for key in SETTINGS
        if getattr(old, key, None) != getattr(new, key, None)
    ]
    if type(new) is not type(old) or changed:
        raise _unknown_wrapper(old, ', '.join(changed))
    for hook, state in getattr(old, '_comm_hooks', ()):
        new.register_comm_hook(state, hook)
    runner.model = new
    if 'train_step' in vars(old):
        runner._maybe_compile('train_step')


def _unknown_wrapper(wrapper: nn.Module, problem: str) -> ValueError:
    return ValueError(
        f'{type(wrapper).__name__} cannot be built again around the model as it was '
        f'({problem}); give the runner the bare model and write the settings of the '
        'wrapper into model_wrapper_cfg'
    )


def let_gradients_in(runner: Runner) -> None:
    """Let checkpointed modules train although what feeds them is frozen.

    With ``activation_checkpointing = ['backbone.layer2']``, mmengine wraps the forward
    in torch's reentrant checkpoint, which computes no gradient of the weights inside
    when none of the inputs requires one: behind a frozen ``layer1``, ``layer2`` would
    silently not train. So the input is made to require one.
    """
    names = runner.cfg.get('activation_checkpointing') or []
    for name in [names] if isinstance(names, str) else names:
        attrgetter(name)(unwrap(runner.model)).register_forward_pre_hook(_require_grad)


def _require_grad(module: nn.Module, args: tuple) -> tuple:
    floats = [a for a in args if isinstance(a, Tensor) and a.is_floating_point()]
    if (
        floats
        and torch.is_grad_enabled()
        and not any(a.requires_grad for a in floats)
        and any(p.requires_grad for p in module.parameters())
    ):
        first = floats[0].detach().requires_grad_()
        return tuple(first if a is floats[0] else a for a in args)
    return args

"""A backbone's own ``get_layer_depth``."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn


def depth_method(module: nn.Module) -> Callable[[str], tuple[int, int]] | None:
    """``get_layer_depth(name, prefix)`` of a backbone, asked with its own names.

    That of mmpretrain's classifiers takes the name alone, and is not meant.
    """
    method = getattr(module, 'get_layer_depth', None)
    if method is None or len(inspect.signature(method).parameters) < 2:
        return None
    # mmpretrain 1.2.0, ResNet: the method works with this prefix only.
    return lambda name: method(f'backbone.{name}', 'backbone.')


def ask_depths(backbone: nn.Module) -> tuple[dict[str, int], int, list[str]] | None:
    """Depth of each parameter, depth of the head, and parameters without a depth.

    Returns:
        None when the method does not know this variant of its class.

    Raises:
        ValueError: What it returns makes no sense.
    """
    ask, owner = depth_method(backbone), type(backbone).__name__
    depths: dict[str, int] = {}
    numbers: set[int] = set()
    unmatched = []
    for name, _ in backbone.named_parameters():
        try:
            depth, number = ask(name)
        except NotImplementedError:
            # mmpretrain 1.2.0 knows some depths of ResNet, and no RegNet.
            return None
        except (TypeError, ValueError, LookupError):
            unmatched.append(name)
            continue
        if not 0 <= depth < number:
            raise ValueError(
                f'{owner}.get_layer_depth gave {name} the depth {depth} of {number}; '
                f'it must be from 0 (the stem) to {number - 1} (the head), or the rate '
                'would be above the base rate'
            )
        depths[name] = depth
        numbers.add(number)
    if len(numbers) > 1:
        raise ValueError(
            f'{owner}.get_layer_depth gave the numbers of depths {sorted(numbers)}; it '
            'must give the same one for every parameter'
        )
    head = max(numbers, default=2) - 1
    if head > 1 and not unmatched and set(depths.values()) <= {0, head}:
        # mmpretrain 1.2.0, HiViT: the method looks for 'layers', which are 'blocks'.
        return None
    return depths, head, unmatched


def is_convnext(backbone: nn.Module) -> bool:
    """Whether the published ConvNeXt scheme holds: for ours and mmpretrain's."""
    # By name, since mmpretrain must not be imported for this.
    named = any(cls.__name__ == 'ConvNeXt' for cls in type(backbone).__mro__)
    return named and depth_method(backbone) is not None


def convnext_stages(
    backbone: nn.Module,
) -> tuple[dict[str, int], int, list[str]] | None:
    """As :func:`ask_depths`, for the published stage-wise scheme of ConvNeXt.

    All downsampling has the stem's depth, stage i has i from 1 on, and the head has
    the depth of the layer-wise scheme.
    """
    asked = ask_depths(backbone)
    if asked is None:
        return None
    depths, head, unmatched = asked
    for name in depths:
        kind, _, rest = name.partition('.')
        if kind == 'downsample_layers':
            depths[name] = 0
        elif kind == 'stages':
            depths[name] = int(rest.partition('.')[0]) + 1
        else:
            depths[name] = head
    return depths, head, unmatched

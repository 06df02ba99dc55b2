"""A backbone's own ``get_layer_depth``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from plugin.decay.stages import find_stages, has_blocks, is_list, size_of
from plugin.decay.timm_layers import is_timm, timm_layers
from plugin.freezing.find_backbone import is_called_backbone, outermost


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
    """Return whether the published ConvNeXt scheme holds: ours and mmpretrain's."""
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


LAYER_WISE, STAGE_WISE = DECAY_TYPES = ('layer_wise', 'stage_wise')


@dataclass(frozen=True)
class LayerDepths:
    """The depth of every parameter of one backbone.

    Attributes:
        depths: Depth by the backbone's own parameter name; 0 is the stem.
        head: Depth of what follows the backbone. Output norms may have it too.
        source: Where the depths come from, in words for the log.
    """

    depths: dict[str, int]
    head: int
    source: str

    @property
    def num_layers(self) -> int:
        """Layers between the stem and the head, as ``num_layers`` in a config."""
        return self.head - 1


def find_backbones(model: nn.Module) -> dict[str, nn.Module]:
    """The backbones of a model by their prefix (``''`` when it is one itself).

    As :mod:`plugin.freezing.find_backbone` has it; besides, what knows its layers (a
    method ``get_layer_depth(name, prefix)``) is one by any name, and a timm model.

    Raises:
        ValueError: There is none.
    """

    def is_one(path: str, module: nn.Module) -> bool:
        called_one = is_called_backbone(path) and size_of(module) > 0
        return called_one or depth_method(module) is not None or is_timm(module)

    found = outermost(model, nn.Module.named_children, is_one)
    if not found:
        children = ', '.join(name for name, _ in model.named_children())
        raise ValueError(
            f'{type(model).__name__} has no backbone: none of its parts ({children}) '
            'is called one or has a method get_layer_depth(param_name, prefix); name '
            'the attribute `backbone`'
        )
    return {f'{path}.' if path else '': module for path, module in found.items()}


def layer_depths(backbone: nn.Module, decay_type: str = LAYER_WISE) -> LayerDepths:
    """The depth of every parameter of ``backbone``.

    Layer-wise depths are those of its own ``get_layer_depth``; of timm's
    ``group_matcher``; else its blocks are counted. Stage-wise, the stem is 0 and stage
    i is i. ConvNeXt follows the published scheme in both.

    Args:
        backbone: Any module.
        decay_type: ``'layer_wise'`` or ``'stage_wise'``.

    Raises:
        ValueError: The layer of some parameters cannot be determined; they are listed.
    """
    names = [name for name, _ in backbone.named_parameters()]
    found, unplaced = _find(backbone, decay_type, None)
    known = found.depths if found else {}
    unmatched = [name for name in names if name in unplaced or name not in known]
    if unmatched:
        way = '' if decay_type == LAYER_WISE else f' for decay_type={decay_type!r}'
        raise ValueError(
            f'the layers of {len(unmatched)} of the {len(names)} parameters of '
            f'{type(backbone).__name__} are unknown{way}: {_listed(unmatched)}. Give '
            'the class a method get_layer_depth(param_name, prefix) that returns the '
            'depth of a parameter (0 for the stem) and the number of depths (the head '
            "included), and use decay_type='layer_wise'"
        )
    assert found is not None
    return found


_Found = tuple[LayerDepths | None, list[str]]


def _find(backbone: nn.Module, decay_type: str, timm_kwargs: Mapping | None) -> _Found:
    """The depths, and parameters that have none; (None, []) for no way at all."""
    asked = source = None
    if hasattr(backbone, 'depths_by'):
        # A wrapper, which knows what it has put around or into the backbone.
        return backbone.depths_by(decay_type), []
    if decay_type == STAGE_WISE and is_convnext(backbone):
        asked, source = convnext_stages(backbone), "ConvNeXt's published scheme"
    elif decay_type == LAYER_WISE and depth_method(backbone) is not None:
        asked, source = ask_depths(backbone), 'its get_layer_depth'
    elif is_timm(backbone):
        asked = timm_layers(backbone, decay_type == STAGE_WISE, timm_kwargs)
        source = "timm's group_matcher"
    if asked is None:
        asked, source = _count(backbone, decay_type), 'its stages'
    if asked is None:
        return _find_inside(backbone, decay_type)
    depths, head, unplaced = asked
    return LayerDepths(depths, head, source), unplaced


def _count(
    backbone: nn.Module, decay_type: str
) -> tuple[dict[str, int], int, list[str]] | None:
    stages = find_stages(backbone)
    if stages is None:
        return None
    if decay_type == STAGE_WISE:
        depth, head = stages.by_stage, len(stages.blocks) + 1
    else:
        depth, head = stages.by_block, sum(stages.blocks) + 1
    return {n: depth(n) for n in stages.places}, head, list(stages.unplaced)


def _find_inside(backbone: nn.Module, decay_type: str) -> _Found:
    """The depths of the one child that is the backbone proper, as in a wrapper."""
    children = dict(backbone.named_children())
    name = max(children, key=lambda n: size_of(children[n]), default=None)
    if name is None or 2 * size_of(children[name]) <= size_of(backbone):
        return None, []
    timm_kwargs = getattr(backbone, 'timm_kwargs', None)
    found, unplaced = _find(children[name], decay_type, timm_kwargs)
    unplaced = [f'{name}.{n}' for n in unplaced]
    if found is None:
        return None, unplaced
    depths = {f'{name}.{n}': depth for n, depth in found.depths.items()}
    order = list(children)
    before = order[: order.index(name)]
    # What precedes it is a stem; a branch with blocks of its own isn't.
    branches = {
        n
        for n in before
        if _holds_blocks(children[n]) and 10 * size_of(children[n]) > size_of(backbone)
    }
    for n, _ in backbone.named_parameters():
        owner = n.partition('.')[0] if '.' in n else None
        if owner in branches:
            unplaced.append(n)
        elif owner != name:
            depths[n] = 0 if owner is None or owner in before else found.head
    return LayerDepths(depths, found.head, found.source), unplaced


def _holds_blocks(module: nn.Module) -> bool:
    return any(is_list(part) and has_blocks(part) for part in module.modules())


def _listed(names: list[str], limit: int = 40) -> str:
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more

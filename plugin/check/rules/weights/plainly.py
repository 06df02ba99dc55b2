"""Load as mmengine's own loader does, where nothing of ours is imported.

It knows one place for the weights, ``state_dict``, takes a prefix at its word, and
renames nothing. Some backbones load by themselves in their ``init_weights``; those are
built, and do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor, nn

from plugin.check.weight_sources import WeightSource
from plugin.measure.backbone import build
from plugin.weights.files.contents import under
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.matching.fit import best_prefix

Weights = Mapping[str, Tensor]


def raw_weights(address: str) -> dict[str, Tensor]:
    """Return the weights of a file under its own names, as mmengine reads them.

    Raises:
        CheckpointError: It is refused, or is no checkpoint.
        OSError: It can't be read.
    """
    checkpoint = read_checkpoint(address, 'meta')
    held = checkpoint.get('state_dict', checkpoint)
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}


def plain_share(weights: Weights, prefix: str | None, module: nn.Module) -> float:
    """Return the share of a module's parameters that mmengine fills.

    Args:
        weights: From :func:`raw_weights`.
        prefix: Of ``init_cfg``. Without one, mmengine strips ``module.``.
        module: What is filled.
    """
    if prefix is None:
        weights = {re.sub(r'^module\.', '', n): t for n, t in weights.items()}
    else:
        weights = under(weights, prefix)
    sizes = {name: param for name, param in module.named_parameters()}
    total = sum(param.numel() for param in sizes.values())
    filled = sum(
        param.numel()
        for name, param in sizes.items()
        if name in weights and weights[name].shape == param.shape
    )
    return filled / total if total else 1.0


def plain_prefix(weights: Weights, module: nn.Module) -> tuple[str, float] | None:
    """Return the prefix under which mmengine fills most, and the share, if any."""
    found = best_prefix(weights, module)
    if found is None:
        return None
    share = plain_share(weights, found[0] or None, module)
    return (found[0], share) if share else None


def loads_by_itself(module: nn.Module) -> bool:
    """Return whether a class reads its checkpoint in its own ``init_weights``.

    Such code looks for the weights with and without ``backbone.``.
    """
    code = getattr(_own_init_weights(type(module)), '__code__', None)
    readers = {'CheckpointLoader', 'load_checkpoint', '_load_checkpoint'}
    return code is not None and bool(readers & set(code.co_names))


def share_by_itself(
    cfg: Mapping[str, Any], source: WeightSource, scope: str
) -> float | Exception:
    """Return the share that a backbone fills by itself, or what it raises.

    Args:
        cfg: Of the backbone.
        source: Its checkpoint, a file.
        scope: In which its types are looked up.
    """
    module = build({**cfg, '_scope_': cfg.get('_scope_') or scope})
    init = dict(type='Pretrained', checkpoint=source.address)
    if source.prefix is not None:
        init['prefix'] = source.prefix
    module.init_cfg = _Attributes(init)
    filled: set[str] = set()
    original = module.load_state_dict

    def load_state_dict(state_dict: Weights, *args: Any, **kwargs: Any) -> Any:
        result = original(state_dict, *args, **kwargs)
        filled.update(set(module.state_dict()) - set(result.missing_keys))
        return result

    module.load_state_dict = load_state_dict
    try:
        with DefaultScope.overwrite_default_scope(scope):
            _own_init_weights(type(module))(module)
    except Exception as error:
        return error
    sizes = {name: param.numel() for name, param in module.named_parameters()}
    total = sum(sizes.values())
    if not filled:
        # It fills its tensors in another way, which is not counted.
        return 1.0
    return sum(sizes.get(name, 0) for name in filled) / total


class _Attributes(dict):
    """A dict as mmengine's configs are: classes ask it for attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def converting_ways(cfg: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """Yield arguments that make a class convert weights of another project.

    Args:
        cfg: Of the backbone.
        names: What its class takes.
    """
    for name in names:
        if name.startswith('convert') and not cfg.get(name):
            yield name


def _own_init_weights(cls: type) -> Any:
    """Return the ``init_weights`` of a class as it was written."""
    method = getattr(cls, 'init_weights', None)
    return getattr(method, '__wrapped__', method)

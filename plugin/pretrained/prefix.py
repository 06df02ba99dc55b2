"""The prefix under which a checkpoint has the weights of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import Tensor, nn

from plugin.pretrained.checkpoint_contents import under
from plugin.pretrained.fit import Fit, fit

_TRIED = 8


def best_prefix(
    weights: Mapping[str, Tensor], module: nn.Module
) -> tuple[str, Fit] | None:
    """The prefix whose weights cover most of ``module``, and what they cover.

    Args:
        weights: All tensors of a checkpoint.
        module: The model.

    Returns:
        The prefix with its dot, '' for none. Of equals the shortest. None if no weight
        fits under any.
    """
    best = None
    for prefix in _plausible(weights, module):
        found = fit(under(weights, prefix), module)
        if found.loaded and (best is None or found.loaded > best[1].loaded):
            best = prefix, found
            if found.loaded == found.total:
                break
    return best


def _plausible(weights: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Prefixes with names of the model behind them, and those of most weights."""
    wanted = set(module.state_dict())
    fitting, all_ = Counter(), Counter()
    for name, tensor in weights.items():
        parts = name.split('.')
        for i in range(len(parts)):
            prefix = ''.join(f'{part}.' for part in parts[:i])
            if name.removeprefix(prefix) in wanted:
                fitting[prefix] += tensor.numel()
            if i < 4:
                all_[prefix] += tensor.numel()

    def first(sizes: Counter) -> list[str]:
        return sorted(sizes, key=lambda p: (-sizes[p], len(p), p != 'backbone.', p))

    # Foreign names fit nowhere before they are renamed.
    return list(dict.fromkeys([*first(fitting)[:_TRIED], *first(all_)[:_TRIED]]))

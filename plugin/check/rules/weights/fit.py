"""How much of a part of a model a checkpoint would fill, by names and shapes."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor, nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.types import ours_imported
from plugin.check.rules.weights.addresses import is_local, table_of
from plugin.check.rules.weights.plainly import loads_by_itself, raw_weights
from plugin.check.weight_sources import FILE, TIMM, WHOLE, WeightSource
from plugin.libraries import BY_SCOPE, SCOPES
from plugin.weights.audit.report import threshold
from plugin.weights.files.contents import under
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.matching.fit import Fit, best_prefix, fit

Table = Mapping[str, Tensor]


def loaded_share(
    source: WeightSource, table: Table, module: nn.Module, backbone: nn.Module | None
) -> tuple[float | None, float]:
    """Return the share that ``source`` fills, and the least that counts as loaded.

    Args:
        source: A checkpoint of the config.
        table: Its weights.
        module: What it is for.
        backbone: The backbone in ``module``.

    Returns:
        None for a share that is not known.
    """
    if source.way == WHOLE:
        return _by_name(source, table, module, backbone), threshold(None)
    share = _best_fit(source, table, module).share
    if source.way == FILE:
        # timm loads whatever it can, by renamings that each of its families has.
        child = type(getattr(module, 'timm_model', module)).__module__
        renames = hasattr(sys.modules.get(child), 'checkpoint_filter_fn')
        foreign = best_prefix(table, module) is None
        return (None if not share and renames and foreign else share), 1e-9
    return share, threshold(source.min_loaded)


def fitting_prefix(
    source: WeightSource, table: Table, module: nn.Module, backbone: nn.Module | None
) -> tuple[str, float] | None:
    """Return the prefix by which the weights fit, and the share; None if none does."""
    if source.way == WHOLE:
        if backbone is None:
            return None
        module = backbone
    elif loads_by_itself(module):
        return None
    found = best_prefix(table, module)
    if found is None or found[1].share < threshold(source.min_loaded):
        return None
    return found[0], found[1].share


def mismatched(source: WeightSource, table: Table, module: nn.Module) -> str | None:
    """Return a weight of ``module`` that has another size there, if there is one."""
    if source.way in (WHOLE, FILE):
        return None
    own = module.state_dict()
    names = _best_fit(source, table, module).mismatched
    return next((name for name in names if own[name].ndim > 1), None)


def sibling_of(address: str, module: nn.Module) -> str | None:
    """Return the address in torchvision of the variant that ``module`` is."""
    scheme, _, name = address.partition('://')
    if scheme != 'torchvision':
        return None
    family = re.match(r'[a-z]+', name)[0]
    for other in get_torchvision_models():
        if other.startswith(family) and '.' not in other:
            sibling = f'{scheme}://{other}'
            table = table_of(sibling)
            if table and fit(table, module).share > 0.99:
                return sibling
    return None


def is_loaded_plainly(checked: CheckedConfig, source: WeightSource) -> bool:
    """Return whether mmengine's own loader reads a checkpoint: nothing imports ours."""
    if source.way in (WHOLE, FILE, TIMM) or checked.scope not in SCOPES:
        return False
    # What a config in the pure-Python style imports isn't kept in it.
    imported = ours_imported(checked, checked.scope)
    return not imported and not getattr(checked.cfg, '_imported_names', None)


def needs_the_audit(
    checked: CheckedConfig, source: WeightSource, table: Table, module: nn.Module
) -> bool:
    """Return whether only our loading reads a checkpoint, and nothing imports it."""
    if not is_loaded_plainly(checked, source):
        return False
    if source.address.startswith('timm://') or source.address.endswith('.safetensors'):
        return True
    if loads_by_itself(module):
        return False  # It may well rename by itself, as mmdet's Swin does.
    return _best_fit(source, table, module).origin is not None


def task_package(checked: CheckedConfig) -> str:
    """Return the package of ours for the config's library."""
    return BY_SCOPE[checked.scope].package


def imports_of(checked: CheckedConfig) -> list[str]:
    """Return what ``custom_imports`` of the config imports."""
    imports = (checked.cfg.get('custom_imports') or {}).get('imports') or []
    return [imports] if isinstance(imports, str) else list(imports)


def _best_fit(source: WeightSource, table: Table, module: nn.Module) -> Fit:
    prefixes = [source.prefix or '']
    if loads_by_itself(module):
        prefixes += ['', 'backbone.']
    chosen = [under(table, prefix) for prefix in dict.fromkeys(prefixes)]
    if source.prefix and not chosen[0] and is_local(source.address):
        # It may name a wrapper too, such as `module.`, which the table is without.
        chosen.append(under(raw_weights(source.address), source.prefix))
    return max((fit(one, module) for one in chosen), key=lambda found: found.loaded)


def _by_name(
    source: WeightSource, table: Table, module: nn.Module, backbone: nn.Module | None
) -> float:
    """Match as mmengine's ``load_from``: equal names and shapes, and no renaming.

    A detector of another kind may have only its backbone in common; that counts.
    """
    if is_local(source.address):
        checkpoint = read_checkpoint(source.address, 'meta')
        table = checkpoint.get('state_dict', checkpoint)
    table = {re.sub(r'^module\.', '', n): t for n, t in table.items()}
    parts = [module]
    names = dict(module.named_parameters())
    if backbone is not None and len(list(backbone.parameters())):
        parts.append([n for n in names if '.backbone.' in f'.{n}'])
    shares = []
    for part in parts:
        chosen = names if part is module else part
        total = sum(names[n].numel() for n in chosen)
        there = sum(
            names[n].numel()
            for n in chosen
            if isinstance(table.get(n), Tensor) and table[n].shape == names[n].shape
        )
        shares.append(there / total if total else 0.0)
    return max(shares)

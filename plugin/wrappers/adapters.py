"""Adapters of Hugging Face's peft in a module, with answers that a user can act on.

peft is imported when the first function is called: it takes seconds.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

BASE = '.base_layer'
"""Name in which peft puts the parameters of a layer that it adapts."""

# What peft adds is named by its kind and by the adapter: `.lora_A.default.weight`.
_ADAPTER = re.compile(r'\.\w+\.default(?=\.|$)')
# Kinds of layers that most adapters can be put into.
_ADAPTABLE = (nn.Linear, nn.Conv2d)


def inject(module: nn.Module, peft_config: Mapping[str, Any]) -> None:
    """Put adapters into ``module``, in place; its class and attributes stay.

    Args:
        module: A backbone.
        peft_config: ``peft_type`` and the arguments of its config in peft, such as
            ``dict(peft_type='LORA', r=8, target_modules=['qkv'])``.

    Raises:
        ValueError: There is no such kind of adapter or argument, or
            ``target_modules`` match nothing that an adapter can be put into.
        ImportError: peft is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            f'plugin.PEFTBackbone needs peft ({error}); pip install '
            "'mm-backbone-plugin[peft]', or pip install peft"
        ) from error
    if peft_config.get('modules_to_save'):
        raise ValueError(
            f'peft_config.modules_to_save={peft_config["modules_to_save"]!r} makes '
            'copies of whole modules, which have no place in a backbone; leave it out, '
            'or train the backbone itself from some epoch on by an unfreeze hook'
        )
    config = _config(peft, peft_config)
    targets = peft_config.get('target_modules')
    try:
        peft.inject_adapter_in_model(config, module)
    except ValueError as error:
        if 'not found in the base model' in str(error):
            raise ValueError(_no_match(module, targets)) from None
        if 'divisible by groups' in str(error):
            raise ValueError(
                f'peft_config.r={peft_config.get("r")} does not suit a convolution '
                f'that target_modules={targets!r} matches: {error} Depthwise '
                'convolutions take no adapter of this rank; name the pointwise ones'
            ) from None
        raise ValueError(f'peft_config: {error}') from error


def adapted_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of peft in ``module``, by name."""
    if 'peft' not in sys.modules:
        return {}  # Nobody has put any in, and the import takes seconds.
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }


@contextmanager
def without_adapters(module: nn.Module) -> Iterator[None]:
    """Put the plain layers in the place of the adapted ones meanwhile.

    Names and classes are then those of the module before, and the tensors are the
    same, so that whatever loads or initializes them does not see the adapters.
    """
    layers = adapted_layers(module)
    places = []
    for name, layer in layers.items():
        owner, _, leaf = name.rpartition('.')
        places.append((module.get_submodule(owner), leaf, layer))
    for parent, leaf, layer in places:
        parent._modules[leaf] = layer.get_base_layer()
    try:
        yield
    finally:
        for parent, leaf, layer in places:
            parent._modules[leaf] = layer


def refuse_other_adapters(
    params: Mapping[str, Tensor], loaded: Mapping[str, Tensor]
) -> None:
    """Raise where the adapters of a checkpoint are not those of a model.

    mmengine would load what has the same name and shape, and warn of the rest.

    Args:
        params: Of a backbone with adapters.
        loaded: What a checkpoint has for it; one without adapters is left alone.

    Raises:
        ValueError: Adapters in other layers, or of other shapes.
    """
    mine, theirs = (
        {name: tensor for name, tensor in tensors.items() if _ADAPTER.search(name)}
        for tensors in (params, loaded)
    )
    if theirs and set(mine) != set(theirs):
        have, want = (
            ', '.join(sorted({_ADAPTER.split(name)[0] for name in names})[:3])
            for names in (theirs, mine)
        )
        raise ValueError(
            f'this checkpoint has {len(theirs)} parameters of adapters, in layers such '
            f'as {have}; the config has {len(mine)}, in layers such as {want}; write '
            'peft_config.target_modules and the backbone with which it was trained'
        )
    for name, tensor in theirs.items():
        if tensor.shape != mine[name].shape:
            raise ValueError(
                f'{name} is {tuple(tensor.shape)} in this checkpoint and '
                f'{tuple(mine[name].shape)} by the config; write the peft_config.r and '
                'the backbone with which it was trained'
            )


def merge(module: nn.Module) -> None:
    """Add the adapters to the weights that they adapt, and take them out.

    Raises:
        ValueError: A kind of adapter that cannot be merged.
    """
    for name, layer in adapted_layers(module).items():
        try:
            layer.merge(safe_merge=True)
        except (NotImplementedError, ValueError, AttributeError) as error:
            raise ValueError(f'the adapter of {name} cannot be merged: {error}') from (
                error
            )
        owner, _, leaf = name.rpartition('.')
        module.get_submodule(owner)._modules[leaf] = layer.get_base_layer()


def _config(peft: Any, given: Mapping[str, Any]) -> Any:
    kinds = {kind.value: kind for kind in peft.PeftType}
    arguments = {key: value for key, value in given.items() if key != '_scope_'}
    kind = arguments.get('peft_type')
    if kind not in kinds:
        raise ValueError(
            f'peft_config.peft_type={kind!r} is no kind of adapter; peft has '
            f'{", ".join(sorted(kinds))}, of which LORA is the common one'
        )
    # A list of a config is a ConfigDict's own type.
    if isinstance(arguments.get('target_modules'), (list, tuple)):
        arguments['target_modules'] = list(arguments['target_modules'])
    try:
        return peft.get_peft_config(arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f'peft_config={dict(given)}: {error}') from error


def _no_match(module: nn.Module, targets: Any) -> str:
    """Say what there is, since peft lists nothing."""
    count = Counter(
        name.rpartition('.')[2]
        for name, layer in module.named_modules()
        if isinstance(layer, _ADAPTABLE) and getattr(layer, 'groups', 1) == 1
    )
    named = [name for name in count if not name.isdigit()] or list(count)
    common = sorted(named, key=lambda name: -count[name])[:8]
    shown = ', '.join(f'{name!r} ({count[name]} layers)' for name in common)
    return (
        f'peft_config.target_modules={targets!r} match no layer of '
        f'{type(module).__name__}; it has {shown}'
    )

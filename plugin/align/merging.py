"""A model trained with adapters as one without: the adapters in the weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.registry import MODELS, DefaultScope

from plugin.align.conversion import write_weights
from plugin.config.backbone import backbone_place
from plugin.config.names import load_config
from plugin.weights.files.contents import weights_of
from plugin.weights.files.download import sha256_of
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.files.whole_file import there_already, whole_file
from plugin.wrappers import PEFTBackbone
from plugin.wrappers.adapters import adapted_layers, merge


@dataclass(frozen=True)
class Merged:
    """The result of merging adapters.

    Attributes:
        layers: How many layers had an adapter.
        backbone: Where the config has the backbone without adapters.
    """

    layers: int
    backbone: str


def merge_adapters(
    source: str, out: str | os.PathLike, config: str, force: bool = False
) -> Merged:
    """Write the weights of a whole model, with the adapters of its backbone merged.

    Args:
        source: A checkpoint of the training.
        out: A .pth or a .safetensors file.
        config: The config of the training, whose backbone is ``plugin.PEFTBackbone``
            or has it inside, as a ``plugin.PyramidBackbone``.
        force: Replace ``out``.

    Raises:
        ValueError: The config has no such backbone, the weights are of another model,
            or a kind of adapter cannot be merged.
        OSError: A file can't be read or written.
    """
    out = Path(out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise ValueError(f'{out} must end in .pth or .safetensors')
    if os.path.lexists(out) and not force:
        raise there_already(out)
    cfg = load_config(config)
    place = backbone_place(cfg)
    key, entry = place or ('nowhere', {})
    scope = entry.get('_scope_')
    arguments = {k: v for k, v in entry.items() if k != '_scope_'}
    with DefaultScope.overwrite_default_scope(scope):
        # With its own weights: a checkpoint need not hold what their file has.
        module = MODELS.build(arguments)
    inside_of = [n for n, m in module.named_modules() if isinstance(m, PEFTBackbone)]
    if not inside_of:
        raise ValueError(
            f'{config} has {entry.get("type")} at {key}; --merge-adapters is for a '
            'config whose backbone is plugin.PEFTBackbone, or has it inside'
        )
    prefix = key.removeprefix('model.') + '.'
    weights = weights_of(read_checkpoint(source))
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    missing = module.load_state_dict(inside, strict=False).missing_keys
    if missing:
        raise ValueError(
            f'{source} lacks {len(missing)} tensors of {key}, such as '
            f'{prefix}{missing[0]}; name a checkpoint of this training'
        )
    wrapper = module.get_submodule(inside_of[0])
    layers = len(adapted_layers(wrapper.backbone))
    merge(wrapper.backbone)
    # Without the wrapper, whose state dict leaves out what a file has.
    if module is wrapper:
        module = wrapper.backbone
    else:
        module.set_submodule(inside_of[0], wrapper.backbone)
    merged = {name: t for name, t in weights.items() if not name.startswith(prefix)}
    for name, tensor in module.state_dict().items():
        merged[f'{prefix}{name}'] = tensor.contiguous()
    facts = {'source': source, 'config': config, 'merged_layers': str(layers)}
    if Path(source).expanduser().is_file():
        facts['source_sha256'] = sha256_of(Path(source).expanduser())
    with whole_file(out, replace=force) as partial:
        write_weights(partial, merged, facts)
    return Merged(layers, '.'.join(filter(None, [key, inside_of[0], 'backbone'])))

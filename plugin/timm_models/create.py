"""Building timm models, with answers that a user can act on."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from plugin.nearest import CLOSE, nearest

# What makes a model take images of any size, where a family can be built for it: Swin,
# SwinV2 and SwinV2-CR take all three, ViT, DeiT and EVA the last.
#
# always_partition keeps the pretrained windows, and shifts them, at every size. Without
# it a Swin built for 224 pixels never shifts those of its last stage.
ANY_SIZE = dict(strict_img_size=False, always_partition=True, dynamic_img_size=True)

_REFUSAL = re.compile(
    r'(\w+)(?:\.__init__)?\(\) got (?:an )?(?:unexpected|multiple values for) '
    r"keyword argument(?:\(s\):)? (\[.*?\]|'\w+')"
)


def check_model_name(model_name: str) -> None:
    """Raise ValueError with the nearest names unless timm has ``model_name``.

    Args:
        model_name: ``arch`` or ``arch.tag``. One with a source, such as
            ``hf-hub:...``, is left to timm.
    """
    from timm.models import get_arch_pretrained_cfgs, is_model, list_models

    if ':' in model_name:
        return
    arch, _, tag = model_name.partition('.')
    if not is_model(arch):
        raise ValueError(
            f"model_name='{model_name}' is not a timm model; the nearest names are "
            f'{", ".join(nearest(arch, list_models()))}'
        )
    tags = [name.partition('.')[2] for name in get_arch_pretrained_cfgs(arch)]
    if tag and tags and tag not in tags:
        raise ValueError(
            f"model_name='{model_name}' asks for weights that timm lacks; it has "
            f'{", ".join(f"{arch}.{t}" for t in sorted(tags))}'
        )


def create(
    model_name: str,
    kwargs: Mapping[str, Any],
    droppable: Collection[str] = (),
    **wrapper: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """A timm model, and those of ``kwargs`` that it took.

    timm does not declare which model takes which argument. One that is given too many
    refuses before it allocates anything, and is asked again without the droppable ones.

    Args:
        model_name: A name that :func:`check_model_name` lets pass.
        kwargs: Arguments of ``timm.create_model``.
        droppable: Names in ``kwargs`` that the model need not take.
        **wrapper: ``features_only``, ``out_indices``, ``pretrained`` and the like.

    Raises:
        ValueError: The model does not take one of ``kwargs``.
    """
    import timm

    kwargs = dict(kwargs)
    while True:
        try:
            return timm.create_model(model_name, **wrapper, **kwargs), kwargs
        except TypeError as error:
            found = _REFUSAL.search(str(error))
            refused = (
                set(re.findall(r"'(\w+)'", found[2])) & set(kwargs) if found else ()
            )
            if not refused:
                raise
            for name in sorted(refused):
                if name not in droppable:
                    raise ValueError(_advice(model_name, name, found[1])) from None
                del kwargs[name]


def _advice(model_name: str, argument: str, cls: str) -> str:
    if argument == 'img_size':
        return f'{model_name} is not built for a size; leave img_size out'
    if argument == 'drop_path_rate':
        return f'{model_name} has no stochastic depth; leave drop_path_rate out'
    if argument == 'in_chans':
        return f'{model_name} takes images of 3 channels only; leave in_channels out'
    message = f"{model_name} does not take '{argument}', which is in timm_kwargs"
    allowed = _parameters(model_name, cls)
    near = nearest(argument, allowed, at_least=CLOSE)
    if near:
        return f'{message}; did you mean {" or ".join(near)}?'
    return f'{message}; it takes {", ".join(allowed)}' if allowed else message


def _parameters(model_name: str, cls: str) -> list[str]:
    """Names of what the class of a model takes, as far as its signature shows them."""
    from timm.models import is_model, model_entrypoint

    arch = model_name.partition('.')[0]
    if not is_model(arch):
        return []
    module = sys.modules[model_entrypoint(arch).__module__]
    found = getattr(module, cls, None)
    if found is None:
        return []
    parameters = inspect.signature(found).parameters.values()
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]

"""Names that other projects give to the same weights, put into OpenMMLab's.

A convention is recognised by the names in a checkpoint, never by its file name. What
it gives is only a proposal: :mod:`plugin.pretrained.fit` takes the one that covers
most of the model, and the checkpoint as it is where that does as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Convention:
    """One project's names for one family.

    Attributes:
        origin: Whose names they are, for messages: ``"timm's ConvNeXt"``.
        marks: Patterns; each must match the beginning of a name in the checkpoint.
        rename: Gives the weights under OpenMMLab's names.
    """

    origin: str
    marks: tuple[str, ...]
    rename: Callable[[Weights], Weights]

    def recognises(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether the names are those of this convention."""
        return all(any(re.match(m, name) for name in weights) for m in self.marks)


def rules(*pairs: tuple[str, str | Callable | None]) -> Callable[[Weights], Weights]:
    """A renaming by regular expressions, applied to each name one after another.

    Args:
        *pairs: Pattern and replacement, as ``re.sub`` takes them. None drops the
            weight.
    """

    def rename(weights: Weights) -> Weights:
        renamed = {}
        for name, tensor in weights.items():
            for pattern, replacement in pairs:
                if replacement is None:
                    if re.search(pattern, name):
                        break
                else:
                    name = re.sub(pattern, replacement, name)
            else:
                renamed[name] = tensor
        return renamed

    return rename


def proposals(weights: Weights) -> Iterator[tuple[str, Weights]]:
    """The weights under OpenMMLab's names, for each convention that they may be in.

    Yields:
        Whose names they were, and the weights.
    """
    from plugin.pretrained.convnext_names import CONVNEXT
    from plugin.pretrained.mobilenet_names import MOBILENET
    from plugin.pretrained.resnet_names import RESNET
    from plugin.pretrained.swin_names import SWIN
    from plugin.pretrained.vit_names import VIT, VIT_FORMS

    for convention in (*CONVNEXT, *MOBILENET, *RESNET, *SWIN, *VIT):
        if not convention.recognises(weights):
            continue
        renamed = convention.rename(weights)
        yield convention.origin, renamed
        for form in VIT_FORMS:
            if form.recognises(renamed):
                yield convention.origin, form.rename(renamed)
    for form in VIT_FORMS:
        if form.recognises(weights):
            yield form.origin, form.rename(weights)

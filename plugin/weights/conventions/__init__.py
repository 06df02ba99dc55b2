"""Names that other projects give to the same weights, put into OpenMMLab's.

A convention is recognised by the names in a checkpoint, never by its file name. What
it gives is only a proposal: :mod:`plugin.weights.matching.fit` takes the one that
covers most of the model, and the checkpoint as it is where that does as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from torch import Tensor

from plugin.weights.conventions.convention import Convention, Weights


def proposals(weights: Weights) -> Iterator[tuple[str, Weights]]:
    """Yield the weights under OpenMMLab's names, for each convention that may fit.

    Yields:
        Whose names they were, and the weights.
    """
    conventions, forms = _known()
    for convention in conventions:
        if not convention.recognises(weights):
            continue
        renamed = convention.rename(weights)
        yield convention.origin, renamed
        for form in forms:
            if form.recognises(renamed):
                yield convention.origin, form.rename(renamed)
    for form in forms:
        if form.recognises(weights):
            yield form.origin, form.rename(weights)


def origin_of(weights: Mapping[str, Tensor]) -> str | None:
    """Return whose names the weights have, as the first of :func:`proposals` has it.

    Nothing is renamed for it.
    """
    for convention in chain(*_known()):
        if convention.recognises(weights):
            return convention.origin
    return None


def _known() -> tuple[tuple[Convention, ...], tuple[Convention, ...]]:
    """Return the conventions, and the forms of a ViT that each may be in besides."""
    from plugin.weights.conventions.convnext import CONVNEXT
    from plugin.weights.conventions.efficientnet import EFFICIENTNET
    from plugin.weights.conventions.mobilenet import MOBILENET
    from plugin.weights.conventions.resnet import RESNET
    from plugin.weights.conventions.swin import SWIN
    from plugin.weights.conventions.vit import VIT, VIT_FORMS

    conventions = (
        *CONVNEXT,
        *EFFICIENTNET,
        *MOBILENET,
        *RESNET,
        *SWIN,
        *VIT,
    )
    return conventions, VIT_FORMS


def timm_proposals(weights: Weights) -> Iterator[tuple[str, Weights]]:
    """Yield the weights under timm's names, for each convention that they may be in.

    Yields:
        Whose names they were, and the weights.
    """
    from plugin.weights.conventions.efficientnet import EFFICIENTNET_IN_TIMM
    from plugin.weights.conventions.foundation import FOUNDATION

    for convention in (*EFFICIENTNET_IN_TIMM, *FOUNDATION):
        if convention.recognises(weights):
            yield convention.origin, convention.rename(weights)


def eps_of(origin: str) -> float | None:
    """Return the eps of the batch norms in the models that have such names.

    None where it does not matter: models of that shape have the same, or no such norm.
    """
    from plugin.weights.conventions.efficientnet import EFFICIENTNET

    known = {convention.origin: convention.eps for convention in EFFICIENTNET}
    return known.get(origin)

"""A config that has been drafted, built without memory and run once."""

from __future__ import annotations

import inspect
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from plugin.config.packages import searched_once
from plugin.measure.build import build_model

_SIDE = 256


@dataclass(frozen=True)
class Trial:
    """Result of a trial.

    Attributes:
        cfg: The config, as it is when read.
        backbone: As built, on the meta device where that is possible.
        without_gradient: Trainable parameters of the backbone that no head depends on.
    """

    cfg: Config
    backbone: nn.Module
    without_gradient: tuple[str, ...]

    @property
    def batch_norm(self) -> bool:
        return any(isinstance(m, _BatchNorm) for m in self.backbone.modules())

    @property
    def layer_norm(self) -> bool:
        """Return whether it normalizes as transformers do, and never over the batch."""
        modules = list(self.backbone.modules())
        named = any('LayerNorm' in type(m).__name__ for m in modules)
        return named and not self.batch_norm

    @property
    def other_names(self) -> tuple[str, ...]:
        """Last parts of the names of parameters beside weight and bias."""
        names = (name for name, _ in self.backbone.named_parameters())
        leaves = (name.rpartition('.')[2] for name in names)
        return tuple(dict.fromkeys(n for n in leaves if n not in ('weight', 'bias')))


def try_out(text: str) -> Trial:
    """Build and run the model of a config.

    Args:
        text: Of the config, whose ``_base_`` is absolute or of a package.

    Raises:
        ValueError: It can't be built or run; the message is the library's.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'drafted.py'
        path.write_text(text)
        with searched_once():
            cfg = Config.fromfile(str(path))
    scope = cfg.get('default_scope', 'mmengine')
    try:
        model = build_model(cfg)
        # SyncBN trains on a GPU only; `train` is where backbones freeze.
        model.train()
        model.eval()
        with DefaultScope.overwrite_default_scope(scope):
            outputs = _run(model)
    except Exception as error:
        raise ValueError(_reason(error)) from error
    reached = _behind(outputs)
    without = tuple(
        name
        for name, param in model.backbone.named_parameters()
        if param.requires_grad and param not in reached
    )
    return Trial(cfg, model.backbone, without)


def _run(model: nn.Module) -> list[Tensor]:
    """Return what a loss is computed from, or what all of that depends on."""
    param = next(model.parameters())
    image = torch.zeros(1, 3, _SIDE, _SIDE, device=param.device)
    features = model.extract_feat(image)
    heads = [getattr(model, name, None) for name in ('decode_head', 'auxiliary_head')]
    parts = [
        part
        for head in heads
        if head is not None
        for part in (head if isinstance(head, nn.ModuleList) else [head])
    ]
    outputs = [part(features) for part in parts if _takes_features_alone(part)]
    return list(_tensors(outputs if len(outputs) == len(parts) > 0 else features))


def _takes_features_alone(head: nn.Module) -> bool:
    """Return whether it wants no output of another head and no ground truth."""
    parameters = list(inspect.signature(head.forward).parameters.values())
    return all(p.default is not p.empty for p in parameters[1:])


def _reason(error: Exception) -> str:
    """Return what a library says, without its hints, or where it said nothing."""
    text = (str(error).strip().splitlines() or [''])[0].partition('. Please')[0]
    text = text.strip('\'"')[:300]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f'in {Path(frame.filename).name}, line {frame.lineno}'
    return f'{type(error).__name__} {place}' + (f': {text}' if text else '')


def _tensors(value: object) -> Iterator[Tensor]:
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _tensors(child)


def _behind(outputs: Iterable[Tensor]) -> set[Tensor]:
    """The leaves that the outputs depend on."""
    seen, found = set(), set()
    todo = [output.grad_fn for output in outputs]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        # Only nodes that accumulate the gradient of a leaf have a variable.
        if hasattr(node, 'variable'):
            found.add(node.variable)
        todo.extend(parent for parent, _ in node.next_functions)
    return found

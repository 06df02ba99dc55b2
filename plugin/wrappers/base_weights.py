"""Weights that a checkpoint need not hold, because a file of the config has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.package_files import PACKAGE, in_package
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.initializing import unwatched
from plugin.weights.matching.fit import fit


@dataclass(frozen=True)
class BaseFile:
    """The file that a backbone starts from.

    Attributes:
        path: As the config has it.
        prefix: Of the backbone's names in it.
    """

    path: str
    prefix: str | None = None

    @property
    def place(self) -> Path:
        """Return where it is.

        Raises:
            OSError: No such package is installed.
        """
        if self.path.startswith(PACKAGE):
            return in_package(self.path)
        return Path(self.path).expanduser()

    def digest(self) -> str:
        """Return its SHA-256, in hexadecimal.

        Raises:
            OSError: It is not there.
        """
        digest = hashlib.sha256()
        with self.place.open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return what it has for ``module``, under the module's names."""
        with unwatched():
            weights = under(weights_of(read_checkpoint(self.path)), self.prefix)
        return dict(fit(weights, module).tensors)


def base_file(backbone: Mapping[str, Any]) -> BaseFile | None:
    """Return the local file that the config of a backbone names.

    Args:
        backbone: Its entry in the config.

    Returns:
        None where there is none: random weights, timm's own, or an address, of which
        nobody knows what it will hold tomorrow.
    """
    if backbone.get('checkpoint_path'):
        found = BaseFile(backbone['checkpoint_path'])
    else:
        given = backbone.get('init_cfg') or []
        entries = [given] if isinstance(given, Mapping) else given
        names = [e for e in entries if e.get('type') == 'Pretrained']
        if len(names) != 1 or not isinstance(names[0].get('checkpoint'), str):
            return None
        found = BaseFile(names[0]['checkpoint'], names[0].get('prefix'))
    try:
        return found if found.place.is_file() else None
    except FileNotFoundError:
        return None  # The loader says which package is missing.


def unchanged(module: nn.Module, file: BaseFile) -> frozenset[str]:
    """Return the parameters of ``module`` that are just what ``file`` holds."""
    theirs = file.tensors(module)
    return frozenset(
        name
        for name, param in module.named_parameters()
        if name in theirs and torch.equal(theirs[name].to(param), param.detach())
    )


def is_average(param: Tensor, original: Tensor) -> bool:
    """Return whether a parameter is another one, but for the rounding of sums."""
    same = torch.allclose(param, original.to(param), rtol=1e-4, atol=1e-7)
    return not param.requires_grad and same


def sums(param: Tensor) -> tuple[float, float]:
    """Return what shows that somebody has written into a parameter after all."""
    values = param.detach().double()
    return values.sum().item(), values.square().sum().item()


def to_tensor(facts: Mapping[str, str]) -> Tensor:
    """Return a few facts as bytes, since a state dict is of tensors."""
    text = json.dumps(dict(facts)).encode()
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def from_tensor(tensor: Tensor) -> dict[str, str]:
    """Return the facts of :func:`to_tensor`."""
    return json.loads(bytes(tensor.cpu().tolist()).decode())

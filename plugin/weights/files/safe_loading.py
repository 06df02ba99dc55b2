"""Loading through mmengine, with torch's safe loader and with no way round it.

mmengine 0.10.7 doesn't say ``weights_only``. Since torch 2.6 that refuses mmengine's
own checkpoints, and three ways past the safe loader stay open: ``http(s)://`` goes
through torch.hub, whose default is still ``weights_only=False``, and so do the schemes
built on it; the environment variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` turns every
default off; and resuming executes the config text that the file carries.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass

import mmengine.runner.checkpoint as theirs
import mmengine.runner.runner as their_runner
import torch
from mmengine.runner import CheckpointLoader, Runner

from plugin.weights import upstream
from plugin.weights.files import holding, loaders
from plugin.weights.files.package_files import PACKAGE
from plugin.weights.files.refusal import CheckpointError

__all__ = [
    'REPLACEMENTS',
    'CheckpointError',
    'Replacement',
    'allow_mmengine_checkpoints',
    'disallow_mmengine_checkpoints',
]


@dataclass(frozen=True)
class Replacement:
    """An attribute of another package, and what is put in its place.

    Attributes:
        owner: The module or the class.
        name: The attribute's name.
        make: Takes the original and returns the replacement; nothing else happens.
        why: What the original does, and in which version it was read.
    """

    owner: object
    name: str
    make: Callable[[Callable], Callable]
    why: str


REPLACEMENTS = (
    Replacement(
        CheckpointLoader,
        'load_checkpoint',
        holding.held_load_checkpoint,
        'mmengine 0.10.7 calls the loader of a scheme as it is, without weights_only',
    ),
    Replacement(
        theirs,
        'load_from_http',
        lambda _: loaders.load_from_http,
        'mmengine 0.10.7: torchvision:// and openmmlab:// call it directly, and it '
        'unpickles anything and keeps half a download',
    ),
    Replacement(
        theirs,
        '_load_checkpoint',
        holding.held_weights,
        'mmengine 0.10.7 stumbles over a file that holds no dict, without naming it',
    ),
    Replacement(
        their_runner,
        '_load_checkpoint',
        holding.held_weights,
        'the same, imported by name',
    ),
    Replacement(
        Runner,
        'resume',
        holding.held_resume,
        'mmengine 0.10.7 resumes from the name in an empty last_checkpoint, and from '
        'files of weights alone, until a key is missing',
    ),
    Replacement(
        torch,
        'load',
        holding.held_torch_load,
        "loaders of a user's schemes and some of mmengine's call it; other calls are "
        'passed on as they came',
    ),
)
"""Everything that :func:`allow_mmengine_checkpoints` replaces outside of a table."""

# mmengine's own loader, the prefixes that it has, and what serves them instead.
_LOADERS = (
    (theirs.load_from_local, loaders.load_from_local),
    (theirs.load_from_http, loaders.load_from_http),
    (theirs.load_from_ceph, loaders.load_from_ceph),
)
_SCHEMES = {
    'timm://': loaders.load_from_timm,
    'hf-hub:': loaders.load_from_hf_hub,
    'hf_hub:': loaders.load_from_hf_hub,
    PACKAGE: loaders.load_from_package,
}

_lock = threading.RLock()
# What was put where, and what had been there: attributes, and entries of the table.
_attributes: list[tuple[Replacement, object, object]] = []
_entries: dict[str, tuple[Callable, Callable | None]] = {}


def allow_mmengine_checkpoints() -> None:
    """Let everything that loads through mmengine load its checkpoints, and safely.

    ``load_from``, ``resume`` and ``init_cfg`` are held to torch's weights-only
    unpickler, whatever the scheme, and answer with one :class:`CheckpointError` where
    a file is refused or unreadable. What changes: :data:`REPLACEMENTS`, mmengine's own
    loaders in ``CheckpointLoader``'s table of schemes, and new ones for ``timm://``,
    ``hf-hub:`` and ``package://``. A loader that somebody else has registered stays as
    it is; what it loads is held as well. Doing it again is harmless.

    ``torch.load`` outside of mmengine, torch's list of safe objects and the environment
    are not changed.

    Raises:
        RuntimeError: torch is older than 2.6.
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        raise RuntimeError(
            f'torch {torch.__version__} is installed, but plugin needs torch >= 2.6: '
            "older ones can't load mmengine's checkpoints safely; "
            'pip install -U torch torchvision'
        )
    with _lock:
        if _attributes:
            return
        for prefix, loader in upstream.schemes().items():
            for original, ours in _LOADERS:
                if loader is original:
                    _entries[prefix] = ours, original
        for prefix, ours in _SCHEMES.items():
            if prefix not in upstream.schemes():
                _entries[prefix] = ours, None
        for prefix, (ours, _) in _entries.items():
            CheckpointLoader.register_scheme(prefix, ours, force=True)
        for replacement in REPLACEMENTS:
            original = inspect.getattr_static(replacement.owner, replacement.name)
            if isinstance(original, classmethod):
                new = classmethod(replacement.make(original.__func__))
            else:
                new = replacement.make(original)
            setattr(replacement.owner, replacement.name, new)
            _attributes.append((replacement, original, new))


def disallow_mmengine_checkpoints() -> None:
    """Put everything back that :func:`allow_mmengine_checkpoints` has replaced.

    What somebody else has replaced since is left to them.
    """
    with _lock:
        while _attributes:
            replacement, original, new = _attributes.pop()
            owner, name = replacement.owner, replacement.name
            if inspect.getattr_static(owner, name) is new:
                setattr(owner, name, original)
        schemes = upstream.schemes()
        for prefix, (ours, original) in _entries.items():
            if schemes.get(prefix) is not ours:
                continue
            if original is None:
                del schemes[prefix]
            else:
                schemes[prefix] = original
        _entries.clear()

"""Registering our classes under their plain names in a downstream library."""

from __future__ import annotations

from importlib import import_module

_HINT = '`python -m plugin doctor` says what to install'

try:
    from plugin import registry as ours
    from plugin.weights import patches
except ModuleNotFoundError as error:
    # pip installs neither mmengine nor mmcv with this package; see pyproject.toml.
    raise ModuleNotFoundError(f'{error}; {_HINT}', name=error.name) from error

KINDS = ('MODELS', 'HOOKS', 'OPTIM_WRAPPER_CONSTRUCTORS')


def publish(library: str) -> None:
    """Make ``type='ConvNeXt'`` work under ``library``'s scope, and so on for all.

    The library's own modules are imported first. A name that the library itself
    owns is left alone there, and only ``plugin.Name`` means ours. Doing it twice is
    harmless. Also installs what :mod:`plugin.weights.patches` lists.

    Args:
        library: An import name: mmdet, mmseg, mmyolo or mmpretrain.

    Raises:
        ValueError: A class of a third party holds one of our names.
        ModuleNotFoundError: The library is not installed.
    """
    # First: the library's own modules import mmpretrain, which one patch is about.
    patches.install()
    try:
        theirs = import_module(f'{library}.registry')
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{error}; {_HINT}', name=error.name) from error
    for kind in KINDS:
        source, target = getattr(ours, kind), getattr(theirs, kind)
        source.import_from_location()
        target.import_from_location()
        for name, cls in source.module_dict.items():
            # A user's own backbone is in our registry too; its plain name is theirs.
            if cls.__module__.partition('.')[0] == __package__:
                _register(target, library, name, cls)


def _register(target, library: str, name: str, cls: type) -> None:
    holder = target.module_dict.get(name)
    if holder is None:
        target.register_module(name=name, module=cls)
    elif holder is not cls and holder.__module__.partition('.')[0] != library:
        raise ValueError(
            f"'{name}' in {library}'s {target.name} registry is held by "
            f'{holder.__module__}.{holder.__qualname__}, so it cannot mean '
            f'{cls.__module__}.{cls.__qualname__}; register that class under another '
            f"name, and write type='plugin.{name}' for ours"
        )

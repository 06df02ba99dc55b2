"""The backbone that a user means by a name."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.registry import MODELS

from plugin.config.backbone import backbone_cfg, backbone_of
from plugin.config.names import SUFFIXES
from plugin.libraries import ALL, COUNTED_FROM_ONE, SCOPES, SUCCESSORS
from plugin.measure.backbone import registered
from plugin.nearest import nearest

_IMPORTED_AS = {one.project: one.scope for one in ALL if one.project != one.scope}


def resolve(backbone: str, imports: Iterable[str] = ()) -> dict[str, Any]:
    """Return the config of a backbone.

    Args:
        backbone: A registered type with its scope, ``timm:MODEL``, a config, or a
            class of the user's own: ``my_module.MyNet``, or the file that has it.
        imports: Modules that register backbones.

    Raises:
        ValueError: It is none of these; the message says what to write.
        OSError: There is no such config, or it can't be read as one.
    """
    import_all(imports)
    if backbone.startswith('timm:'):
        return backbone_cfg(backbone)
    if is_config(backbone):
        return _of_config(backbone)
    if backbone.endswith('.py'):
        return _only_class(Path(backbone))
    path, colon, name = backbone.rpartition(':')
    if colon and path.endswith('.py'):
        return _named_class(Path(path), name)
    scope, _, name = backbone.rpartition('.')
    if not scope:
        raise ValueError(_without_scope(backbone))
    if scope == 'timm' or backbone.startswith('timm.'):
        raise ValueError(
            f'{backbone} is not a registered type; write a model of timm as '
            f'timm:{backbone.removeprefix("timm.")}'
        )
    if scope in _IMPORTED_AS:
        raise ValueError(f'{backbone}: write {_IMPORTED_AS[scope]}.{name}')
    if scope in SUCCESSORS:
        raise ValueError(_renamed(scope, name))
    if scope in ('plugin', *SCOPES) or scope in MODELS.children:
        return backbone_cfg(backbone)
    return dict(type=_own_class(backbone, scope, name))


def is_config(backbone: str) -> bool:
    """Return whether a name means a config; a file that registers a class does not."""
    path = Path(backbone)
    if path.suffix == '.py' and path.is_file() and _registers(path):
        return False
    return '::' in backbone or path.suffix in SUFFIXES


def import_all(modules: Iterable[str]) -> None:
    """Import what registers backbones.

    Raises:
        ValueError: One of them can't be imported.
    """
    for module in modules:
        _import(module, f'--import {module}')


def _of_config(config: str) -> dict[str, Any]:
    # Its rules import mmdet and mmyolo, which a model of timm does without.
    from plugin.config.problem import NotAConfig
    from plugin.config.reading import read_sound

    try:
        cfg = read_sound(config)
    except NotAConfig as error:
        raise OSError(str(error)) from error
    found = dict(backbone_of(cfg))
    model = cfg.get('model') or {}
    if isinstance(model.get('pretrained'), str):
        # mmseg 1.2.2: EncoderDecoder hands its own to the backbone.
        found.setdefault('pretrained', model['pretrained'])
    return found


def _import(module: str, label: str) -> None:
    here = str(Path.cwd())
    if here not in sys.path and '' not in sys.path:
        sys.path.insert(0, here)
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition('.')[0]
        if error.name not in (module, top):
            raise ValueError(f'{label}: {error}') from error
        raise ValueError(
            f'{label}: there is no module {error.name}; run the command in the folder '
            f'of {top}.py, or add the folder to PYTHONPATH'
        ) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f' ({Path(place.filename).name}, line {place.lineno})'
        if isinstance(error, SyntaxError):
            where = ''  # Its message has the place.
        raise ValueError(f'{label}: {type(error).__name__}: {error}{where}') from error


def _registers(path: Path) -> bool:
    return 'register_module' in path.read_text('utf-8', errors='replace')


def _only_class(path: Path) -> dict[str, Any]:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _import(path.stem, str(path))
    types = [name for name, cls in registered() if cls.__module__ == path.stem]
    if len(types) != 1:
        raise ValueError(
            f'{path} registers {", ".join(types) or "nothing"}; name one: '
            f'python -m plugin probe {types[0] if types else "plugin.NAME"} '
            f'--import {path.stem}'
        )
    return dict(type=types[0])


def _named_class(path: Path, name: str) -> dict[str, Any]:
    """Return the config of a class in a file, registered or not."""
    if not path.is_file():
        raise FileNotFoundError(2, 'No such file', str(path))
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _import(path.stem, str(path))
    classes = {
        key: value
        for key, value in vars(sys.modules[path.stem]).items()
        if isinstance(value, type) and value.__module__ == path.stem
    }
    if name not in classes:
        raise ValueError(
            f'{path} has no class {name}; it has {", ".join(classes) or "none"}'
        )
    return dict(type=classes[name])


def _own_class(backbone: str, module: str, name: str) -> str:
    """Return the registered type of ``module.name``, with the scope of its registry."""
    top = module.partition('.')[0]
    try:
        if module == top and find_spec(f'{module}.registry'):
            return backbone
    except ModuleNotFoundError:
        pass  # It is a module, or nothing.
    _import(module, backbone)
    for type_, cls in registered():
        if cls.__module__ == module and cls.__name__ == name:
            return type_
    own = [type_ for type_, cls in registered() if cls.__module__ == module]
    if hasattr(sys.modules[module], name):
        raise ValueError(
            f'{backbone} is not registered; put @MODELS.register_module() above the '
            'class, with `from plugin.registry import MODELS`'
        )
    raise ValueError(
        f'{backbone}: {module} has no {name}; it registers '
        f'{", ".join(own) or "nothing"}'
    )


def _renamed(scope: str, name: str) -> str:
    new = SUCCESSORS[scope]
    message = f'{scope}.{name}: {scope} is {new} now'
    try:
        import_module(f'{new}.models')
        names = import_module(f'{new}.registry').MODELS.module_dict
    except ImportError:
        return f'{message}; install {new}, and write {new}.{name}'
    if name not in names:
        near = nearest(name, names)
        return f'{message}, and has no {name}; the nearest names are ' + ', '.join(
            f'{new}.{n}' for n in near
        )
    if f'{scope}.{name}'.startswith(COUNTED_FROM_ONE):
        return (
            f'{message}; write {new}.{name}, whose out_indices count one lower: '
            '(2, 3, 4) there is (1, 2, 3) here'
        )
    return f'{message}; write {new}.{name}'


def _without_scope(name: str) -> str:
    from plugin.probe.catalogue import catalogue

    known = [entry for entries in catalogue().groups.values() for entry in entries]
    same = [entry for entry in known if entry.rpartition('.')[2] == name]
    if same:
        return f'{name} needs its library before it: write {" or ".join(same)}'
    import timm

    if name in timm.list_models():
        return f'{name} is a model of timm: write timm:{name}'
    plain = {entry.rpartition('.')[2]: entry for entry in known}
    near = nearest(name, plain)
    return (
        f'{name} is not a backbone; the nearest names are '
        f'{", ".join(plain[n] for n in near)}. Write a model of timm as timm:NAME; '
        '`probe --list` shows all'
    )

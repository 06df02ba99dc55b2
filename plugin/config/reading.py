"""A config as it is on disk: what can be wrong with it before it is a config."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject

from plugin.config.bases import base_problems, read_source
from plugin.config.edits import path_of
from plugin.config.imports import import_problems
from plugin.config.names import config_path
from plugin.config.packages import of_a_package, searched_once
from plugin.config.parts import child_key
from plugin.config.problem import ERROR, NotAConfig, Problem, assign
from plugin.config.user_code import EndsTheProgram, user_code

# Its own modules, such as the `copy` in which a module as a value stops.
_PYTHON = sysconfig.get_paths()['stdlib']

_DICT, _LIST = 'a dict', 'a list of dicts, each with a type'
# What the runner reads by itself. None stands for an entry that is left out.
_TAKEN: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        (
            'custom_imports',
            'data_preprocessor',
            'default_hooks',
            'model_wrapper_cfg',
            'optim_wrapper',
            'test_cfg',
            'test_dataloader',
            'train_cfg',
            'train_dataloader',
            'val_cfg',
            'val_dataloader',
            'visualizer',
        ),
        ((Mapping,), _DICT),
    ),
    **dict.fromkeys(
        ('custom_hooks', 'tta_pipeline'),
        ((list, tuple), _LIST),
    ),
    **dict.fromkeys(
        ('param_scheduler', 'test_evaluator', 'val_evaluator'),
        ((Mapping, list, tuple), f'{_DICT}, or {_LIST}'),
    ),
}


def entry_problems(cfg: Config) -> Iterator[Problem]:
    """Each entry that nothing can be read from: where it is and what belongs there.

    Args:
        cfg: As it was read.
    """
    yield from _model(cfg)
    for key, (types, expected) in _TAKEN.items():
        value = cfg.get(key)
        if value is None or _is_reported_elsewhere(key, value):
            continue
        if not isinstance(value, types):
            yield _problem(key, value, expected)
        elif isinstance(value, (list, tuple)) and expected != _DICT:
            for index, one in enumerate(value):
                if not isinstance(one, Mapping) or 'type' not in one:
                    yield _problem(f'{key}[{index}]', one, 'a dict with a type')
    for key in ('model', 'optim_wrapper', 'train_dataloader', 'custom_hooks'):
        yield from _types(cfg.get(key), key)


def _model(cfg: Config) -> Iterator[Problem]:
    if 'model' not in cfg:
        return
    model = cfg['model']
    if not isinstance(model, Mapping):
        yield _problem('model', model, 'a dict with a type')
    elif 'type' not in model and cfg.get('default_scope'):
        # In a piece of a config, which others inherit from, it may be missing.
        yield Problem(
            'model.type', 'argument', ERROR, 'nothing', 'a class', unknown='model.type'
        )
    else:
        given = model.get('data_preprocessor')
        if given is not None and not isinstance(given, Mapping):
            yield _problem('model.data_preprocessor', given, _DICT)


def _types(node: Any, key: str) -> Iterator[Problem]:
    """Types that are neither a name nor a class."""
    if isinstance(node, Mapping):
        if 'type' in node and not (
            isinstance(node['type'], str) or callable(node['type'])
        ):
            expected = 'the name of a class, or the class'
            yield _problem(f'{key}.type', node['type'], expected)
        for name, child in node.items():
            yield from _types(child, child_key(key, name))
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _types(child, f'{key}[{index}]')


def _is_reported_elsewhere(key: str, value: Any) -> bool:
    """Return whether import_problems reports it."""
    return key == 'custom_imports' and isinstance(value, (str, list, tuple))


def _problem(key: str, value: Any, expected: str) -> Problem:
    found = value if isinstance(value, (int, float, str, bool)) else repr(value)
    return Problem(key, 'argument', ERROR, found, expected, unknown=key)


def read(config: str) -> tuple[Config | None, list[Problem]]:
    """Read a config and the problems with reading it.

    Args:
        config: A path, or a name in an installed package.

    Returns:
        The config, with its ``_base_`` merged and its imports done, or None if it
        cannot be read before the problems are fixed. In pure Python style, what can be
        imported is; what can't is its name.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is none.
    """
    path = config_path(config)
    problems = list(base_problems(path))
    if problems:
        return None, problems
    try:
        cfg = load(path)
    except Exception as error:
        problem = _about_bases(path, error)
        if problem is None:
            raise _as_no_config(path, error) from error
        return None, [problem]
    if not cfg.keys():
        raise NotAConfig(path, 'is empty; write at least a _base_ or a model')
    problems = list(entry_problems(cfg))
    if problems:
        return None, problems
    return cfg, list(import_problems(cfg))


def load(path: Path) -> Config:
    """Load the config in a file, its bases merged, without its ``custom_imports``.

    In pure Python style, what can be imported is; what can't is its name.
    """
    with user_code(), searched_once():
        return _imported(Config.fromfile(str(path), import_custom_modules=False))


def read_sound(config: str) -> Config:
    """Return a config that can be read to the end, with its imports done.

    Raises:
        ValueError: It has an error; the message names the first, and what fixes it.
        OSError: There is no such file.
        NotAConfig: It is none.
    """
    cfg, problems = read(config)
    for problem in problems:
        if cfg is None or problem.severity == ERROR:
            raise ValueError(
                f'{config}: {problem.key} is {problem.found}; {problem.advice}'
            )
    assert cfg is not None
    return cfg


def _about_bases(path: Path, error: Exception) -> Problem | None:
    """Return what mmengine rejects in the bases, if ``error`` is about them."""
    text = str(error.args[0]) if error.args else ''
    if isinstance(error, KeyError) and text.startswith('Duplicate key'):
        return _duplicate(path)
    if isinstance(error, TypeError) and 'in child config cannot inherit' in text:
        key = path_of(_steps_of_merging(error))
        was = text.rpartition("is of type <class '")[2].partition("'")[0]
        return Problem(
            key,
            'base',
            ERROR,
            f'a dict, over a {was} of the base',
            '_delete_=True in it, or a value like that of the base',
            assign(f'{key}._delete_', True),
        )
    return None


def _steps_of_merging(error: Exception) -> Iterator[str]:
    """Yield the keys at which mmengine was merging, from the outermost dict inwards.

    Its message has the last of them alone (mmengine/config/config.py, 0.10.7).
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == '_merge_a_into_b':
            yield frame.f_locals['k']


def _duplicate(path: Path) -> Problem | None:
    """Two bases that say the same key, and the bases without the later of them."""
    bases = read_source(path).bases
    keys: dict[str, set[str]] = {}
    for base in bases:
        own = Config.fromfile(
            str(config_path(base, path.parent)), import_custom_modules=False
        )
        for earlier, theirs in keys.items():
            both = sorted(theirs & set(own.keys()))
            if both:
                right = [other for other in bases if other != base]
                return Problem(
                    '_base_',
                    'base',
                    ERROR,
                    f'{", ".join(both)} in {earlier} and in {base}',
                    'each key in one base only',
                    assign('_base_', right),
                )
        keys[base] = set(own.keys())
    return None


def _as_no_config(path: Path, error: Exception) -> NotAConfig:
    """Return why executing the config failed, with the place in it."""
    ends = isinstance(error, EndsTheProgram)
    trace = (error.__cause__ if ends else error).__traceback__
    reason = str(error).strip() or type(error).__name__
    if isinstance(error, SyntaxError):
        return NotAConfig(error.filename or path, error.msg, error.lineno)
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if not of_a_package(frame.filename) or '.mim' in frame.filename
    ]
    outside = (str(Path(__file__).parent), _PYTHON)
    frames = [frame for frame in frames if not frame.filename.startswith(outside)]
    if isinstance(error, RecursionError):
        return NotAConfig(path, 'it holds itself, or is nested too deeply')
    text = reason if ends else f'{type(error).__name__}: {reason}'
    if frames and Path(frames[-1].filename).is_file():
        return NotAConfig(frames[-1].filename, text, frames[-1].lineno)
    return NotAConfig(path, text)


def _imported(cfg: Config) -> Config:
    """Return ``cfg`` with the classes of its pure Python style imported."""

    def imported(node: Any) -> Any:
        if isinstance(node, (LazyObject, LazyAttr)):
            try:
                return node.build()
            except Exception:
                return f'{node.module}.{node}'
        if isinstance(node, Mapping):
            return {key: imported(child) for key, child in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node)(imported(child) for child in node)
        return node

    if not getattr(cfg, '_imported_names', None):
        return cfg
    return Config(imported(cfg._to_lazy_dict()), filename=cfg.filename)

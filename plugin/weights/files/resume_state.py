"""Keep of a checkpoint what the run that resumes from it needs to know.

mmengine 0.10.7 takes it at its word in three places:

- ``Runner.resume`` executes ``meta['config']``, and an inferencer that is given no
  model executes ``cfg`` of the message hub or of ``meta`` (runner/runner.py,
  infer/infer.py).
- ``CheckpointHook`` deletes the file or the folder that the message hub calls
  ``best_ckpt`` as soon as there is a better one (hooks/checkpoint_hook.py).
- It deletes what it makes of ``keep_ckpt_ids``.
"""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import HistoryBuffer, print_log

from plugin.weights.files.refusal import (
    CheckpointError,
    described,
    printable,
    shortened,
)

# mmengine 0.10.7 (config/config.py): these are not settings but its own attributes.
# `dict` is what its dumps are made of, `read_base` what makes them inherit.
_NO_SETTINGS = frozenset(
    ('filename', 'text', 'pretty_text', 'env_variables', 'dict', 'read_base')
)
# A dump of a config has some 10,000 characters. For a text of this length mmengine
# takes about a second, and in proportion.
_LONGEST = 1 << 18


def plain_settings(text: object) -> tuple[str | None, list[str]]:
    """Return the settings of a config text that are safe to execute.

    These are assignments of numbers, texts and containers of them to names that mean
    nothing to mmengine. What inherits (``_base_``), deprecates (``_deprecation_``) or
    imports is left out; ``custom_imports`` is kept where every module of it has been
    imported already, and importing it again runs nothing.

    Args:
        text: As mmengine has dumped it, or as anybody has written it.

    Returns:
        The text, None if nothing is left of it; and the names of what is left out.
    """
    if not isinstance(text, str):
        return None, [type(text).__name__]
    if len(text) > _LONGEST:
        return None, [f'all of its {len(text):,} characters']
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, ['all of it: it is not Python']
    kept, dropped = [], []
    for statement in statements:
        if _is_setting(statement):
            kept.append(statement)
        else:
            dropped.append(_name(statement))
    if not dropped and '{{' not in text:
        return text, []
    # mmengine replaces {{...}}, in comments too, which are gone from here on.
    lines = [ast.unparse(statement) for statement in kept]
    dropped += [line.partition(' = ')[0] for line in lines if '{{' in line]
    text = '\n'.join(line for line in lines if '{{' not in line)
    return text or None, dropped


def _is_setting(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
    if len(names) < len(statement.targets) or not all(map(_is_free, names)):
        return False
    try:
        value = _value(statement.value)
    except (_NotPlain, TypeError, RecursionError):
        return False
    return 'custom_imports' not in names or _imports_nothing(value)


def _is_free(name: str) -> bool:
    return not name.startswith('_') and name not in _NO_SETTINGS


def _imports_nothing(value: object) -> bool:
    """Return whether all modules of this ``custom_imports`` are imported."""
    if not isinstance(value, dict) or not value.keys() <= {
        'imports',
        'allow_failed_imports',
    }:
        return False
    modules = value.get('imports')
    modules = [modules] if isinstance(modules, str) else modules
    return isinstance(modules, list) and all(
        isinstance(module, str) and sys.modules.get(module) is not None
        for module in modules
    )


class _NotPlain(Exception):
    """An expression is more than a literal."""


def _value(node: ast.expr) -> object:
    """Evaluate numbers, texts, containers of them, and calls of ``dict`` alone.

    Raises:
        _NotPlain: It is something else.
        TypeError: Executing it would raise this.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        if isinstance(node.op, ast.USub):
            return -node.operand.value
        if isinstance(node.op, ast.UAdd):
            return +node.operand.value
    elif isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    elif isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    elif isinstance(node, ast.Set):
        return {_value(item) for item in node.elts}
    elif isinstance(node, ast.Dict) and None not in node.keys:
        keys, values = map(_value, node.keys), map(_value, node.values)
        return dict(zip(keys, values, strict=True))
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
            settings = {}
            for keyword in node.keywords:
                value = _value(keyword.value)
                # mmengine's dumps write a key that is no name as dict(**{'a-b': 1}).
                settings = dict(
                    **settings, **({keyword.arg: value} if keyword.arg else value)
                )
            return settings
    raise _NotPlain


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign):
        names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
        if names:
            return names[0]
    kind = type(statement).__name__
    return f'{kind} in line {statement.lineno}'


_CONFIG_TEXTS = ('config', 'cfg')


def drop_orders(checkpoint: dict, filename: str) -> None:
    """Drop what would run code or delete files, and say so in one line.

    Args:
        checkpoint: Changed in place.
        filename: What the user has called it.
    """
    dropped = [*_drop_code(checkpoint), *_drop_files(checkpoint, filename)]
    if dropped:
        print_log(
            printable(
                f'{filename}: left out {shortened(dropped)}, which mmengine would act '
                'on; weights, logs and states are kept'
            ),
            logger='current',
            level=logging.WARNING,
        )


def check_resumable(checkpoint: dict, filename: str) -> None:
    """Raise CheckpointError where ``Runner.resume`` would fail for want of an entry."""
    meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
    if not isinstance(meta, dict) or not isinstance(hub, dict):
        lacking = "'meta'" if not isinstance(meta, dict) else "'message_hub'"
        raise CheckpointError(
            f'{filename} has weights and no training to resume: it lacks {lacking}. To '
            f'start a new training from its weights, leave out --resume (resume=True) '
            f'and write --cfg-options load_from={filename}'
        )
    for name in ('epoch', 'iter'):
        if not _is_count(meta.get(name)):
            raise CheckpointError(
                f"{filename} can't be resumed: its {name} is "
                f'{described(meta.get(name))}, not a number'
            )
    seed = meta.get('seed')
    if seed is not None and not _is_count(seed):
        raise CheckpointError(
            f"{filename} can't be resumed: its seed is {described(seed)}, not a number"
        )
    logs = hub.get('log_scalars', {})
    sound = isinstance(logs, dict) and all(
        isinstance(log, HistoryBuffer) for log in logs.values()
    )
    if not sound or not isinstance(hub.get('runtime_info', {}), dict):
        raise CheckpointError(
            f"{filename} can't be resumed: its message_hub is not as mmengine writes it"
        )


def _drop_code(checkpoint: dict) -> Iterator[str]:
    places = {'meta': checkpoint.get('meta'), 'message_hub': _runtime_info(checkpoint)}
    for place, holder in places.items():
        for key in _CONFIG_TEXTS:
            if not isinstance(holder, dict) or key not in holder:
                continue
            text, dropped = plain_settings(holder[key])
            if text is None:
                del holder[key]
            else:
                holder[key] = text
            for name in dropped:
                yield f'{name} of the config text in {place}'


def _drop_files(checkpoint: dict, filename: str) -> Iterator[str]:
    info = _runtime_info(checkpoint)
    folder = Path(filename).expanduser().absolute().parent
    for key in [k for k in info if isinstance(k, str) and k.startswith('best_ckpt')]:
        best = info[key]
        if best is None or (isinstance(best, str) and _is_best_of(best, folder)):
            continue
        del info[key]
        # Elsewhere, under another folder: there it is nothing that could be deleted.
        if not isinstance(best, str) or not _is_name_of_best(best) or _exists(best):
            yield f'{key} {described(best)}'
    ids = info.get('keep_ckpt_ids', [])
    if not isinstance(ids, list) or not all(map(_is_count, ids)):
        del info['keep_ckpt_ids']
        yield 'keep_ckpt_ids'


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _runtime_info(checkpoint: dict) -> dict:
    hub = checkpoint.get('message_hub')
    info = hub.get('runtime_info') if isinstance(hub, dict) else None
    return info if isinstance(info, dict) else {}


def _is_best_of(best: str, folder: Path) -> bool:
    """Return whether this is a best checkpoint beside the one that names it.

    Only DeepSpeed's are folders, and those are not read here.
    """
    try:
        # mmengine takes `~` for a folder of that name.
        beside = Path(best).absolute().parent.resolve() == folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return False
    return beside and _is_name_of_best(best) and not Path(best).is_dir()


def _is_name_of_best(best: str) -> bool:
    return Path(best).name.startswith('best_')


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError, RuntimeError):
        return False

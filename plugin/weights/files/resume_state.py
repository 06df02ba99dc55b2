"""What a checkpoint tells the run that resumes from it, held to what it needs to know.

mmengine 0.10.7 takes it at its word in three places:

- ``Runner.resume`` executes ``meta['config']``, and an inferencer that is given no
  model executes ``cfg`` of the message hub or of ``meta`` (runner/runner.py,
  infer/infer.py).
- ``CheckpointHook`` deletes the file or the folder that the message hub calls
  ``best_ckpt`` as soon as there is a better one (hooks/checkpoint_hook.py).
- It deletes what it makes of ``keep_ckpt_ids``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import HistoryBuffer, print_log

from plugin.weights.files.config_text import plain_settings
from plugin.weights.files.refusal import (
    CheckpointError,
    described,
    printable,
    shortened,
)

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
    """Whether this is a best checkpoint beside the one that names it."""
    try:
        # mmengine takes `~` for a folder of that name.
        beside = Path(best).absolute().parent.resolve() == folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return False
    return beside and _is_name_of_best(best)


def _is_name_of_best(best: str) -> bool:
    return Path(best).name.startswith('best_')


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError, RuntimeError):
        return False

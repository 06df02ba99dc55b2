"""Checkpoints that are not where the config says."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from plugin.checking.addresses import TAKEN_IN
from plugin.checking.origins import TIMM, Origin
from plugin.checking.problem import ERROR, WARNING, Problem, assign
from plugin.checking.subject import Subject
from plugin.checking.weights_problem import problem, taken_out, with_prefix

_ENDINGS = ('.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt')


def gone(subject: Subject, origin: Origin, new: str | None) -> Problem:
    """``origin`` leads nowhere, and ``new`` is the nearest that does."""
    expected = new or 'the path or the URL of a checkpoint'
    if origin.way == TIMM:
        return problem(
            origin,
            f'timm has no weights for {origin.address.partition("://")[2]}',
            f'False, or a model with weights, such as {new.partition("://")[2]}',
            taken_out(subject, origin),
        )
    if new is None:
        return problem(origin, origin.address, expected, taken_out(subject, origin))
    fix = assign(origin.key, new)
    # What mmengine loads under mmcls:// it strips of this prefix.
    if origin.address.startswith(TAKEN_IN) and not new.startswith(TAKEN_IN):
        fix = with_prefix(subject, origin, new, 'backbone.')
    return problem(origin, origin.address, expected, fix)


def missing(subject: Subject, origin: Origin) -> Problem:
    """There is no such file; what is beside is likely meant.

    A relative path counts from where the training is started, which may be another
    folder than this one, so it is a warning; unless a near name is beside.
    """
    path = Path(origin.address)
    folder = path.expanduser().parent
    names = []
    if path.name and folder.is_dir():
        names = sorted(p.name for p in folder.iterdir() if p.suffix in _ENDINGS)
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    beside = [str(path.with_name(name)) for name in near]
    return problem(
        origin,
        f'{origin.address or "an empty path"}, which is not there',
        ' or '.join(beside) or 'the path or the URL of a checkpoint',
        assign(origin.key, beside[0]) if beside else taken_out(subject, origin),
        severity=ERROR if beside or not path.name or path.is_absolute() else WARNING,
    )

"""Another backbone in a config. Imports check and the rooms below.

What changes with it is found, tried and written as a config.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugin.check import Problem, check
from plugin.config.problem import ERROR
from plugin.measure.normalization import normalization_of
from plugin.swap.base import LIBRARIES, Base, absolute
from plugin.swap.draft import Draft
from plugin.swap.entry import entry
from plugin.swap.fitting import fit
from plugin.swap.plan import Plan, plans
from plugin.swap.replacement import Replacement
from plugin.swap.training import feed, train_with
from plugin.swap.trial import Trial, try_out
from plugin.swap.weights import Weights, weights_of
from plugin.weights.files.whole_file import sibling, there_already, whole_file

__all__ = ['Swapped', 'swap']


@dataclass(frozen=True)
class Swapped:
    """A config that was written.

    Attributes:
        out: Where.
        text: What is in it.
        library: What mim calls its library.
        backbone: Its type, or the model of timm.
        out_indices: Of its maps; None if it has no choice.
        channels: Of its maps, shallow first.
        strides: Likewise.
        weights: Where its first values come from; None for random ones.
        notes: What else is not as in the base.
        imports: Modules of the user's that it imports.
        problems: What ``check`` warns of.
    """

    out: Path
    text: str
    library: str
    backbone: str
    out_indices: tuple[int, ...] | None
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    weights: str | None
    notes: tuple[str, ...]
    imports: tuple[str, ...]
    problems: tuple[Problem, ...]


def swap(
    base: str,
    backbone: str,
    out: Path,
    options: Mapping[str, Any] | None = None,
    out_indices: Sequence[int] | None = None,
    imports: Sequence[str] = (),
    force: bool = False,
) -> Swapped:
    """Write a config that puts a backbone into another config.

    Args:
        base: A config of mmdet, mmsegmentation or mmyolo: a path, or ``mmdet::...``.
        backbone: A type with its scope, ``timm:MODEL``, or a config whose backbone is
            meant.
        out: The file to write.
        options: Arguments of the backbone.
        out_indices: Which of its maps; None to choose those of the base's strides.
        imports: Modules of the user's that register backbones.
        force: Replace ``out`` if it is there.

    Raises:
        ValueError: They don't fit together; nothing was written.
        OSError: There is no such config, or ``out`` is there already.
        NotAConfig: The base is none.
    """
    if out.suffix != '.py':
        raise ValueError(f'{out} must end in .py, as configs do')
    if os.path.lexists(out) and not force:
        raise there_already(out)
    old = Base(base)
    if '::' not in base and out.exists() and out.samefile(base):
        raise ValueError(f'{out} is the base itself; give another name')
    new = Replacement(backbone, options or {}, imports)
    _refuse_larger_images(old, new)
    weights = weights_of(new)
    chosen = tuple(out_indices) if out_indices is not None else None
    plan, trial = _best(old, new, weights, plans(old, new, chosen))

    draft = _draft(old, new, weights, plan, trial, old.reference(out.parent))
    notes = [*_seen(old, plan), *train_with(old, trial, draft)]
    text = draft.text()
    problems = write_checked(text, out, replace=force)
    return Swapped(
        out,
        text,
        LIBRARIES[old.scope].mim,
        backbone,
        plan.out_indices,
        plan.spec.channels,
        plan.spec.strides,
        weights.source,
        tuple(notes),
        tuple(m for m in draft.imports if m in new.imports),
        tuple(problems),
    )


def _best(
    base: Base, new: Replacement, weights: Weights, candidates: Sequence[Plan]
) -> tuple[Plan, Trial]:
    """The first plan with which every parameter has a gradient, else the first."""
    tried, failure = [], None
    for plan in candidates:
        try:
            trial = try_out(
                _draft(base, new, weights, plan, None, absolute(base.name)).text()
            )
        except ValueError as error:
            failure = failure or error
            continue
        if not trial.without_gradient:
            return plan, trial
        tried.append((plan, trial))
    if not tried:
        raise ValueError(f'{new.name} does not fit into {base.name}: {failure}') from (
            failure
        )
    return min(tried, key=lambda found: len(found[1].without_gradient))


def _draft(
    base: Base,
    new: Replacement,
    weights: Weights,
    plan: Plan,
    trial: Trial | None,
    reference: str,
) -> Draft:
    theirs = base.cfg.get('custom_imports') or {}
    already = theirs.get('imports') or []
    already = [already] if isinstance(already, str) else already
    modules = [*already, *new.imports, LIBRARIES[base.scope].package]
    draft = Draft(reference, list(dict.fromkeys(modules)))
    backbone = entry(base, new, weights, plan, trial, draft)
    if weights.source:
        wanted = normalization_of({**new.cfg(None), **backbone, **_loaded(weights)})
        if wanted is not None:
            feed(base, wanted, draft)
    if base.model.get('pretrained'):
        draft.assign(
            'model.pretrained',
            None,
            "The base's is for its own backbone; it would be handed to any.",
        )
    fit(base, plan, draft)
    return draft


def _loaded(weights: Weights) -> dict[str, Any]:
    if weights.checkpoint is None:
        return {}
    return dict(init_cfg=dict(type='Pretrained', checkpoint=weights.checkpoint))


def _seen(base: Base, plan: Plan) -> list[str]:
    wanted = tuple(base.spec.strides[i] for i in plan.kept)
    if plan.pyramid or plan.spec.strides == wanted:
        return []
    theirs = ', '.join(map(str, wanted))
    return [f"other strides than the base's {theirs}"]


def _refuse_larger_images(base: Base, new: Replacement) -> None:
    side = base.image_side
    if new.fixed_size is None or side is None or min(new.fixed_size) >= side:
        return
    size = 'x'.join(map(str, new.fixed_size))
    whole = -(-side // 32) * 32
    raise ValueError(
        f'{new.name} takes images of up to {size} only, and {base.name} feeds it '
        f'images of up to {side} pixels a side; try --cfg-options img_size={whole}, '
        'or take another backbone'
    )


def write_checked(text: str, out: Path, replace: bool) -> list[Problem]:
    """Write a config, unless ``check`` finds an error in it.

    It is checked beside the place where it will be, since ``_base_`` is relative to
    that.

    Args:
        text: Of the config.
        out: Where it goes; folders are made.
        replace: Whether what is there goes.

    Returns:
        What ``check`` warns of.

    Raises:
        ValueError: ``check`` finds an error; nothing was written.
        OSError: It is there already, or can't be written.
    """
    with _folder_of(out):
        problems = _problems(text, out)
        errors = [p for p in problems if p.severity == ERROR]
        if errors:
            wrong = '; '.join(
                f'{p.key}: found {p.found}, expected {p.expected}' for p in errors
            )
            raise ValueError(f'the result would be wrong, and is not written: {wrong}')
        with whole_file(out, replace) as partial:
            partial.write_text(text, encoding='utf-8')
    return problems


def _problems(text: str, out: Path) -> list[Problem]:
    # Beside `out` also where that is a link, which is where its user reads it.
    trial = sibling(out, 'partial', '.py')
    try:
        trial.write_text(text, encoding='utf-8')
        return check(str(trial))
    finally:
        trial.unlink(missing_ok=True)


@contextmanager
def _folder_of(out: Path) -> Iterator[None]:
    """The folder of ``out``; made, and taken away again on failure."""
    missing = [p for p in out.parents if not p.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            folder.rmdir()
        raise

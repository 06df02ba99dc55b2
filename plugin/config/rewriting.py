"""The text of a user's config with an edit made in it, and everything else as it was.

An edit can be made in several ways, and which of them leads to the config that is
wanted depends on what the bases say. They are offered in order, the plainest first;
:mod:`plugin.config.fixing` loads what comes out and takes the first that is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import libcst as cst

from plugin.config.edits import DELETE, SET, Edit, entry, path_of
from plugin.config.layout import added, appended, inserted, removed, replaced
from plugin.config.overrides import DELETE_KEY, change, statements, without_scope
from plugin.config.source import ConfigSource, Spot
from plugin.config.text import imports_of
from plugin.config.writes import SETS, Steps, entries_of, has_stars

_LEFT = (cst.ListComp, cst.DictComp, cst.SetComp, cst.GeneratorExp)
# What stands for a value that is written elsewhere.
_REFERENCES = (cst.Name, cst.Attribute, cst.Subscript, cst.Set)
_CONSTANTS = ('True', 'False', 'None')


@dataclass(frozen=True)
class Rewritten:
    """A config's text with an edit made in it.

    Attributes:
        contents: The whole file.
        note: What the user should know of it; empty for nothing.
        variables: Those whose definitions may have changed.
    """

    contents: bytes
    note: str = ''
    variables: tuple[str, ...] = ()


def leaves(before: Any, after: Any, steps: Steps = ()) -> Iterator[Edit]:
    """Yield the smallest edits that turn ``before``, at ``steps``, into ``after``."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in after.items():
            if key not in before:
                yield Edit(path_of((*steps, key)), SET, value)
            elif before[key] != value:
                yield from leaves(before[key], value, (*steps, key))
        for key in before:
            if key not in after:
                yield Edit(path_of((*steps, key)), DELETE)
    elif _goes_on(before, after):
        for i, value in enumerate(after):
            if i >= len(before):
                yield Edit(path_of((*steps, i)), SET, value)
            elif before[i] != value:
                yield from leaves(before[i], value, (*steps, i))
    else:
        yield Edit(path_of(steps), SET, after)


def obstacle(source: ConfigSource, edit: Edit) -> str:
    """Return the construct that prevents an edit, in words; empty if none is known."""
    spots = list(source.spots(edit.steps))
    for spot in spots:
        if isinstance(spot.value, _LEFT):
            return 'a comprehension'
        if spot.rest and has_stars(spot.value):
            return 'a dict or list that takes in others by stars'
    names = dict.fromkeys([str(edit.steps[0]), *(v for s in spots for v in s.via)])
    known = [how for name in names for how in source.obstacles(name)]
    return f'`{known[0]}`' if known else ''


def rewritings(
    source: ConfigSource, edit: Edit, before: Mapping, after: Mapping
) -> Iterator[Rewritten]:
    """Yield the ways to make an edit in a file.

    Args:
        source: The user's file.
        edit: One of :func:`leaves`, or a deletion.
        before: The config of the file, with its bases merged.
        after: The config with the edit applied.
    """
    scope = after.get('default_scope')
    before, after = without_scope(before, scope), without_scope(after, scope)
    for spot in source.spots(edit.steps):
        yield from _at(source, spot, edit, before, after)
    if edit.action == DELETE and len(edit.steps) > 1:
        for spot in source.spots(edit.steps[:-1]):
            if not spot.rest and entries_of(spot.value) is not None:
                yield _without_bases(source, spot, edit, after)
    writes = source.writes.get(str(edit.steps[0]), ())
    if not writes or (source.pure and all(write.how != SETS for write in writes)):
        yield from at_the_end(source, before, after)


def at_the_end(
    source: ConfigSource, before: Mapping, after: Mapping
) -> Iterator[Rewritten]:
    """Yield the text with statements at its end that override what the bases say.

    None where no statement can: a name of a base can't be taken out.
    """
    scope = after.get('default_scope')
    try:
        lines = statements(before, after, source.pure, scope).splitlines(True)
    except ValueError:
        return
    body = [line for line in lines if not line.startswith('from ')]
    contents = appended(source.contents, ''.join(body))
    for line in lines[: len(lines) - len(body)]:
        contents = _with_import(ConfigSource(source.path, contents), line.rstrip())
    yield Rewritten(contents)


def _goes_on(before: Any, after: Any) -> bool:
    """Return whether a list has the dicts or the entries of another, and maybe more."""
    if type(before) is not type(after) or not isinstance(before, (list, tuple)):
        return False
    pairs = zip(before, after, strict=False)
    return len(before) <= len(after) and all(
        a == b or isinstance(a, Mapping) for a, b in pairs
    )


def _at(
    source: ConfigSource, spot: Spot, edit: Edit, before: Mapping, after: Mapping
) -> Iterator[Rewritten]:
    """Yield the ways to make an edit at one spot."""
    node = spot.value
    if isinstance(node, _LEFT):
        return
    if edit.action == DELETE and len(spot.rest) < 2:
        if not spot.rest and spot.holder is not None:
            contents = removed(source, spot.holder, spot.whole)
            yield Rewritten(contents, variables=spot.via)
        return
    if not spot.rest or isinstance(node, _REFERENCES):
        value = entry(after, spot.done)
        yield from _replacing(source, spot, value)
        if isinstance(value, Mapping) and spot.merged:
            yield from _replacing(source, spot, {DELETE_KEY: True, **value})
        return
    entries = entries_of(node)
    if entries is None:
        return
    key = spot.rest[0]
    value = entry(after, (*spot.done, key))
    if isinstance(node, (cst.List, cst.Tuple)):
        if key == len(entries):
            yield from _written(source, added(source, node, None, value), value, spot)
        return
    if spot.merged:
        value = change(entry(before, spot.done), str(key), value)
    yield from _written(source, added(source, node, str(key), value), value, spot)


def _replacing(source: ConfigSource, spot: Spot, value: Any) -> Iterator[Rewritten]:
    """Yield an expression replaced by a value, and said if that was a variable's."""
    node, note = spot.value, ''
    name = source.tree.code_for_node(node)
    if isinstance(node, _REFERENCES) and name not in _CONSTANTS:
        note = f'the value of `{name}` is now written out where it is used'
    contents = replaced(source, node, value)
    yield from _written(source, contents, value, spot, note)


def _written(
    source: ConfigSource, contents: bytes, value: Any, spot: Spot, note: str = ''
) -> Iterator[Rewritten]:
    """Yield a text in which ``value`` is new, with the imports that it needs."""
    lines = imports_of(value)
    if lines and not source.pure:
        return  # The text style has no classes.
    for line in lines:
        contents = _with_import(ConfigSource(source.path, contents), line)
    yield Rewritten(contents, note, spot.via)


def _without_bases(
    source: ConfigSource, spot: Spot, edit: Edit, after: Mapping
) -> Rewritten:
    """Return a dict with all that its bases have in it, save for what is deleted."""
    contents, steps = source.contents, spot.done

    def found() -> tuple[ConfigSource, Spot]:
        now = ConfigSource(source.path, contents)
        spots = (s for s in now.spots(edit.steps[:-1]) if s.done == steps)
        return now, next(s for s in spots if not s.rest)

    for own in entries_of(spot.value):
        if own.key == edit.steps[-1]:
            contents = removed(source, spot.value, own.whole)
    written = {own.key for own in entries_of(spot.value)}
    for key, value in entry(after, steps).items():
        if key not in written:
            now, there = found()
            contents = added(now, there.value, key, value)
    now, there = found()
    contents = added(now, there.value, DELETE_KEY, True, first=True)
    return Rewritten(contents, variables=spot.via)


def _with_import(source: ConfigSource, line: str) -> bytes:
    """Return the text with an import below its others, unless it has the name."""
    name = line.rpartition(' ')[2]
    imports = [
        (statement, small)
        for statement in source.tree.body
        if isinstance(statement, cst.SimpleStatementLine)
        for small in statement.body
        if isinstance(small, (cst.Import, cst.ImportFrom))
    ]
    for _, small in imports:
        names = small.names if isinstance(small.names, tuple | list) else ()
        if any((a.evaluated_alias or a.evaluated_name) == name for a in names):
            return source.contents
    after = imports[-1][0] if imports else None
    return inserted(source, after, line)


def with_delete_key(source: ConfigSource, steps: Steps) -> bytes | None:
    """Return the text with ``_delete_=True`` in the dict that is written at ``steps``.

    Returns:
        None where there is none in this file.
    """
    for spot in source.spots(steps):
        if not spot.rest and isinstance(spot.value, (cst.Call, cst.Dict)):
            return added(source, spot.value, DELETE_KEY, True, first=True)
    return None


def rewritten_base(source: ConfigSource, edit: Edit) -> bytes | None:
    """Return the text with another ``_base_``, or another module under ``read_base()``.

    Returns:
        None where the text does not say what is to be replaced.
    """
    if edit.steps[0] == '_base_':
        spot = next(source.spots(('_base_',)), None)
        return spot and _other_bases(source, spot.value, edit.value)
    wrong = str(edit.steps[1])
    pattern = re.compile(rf'^(\s*from\s+){re.escape(wrong)}(?=\s+import\b)', re.M)
    text, count = pattern.subn(rf'\g<1>{edit.value}', source.contents.decode())
    return text.encode() if count else None


def _other_bases(source: ConfigSource, node: cst.CSTNode, value: Any) -> bytes:
    """Only the strings that are wrong, where there are as many as before."""
    entries = entries_of(node) if isinstance(node, (cst.List, cst.Tuple)) else None
    if entries is None or not isinstance(value, list) or len(entries) != len(value):
        return replaced(source, node, value)
    contents = source.contents
    for own, base in reversed(list(zip(entries, value, strict=True))):
        if getattr(own.value, 'evaluated_value', None) != base:
            contents = replaced(source, own.value, base, contents)
    return contents

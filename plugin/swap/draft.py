"""The config that is being written, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plugin.config.overrides import nest
from plugin.config.text import Name, statement

# In the order in which a model is read.
_PARTS = (
    *('data_preprocessor', 'pretrained', 'backbone', 'neck', 'rpn_head', 'roi_head'),
    *('bbox_head', 'decode_head', 'auxiliary_head'),
)
_FITTED = ('neck', 'bbox_head', 'decode_head', 'auxiliary_head')
_ENTRIES = ('_delete_', 'type', 'in_channels', 'out_channels', 'in_index')


class Draft:
    """Statements of a config beside its base.

    Attributes:
        base: Its ``_base_``.
        imports: Modules of its ``custom_imports``.
        model: What it changes in ``model``.
    """

    def __init__(self, base: str, imports: Sequence[str]) -> None:
        self.base = base
        self.imports = list(imports)
        self.model: dict[str, Any] = {}
        self._variables: dict[str, tuple[Any, str]] = {}
        self._lists: dict[str, list[tuple[str, Any]]] = {}
        self._comments: dict[tuple, str] = {}
        self._rest: list[list[tuple[str, Any, dict[tuple, str]]]] = []

    def variable(self, name: str, value: Any, comment: str = '') -> Name:
        """Define ``name`` above the model, and give it back for use in there."""
        self._variables[name] = value, comment
        return Name(name)

    def assign(self, key: str, value: Any, comment: str = '') -> None:
        """Set an entry of the model.

        Args:
            key: Such as ``model.neck.in_channels``; with an index, such as
                ``model.auxiliary_head[1].in_channels``, the base's list is taken over
                and changed, since mmengine replaces lists whole.
            value: As :func:`plugin.config.text.statement` takes it.
            comment: What to say above it. Not with an index.
        """
        holder, index, inside = re.fullmatch(r'([^[]+)((?:\[\d+\])?)(.*)', key).groups()
        parts = holder.split('.')[1:]
        if index:
            self._lists.setdefault(holder, []).append((f'{index}{inside}', value))
            value = Name(parts[-1])
        nest(self.model, parts, value)
        if comment:
            self._comments[tuple(parts)] = comment

    def explain(self, key: str, comment: str) -> None:
        """Say something above an entry of the model that is there."""
        self._comments[tuple(key.split('.')[1:])] = comment

    def add(self, *statements: tuple[str, Any, str]) -> None:
        """Add a paragraph after the model: targets, values and comments above them."""
        self._rest.append([(t, v, {(): c} if c else {}) for t, v, c in statements])

    def text(self) -> str:
        """The whole file."""
        imports = dict(imports=self.imports, allow_failed_imports=False)
        head = [
            *statement('_base_', self.base, {}),
            *statement('custom_imports', imports, {}),
        ]
        variables = []
        for name, (value, comment) in self._variables.items():
            variables += statement(name, value, {(): comment} if comment else {})
        for holder, entries in self._lists.items():
            name = holder.rpartition('.')[2]
            variables += statement(name, Name(f'_base_.{holder}'), {})
            for place, value in entries:
                variables += statement(f'{name}{place}', value, {})
        model = {
            part: _all_sorted(value) if part in _FITTED else value
            for part, value in _sorted(self.model, _PARTS).items()
        }
        paragraphs = [head, variables, statement('model', model, self._comments)]
        for statements in self._rest:
            paragraphs.append([line for s in statements for line in statement(*s)])
        return '\n\n'.join('\n'.join(lines) for lines in paragraphs if lines) + '\n'


def _sorted(entries: Any, order: Sequence[str]) -> Any:
    """``entries`` with those in ``order`` first; what is no dict as it is."""
    if not isinstance(entries, dict):
        return entries
    places = {key: i for i, key in enumerate(order)}
    return dict(sorted(entries.items(), key=lambda item: places.get(item[0], 99)))


def _all_sorted(entries: Any) -> Any:
    """``entries`` of a part of the model, and of what is in it, as they are read."""
    if not isinstance(entries, dict):
        return entries
    inside = {key: _all_sorted(value) for key, value in entries.items()}
    return _sorted(inside, _ENTRIES)

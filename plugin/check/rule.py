"""Define a rule of ``check``: its name, its page and the function that looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from plugin.check.checked_config import CheckedConfig
from plugin.config.problem import Problem

Look = Callable[[CheckedConfig], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """One rule, in one file of ``rules/`` or in one folder.

    Attributes:
        name: What ``--select``, ``--ignore`` and comments call it. It does not change.
        finds: What it finds, in one sentence.
        why: Why that is bad.
        example: A config in which it finds something.
        fix: How to fix it, and which of its fixes are safe.
        look: Yields what it finds; None of what is found while the config is read.
        first: Whether its fixes are applied in memory before the next rule looks, so
            that a mistake does not hide those behind it.
        step: Whether it trains for a step, so that it is asked only with ``--step``.
        beside: Other files of the example, by their names.
    """

    name: str
    finds: str
    why: str
    example: str
    fix: str
    look: Look | None = None
    first: bool = False
    step: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)

    def page(self) -> str:
        """Return its page, in Markdown."""
        parts = [f'## {self.name}', self.finds, '**Why it is bad.** ' + self.why]
        example = f'```python\n{self.example.strip()}\n```'
        parts.append('**Example.**')
        for name, text in self.beside.items():
            parts += [f'`{name}`', f'```python\n{text.strip()}\n```', 'The config:']
        parts += [example, '**How to fix it.** ' + self.fix]
        return '\n\n'.join(parts) + '\n'

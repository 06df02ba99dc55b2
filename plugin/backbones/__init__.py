"""The catalogue of backbones. Imports decay and the rooms below.

A backbone is one file in this folder and one line here. Registration in every
library, the contract tests and the list that ``probe --list`` prints follow from
the line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module


@dataclass(frozen=True)
class Entry:
    """One backbone of the catalogue.

    Attributes:
        name: The class, and what a config writes after ``plugin.``.
        module: The file in this folder, without ``.py``.
        paper: Where it was published.
        smallest: Arguments of its smallest variant, which the contract tests build.
    """

    name: str
    module: str
    paper: str
    smallest: dict = field(default_factory=dict)


CATALOGUE = (
    Entry('ConvNeXt', 'convnext', 'arXiv:2201.03545', dict(arch='atto')),
    Entry(
        'TIMMBackbone',
        'timm_backbone',
        'arXiv:2110.00476',
        dict(model_name='resnet10t'),
    ),
)

for _entry in CATALOGUE:
    import_module(f'{__name__}.{_entry.module}')

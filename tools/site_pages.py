"""Hooks of mkdocs: what the site has besides the files of ``docs/``.

The pages are written to be read in the repository, where links lead out of ``docs/`` to
configs, code and READMEs. Each file that is linked becomes a page here too, and links
are rewritten, so that a strict build finds every broken one. Notebooks become pages,
and the reference of the API is made from docstrings. ``make docs`` builds the site.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Files at other places in the site than `repository/` and their path.
MOVED = {
    'README.md': 'index.md',
    'README.zh-CN.md': 'zh-CN/index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
}
FENCE = re.compile(r'^( *)```.*?^\1```$', re.M | re.S)
LINK = re.compile(r'(?<=\]\()([^)\s#]+)((?:#[^)\s]*)?\))')
LANGUAGES = {'.py': 'python', '.yml': 'yaml', '.toml': 'toml', '.cff': 'yaml'}
# What configs and Python code of users name: heading, objects.
API = {
    'Backbones and necks': [
        'plugin.backbones.convnext.ConvNeXt',
        'plugin.backbones.timm_backbone.TIMMBackbone',
        'plugin.wrappers.pyramid_backbone.PyramidBackbone',
        'plugin.wrappers.peft_backbone.PEFTBackbone',
        'plugin.necks.simple_feature_pyramid.SimpleFeaturePyramid',
    ],
    'Training': [
        'plugin.freezing.hooks',
        'plugin.decay.constructor.LayerDecayOptimWrapperConstructor',
        'plugin.training',
    ],
    'The contract of a backbone': ['plugin.testing', 'plugin.spec', 'plugin.registry'],
    'Checking configs': ['plugin.check.examine', 'plugin.check.Examined'],
    'Weights': ['plugin.weights.patches'],
    'Data to try things on': ['plugin.demo.shapes'],
}


def place(path: str) -> str:
    """Return where a file of the repository is in the site, from the site's root.

    Args:
        path: From the root of the repository, such as ``docs/timm.md``.
    """
    if path in MOVED:
        return MOVED[path]
    if path.startswith('docs/'):
        inside = path.removeprefix('docs/')
        return inside.replace('.ipynb', '.md')
    return f'repository/{path}' if path.endswith('.md') else f'repository/{path}.md'


def linked(path: str) -> Iterator[str]:
    """Yield the files of the repository that a page links, from its root."""
    for match in LINK.finditer(FENCE.sub('', (ROOT / path).read_text())):
        target = resolved(path, match[1])
        if target is not None and (ROOT / target).is_file():
            yield target


def resolved(path: str, link: str) -> str | None:
    """Return the file that ``link`` in ``path`` means; None for an address."""
    if '://' in link or link.startswith('mailto:'):
        return None
    target = os.path.normpath(PurePosixPath(path).parent / link)
    return PurePosixPath(target).as_posix()


def rewritten(path: str, text: str) -> str:
    """Return the text of a page with links to where their targets are in the site.

    What is in a fenced block stays. A link that leads nowhere stays too, and the strict
    build reports it.
    """
    here = PurePosixPath(place(path)).parent

    def change(match: re.Match) -> str:
        target = resolved(path, match[1])
        if target is None or not (ROOT / target).is_file():
            return match[0]
        link = os.path.relpath(place(target), here)
        return PurePosixPath(link).as_posix() + match[2]

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(change, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, LINK.sub(change, text[end:])])


def outside() -> list[str]:
    """Return the files outside of ``docs/`` that become pages, by their paths."""
    found: dict[str, None] = {}
    waiting = [
        *MOVED,
        *(p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob('docs/**/*.md'))),
    ]
    seen = set()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        if not path.startswith('docs/'):
            found[path] = None
        if path.endswith('.md'):
            waiting += linked(path)
    return list(found)


def as_page(path: str) -> str:
    """Return a file of the repository as Markdown, its links not yet rewritten."""
    text = (ROOT / path).read_text()
    if path.endswith('.md'):
        return text
    language = LANGUAGES.get(Path(path).suffix, 'text')
    return f'# {path}\n\n```{language}\n{text.rstrip()}\n```\n'


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown: its text, its code, and what that printed."""
    parts = []
    for cell in json.loads(path.read_text())['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            parts.append(source)
            continue
        parts.append(f'```python\n{source}\n```')
        printed = ''.join(
            ''.join(output['text'])
            for output in cell['outputs']
            if output['output_type'] == 'stream'
        )
        if printed:
            parts.append(f'```text\n{printed.rstrip()}\n```')
    name = path.name
    parts.append(f'[Download this notebook]({name})')
    return '\n\n'.join(parts) + '\n'


def api_page() -> str:
    """Return the page from which mkdocstrings makes the reference."""
    parts = ['# Python API', 'What configs and your own code may use.']
    for heading, objects in API.items():
        parts.append(f'## {heading}')
        parts += [f'::: {name}' for name in objects]
    return '\n\n'.join(parts) + '\n'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of ``docs/``."""
    from mkdocs.structure.files import File

    for path in outside():
        files.append(File.generated(config, place(path), content=as_page(path)))
    for path in sorted(ROOT.glob('docs/notebooks/*.ipynb')):
        name = place(path.relative_to(ROOT).as_posix())
        files.append(File.generated(config, name, content=notebook_page(path)))
    files.append(File.generated(config, 'api.md', content=api_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite the links of a page that is a file of the repository."""
    source = {place(path): path for path in outside()}
    uri = page.file.src_uri
    path = source.get(uri, f'docs/{uri}')
    return rewritten(path, markdown) if (ROOT / path).is_file() else markdown

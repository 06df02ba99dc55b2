"""The pages that users read, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'README.md'
PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted(ROOT.glob('docs/**/*.md')),
    *sorted(ROOT.glob('configs/*/README.md')),
    ROOT / 'mmcv-lite-ops/README.md',
]
FENCE = re.compile(r'^( *)```(\w*)\n(.*?)^\1```$', re.M | re.S)
FILE = re.compile(r'\n`([\w.]+\.py)`\n\n```python\n(.*?)```', re.S)
LINK = re.compile(r'\]\(([^)\s]+)\)')


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, contents) of each fenced block."""
    return [(language, body) for _, language, body in FENCE.findall(text)]


def prose(text: str) -> str:
    """Return the text without its fenced blocks."""
    return FENCE.sub('', text)


def files(text: str) -> dict[str, str]:
    """Return the files that a page shows: a name in backquotes, then its contents."""
    return dict(FILE.findall(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and Python-Markdown name them."""
    headings = re.findall(r'^#+ (.+)$', prose(text), re.M)
    plain = (re.sub(r'[`*\[\]]|\([^)]*\)', '', h).strip().lower() for h in headings)
    return {re.sub(r'\s', '-', re.sub(r'[^\w\s-]', '', h)) for h in plain}

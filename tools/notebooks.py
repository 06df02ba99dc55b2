"""Runs the notebooks of docs/notebooks and keeps what their cells print.

    python tools/notebooks.py            run them, and write the outputs into them
    python tools/notebooks.py --check    exit status 1 if a cell prints something else

Cells run as Jupyter runs them, one after another in the notebook's folder, but without
Jupyter: what they print is all that they show.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / 'docs/notebooks'


def run(path: Path) -> dict:
    """Return the notebook with the outputs that its cells have now.

    Raises:
        Exception: Whatever a cell raises.
    """
    notebook = json.loads(path.read_text())
    names: dict = {'__name__': '__main__'}
    count = 0
    for cell in notebook['cells']:
        if cell['cell_type'] != 'code':
            continue
        count += 1
        code = compile(''.join(cell['source']), f'{path.name}, cell {count}', 'exec')
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        lines = printed.getvalue().splitlines(keepends=True)
        cell['execution_count'] = count
        cell['outputs'] = (
            [{'name': 'stdout', 'output_type': 'stream', 'text': lines}]
            if lines
            else []
        )
    return notebook


def dumped(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('notebooks', nargs='*', type=Path)
    args = parser.parse_args()
    paths = [p.resolve() for p in args.notebooks] or sorted(FOLDER.glob('*.ipynb'))
    status = 0
    for path in paths:
        os.chdir(path.parent)
        text = dumped(run(path))
        if text == path.read_text():
            continue
        if args.check:
            print(f'{path.name} prints something else; run `python tools/notebooks.py`')
            status = 1
        else:
            path.write_text(text)
            print(f'wrote {path.name}')
    return status


if __name__ == '__main__':
    sys.exit(main())

"""The notebooks run, and print what stands in them."""

import json
import subprocess

import pytest
from pages import README, ROOT, files

NOTEBOOKS = sorted(ROOT.glob('docs/notebooks/*.ipynb'))


@pytest.fixture
def run(warm_python):
    def run(*args):
        done = subprocess.run(
            [warm_python, ROOT / 'tools/notebooks.py', *args],
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path, run):
    status, printed, errors = run('--check', path)
    assert (status, printed) == (0, ''), printed + errors


def test_another_output_is_found_and_written(tmp_path, run):
    path = tmp_path / 'a.ipynb'
    cell = dict(cell_type='code', source=['print(1 + 1)'], outputs=[])
    path.write_text(json.dumps(dict(cells=[cell])))
    status, printed, _ = run('--check', path)
    assert status == 1 and 'a.ipynb prints something else' in printed
    assert run(path)[0] == 0
    assert run('--check', path)[:2] == (0, '')
    (cell,) = json.loads(path.read_text())['cells']
    assert cell['outputs'][0]['text'] == ['2\n']


def test_a_cell_that_raises_is_an_error(tmp_path, run):
    path = tmp_path / 'a.ipynb'
    cell = dict(cell_type='code', source=['1 / 0'], outputs=[])
    path.write_text(json.dumps(dict(cells=[cell])))
    status, _, errors = run(path)
    assert status == 1 and 'ZeroDivisionError' in errors and 'a.ipynb, cell 1' in errors


def test_its_backbone_is_that_of_the_readme():
    cells = json.loads((ROOT / 'docs/notebooks/own_backbone.ipynb').read_text())[
        'cells'
    ]
    sources = [''.join(cell['source']) for cell in cells]
    assert files(README.read_text())['my_backbone.py'].strip() in sources

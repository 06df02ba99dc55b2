"""Limits that docs/security.md names are there, or the page is changed."""

import os
import re
import subprocess
import sys

import pytest
from crafted import makes_folder, save
from mmengine.config import Config
from mmengine.registry import MODELS


@pytest.fixture
def page(repo_root):
    return ' '.join((repo_root / 'docs/security.md').read_text().split())


def test_a_yaml_config_can_hold_code(tmp_path, page):
    config, trace = tmp_path / 'a.yaml', tmp_path / 'trace'
    config.write_text(f'a: !!python/object/apply:os.system ["touch {trace}"]\n')
    Config.fromfile(config)
    assert trace.exists()
    assert 'mmengine reads `!!python/object/apply` in it' in page


def test_a_type_can_name_any_function(tmp_path, page):
    MODELS.build(dict(type='os.mkdir', path=str(tmp_path / 'trace')))
    assert (tmp_path / 'trace').exists()
    assert 'a type there can name any function' in page


JOB = """
import multiprocessing, sys, torch
sys.modules['transformers'] = None  # mmengine imports it, which takes seconds.
from mmengine.runner import CheckpointLoader

def own_loader(name, map_location):
    return torch.load(name[7:], weights_only=False)

CheckpointLoader.register_scheme('mine://', own_loader, force=True)
def allow():
    from plugin.weights.files.safe_loading import allow_mmengine_checkpoints
    allow_mmengine_checkpoints()

def work():
    CheckpointLoader.load_checkpoint('mine://' + sys.argv[1])

if sys.argv[2] == 'True':
    allow()
if __name__ == '__main__':
    allow()
    process = multiprocessing.get_context(sys.argv[3]).Process(target=work)
    process.start()
    process.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'imports'), [('spawn', False), ('spawn', True), ('forkserver', False)]
)
def test_a_process_that_is_not_forked_imports_the_plugin_or_loads_without(
    tmp_path, page, repo_root, lighter, method, imports
):
    evil = save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace'))
    (tmp_path / 'job.py').write_text(JOB)
    subprocess.run(
        [sys.executable, '-W', 'ignore', 'job.py', str(evil), str(imports), method],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([lighter, str(repo_root)])},
        check=True,
        capture_output=True,
    )
    assert (tmp_path / 'trace').exists() is not imports
    assert 'loads without this package unless it imports it' in page


def test_what_the_page_names_is_there(repo_root, page):
    for path in re.findall(r'`((?:tests|plugin)/[\w/.]+)`', page):
        assert (repo_root / path).exists(), path
    for name in re.findall(r'`(test_\w+\.py)`', page):
        assert (repo_root / 'tests/weights' / name).exists(), name
    tests = '\n'.join(path.read_text() for path in repo_root.glob('tests/**/test_*.py'))
    for name in re.findall(r'`(test_\w+)`', page):
        assert f'def {name}(' in tests, name

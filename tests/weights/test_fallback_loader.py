"""onedl's mmengine loads unsafely what the safe loader refuses; not with the plugin."""

import os
import subprocess
import sys

import mmengine.runner.checkpoint as checkpoint
import pytest
import torch

pytestmark = [
    pytest.mark.skipif(
        not hasattr(checkpoint, '_safe_torch_load'),
        reason="this mmengine is not onedl's, whose loader falls back",
    ),
    pytest.mark.slow,
]

LOAD = """
import sys
from torch import nn
{before}
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint
loaders = dict(
    loader=CheckpointLoader.load_checkpoint,
    private=_load_checkpoint,
    model=lambda file: load_checkpoint(nn.Linear(1, 1), file),
)
try:
    loaders[sys.argv[1]](sys.argv[2])
    print('loaded')
except Exception as error:
    print(type(error).__name__)
"""


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize('loader', ['loader', 'private', 'model'])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_no_code_of_a_file_runs(tmp_path, repo_root, loader, zipped):
    file, trap = tmp_path / 'a.pth', tmp_path / 'code_ran'
    contents = dict(state_dict={}, meta={}, extra=Attack(str(trap)))
    torch.save(contents, file, _use_new_zipfile_serialization=zipped)

    def load(before):
        code = LOAD.format(before=before)
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code, loader, file],
            env={**os.environ, 'PYTHONPATH': str(repo_root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1]

    assert load('import plugin.det') == 'CheckpointError'
    assert not trap.exists()
    # The file is an attack: without the plugin it runs.
    load('')
    assert trap.exists()

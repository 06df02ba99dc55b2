"""The guide in docs/pretrained.md, word for word: from writing to downstream."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import safetensors.torch
import timm
import torch

FILE = re.compile(r'\n`([\w.]+\.py)`\n\n```python\n(.*?)```', re.S)
COMMAND = re.compile(r'^\$ (.+)$', re.M)
HEADING = '## A new backbone, from writing to downstream'


@pytest.fixture
def guide(repo_root):
    text = (repo_root / 'docs/pretrained.md').read_text()
    return text.partition(HEADING)[2].partition('\n## ')[0]


@pytest.fixture
def project(guide, repo_root, shapes, tmp_path):
    """A user's folder with the guide's files, beside the clone."""
    (tmp_path / 'mm-backbone-plugin').symlink_to(repo_root)
    folder = tmp_path / 'project'
    (folder / 'data').mkdir(parents=True)
    (folder / 'data/shapes').symlink_to(shapes)
    for name, text in FILE.findall(guide):
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def offline(hub, tmp_path):
    """Variables under which timm finds weights of resnet18 without the network."""
    torch.manual_seed(0)
    model = timm.create_model('resnet18', zero_init_last=False)
    contents = safetensors.torch.save(model.state_dict())
    hub('timm/resnet18.a1_in1k', {'model.safetensors': contents})
    return dict(HF_HUB_CACHE=str(tmp_path / 'hub'), HF_HUB_OFFLINE='1')


@pytest.mark.slow
def test_the_guide_runs_to_its_end(
    guide, project, offline, repo_root, run_mim, warm_python
):
    outputs = []
    for command in COMMAND.findall(guide):
        args = shlex.split(command.replace('epoch_10', 'epoch_1'))
        if args[:3] == ['python', '-m', 'plugin']:
            if args[3] == 'shapes':
                continue  # A small set is there already.
            # Where the hub's files are is read when timm is imported.
            python = sys.executable if args[3] == 'align' else warm_python
            outputs.append(_run([python, *args[1:]], project, repo_root, offline))
        else:
            assert args[0] == 'mim'
            # 16 images, and one epoch.
            options = ('train_cfg.max_epochs=1', 'train_dataloader.batch_size=8')
            done = run_mim(
                *(*args[1:], '--cfg-options', *options),
                'default_hooks.checkpoint.interval=1',
                cwd=project,
                pythonpath=[project],
            )
            outputs.append(done.stdout)
    align, pretrain, keys, convert, detect = outputs
    assert align.endswith(', aligned\n')
    rows = [line.split() for line in align.splitlines() if re.match(r' +\d', line)]
    nearest = ['act1', 'layer1', 'layer2', 'layer3', 'output[0]']
    assert [row[-1] for row in rows] == nearest
    assert max(float(row[5]) for row in rows) < 1e-4
    assert float(re.search(r'input: (\S+) between', align)[1]) < 1e-5
    assert 'backbone' in keys and 'layer1' in keys
    assert '100.0 % of the parameters' in convert
    line = 'backbone (MyResNet): 100.0 % of 11.2 M parameters are from my_resnet.saf'
    assert line in detect
    assert (project / 'work_dirs/detect/epoch_1.pth').is_file()


def _run(command, cwd, repo_root, env):
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(repo_root), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

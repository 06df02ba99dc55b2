"""What `make demo` says to a wrong argument, before it starts anything."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['--task', 'dte'],
            'TASK=dte is not a demo; choose one of det, yolox, maskrcnn, yolov5, '
            'upernet.',
        ),
        (['--config', 'no.py'], 'CONFIG=no.py: there is no such file.'),
        (
            ['--config', 'README.md'],
            'CONFIG=README.md does not load: Only py/yml/yaml/json type are supported '
            'now!',
        ),
        (
            [
                '--config',
                'configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py',
            ],
            'CONFIG=configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py has '
            "default_scope='mmseg', but this task trains with mmdet (mmdet); write "
            'TASK=upernet.',
        ),
        (
            [
                '--config',
                'configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py',
            ],
            'train_dataloader.dataset.data_root=data/coco of '
            'configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py is not there; '
            'put the data set there or link it (README, section Data).',
        ),
    ],
)
def test_a_wrong_argument_is_one_message(arguments, message, repo_root):
    if (repo_root / 'data/coco').exists():
        pytest.skip('COCO is here')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', repo_root / 'tools/demo.py', *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == 'error: ' + message
    assert 'Traceback' not in done.stderr
    assert done.stdout == ''

"""What `make demo` says to a wrong argument, and what it does with another config."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from scripts import load_script

CONFIG = """
default_scope = 'mmdet'
dataset = dict(type='CocoDataset', data_root={root!r})
train_dataloader = dict(dataset=dict(type='RepeatDataset', dataset=dataset))
val_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[dataset]))
test_dataloader = val_dataloader
"""


DEMOS = Path(__file__).resolve().parents[2] / 'tools/demos'
COMPARISONS = ', '.join(sorted(path.stem for path in DEMOS.glob('*.py')))
NOT_THERE = (
    'not there; put the data set there or link it (docs/training.md, section Data).'
)


@pytest.fixture
def demo(tmp_path, repo_root, monkeypatch, capsys):
    """Runs the demo in a folder of its own on the config ``my.py`` there.

    Nothing is trained: the commands are noted, and ``results`` is what the test of the
    model gives. Gives back the commands without the interpreter, and what was printed.
    """
    module = load_script(repo_root / 'tools/demo.py')
    monkeypatch.setattr(module, 'ROOT', tmp_path)

    def run_demo(config, results, *arguments):
        (tmp_path / 'my.py').write_text(config)
        commands = []

        def run(*command):
            command = [str(part) for part in command if part != sys.executable]
            commands.append(' '.join(command[:3]))
            if command[:2] == ['mim', 'train']:
                out = tmp_path / command[command.index('--work-dir') + 1]
                out.mkdir(parents=True, exist_ok=True)
                if '--resume' in command:
                    commands[-1] += ' --resume'
                if (tmp_path / 'interrupt').exists():
                    raise SystemExit('interrupted')
                (out / 'last_checkpoint').write_text('/anywhere/epoch_2.pth')
            if command[:2] == ['mim', 'test']:
                out = tmp_path / command[-1] / '20250101_000000'
                out.mkdir(parents=True)
                (out / '20250101_000000.json').write_text(json.dumps(results))

        monkeypatch.setattr(module, 'run', run)
        monkeypatch.setattr(sys, 'argv', ['demo.py', '--config', 'my.py', *arguments])
        module.main()
        return commands, capsys.readouterr().out

    return run_demo


def test_the_shapes_are_made_for_a_config_that_reads_them(demo):
    commands, printed = demo(CONFIG.format(root='data/shapes/'), {'coco/bbox_mAP': 0.5})
    assert commands == ['-m plugin shapes', 'mim train mmdet', 'mim test mmdet'] + [
        '-m plugin sheet'
    ]
    assert '[1/4] shapes data set in data/shapes\n' in printed


def test_the_shapes_are_not_made_for_a_config_that_reads_another_data_set(
    demo, tmp_path
):
    (tmp_path / 'data/mine').mkdir(parents=True)
    commands, printed = demo(CONFIG.format(root='data/mine'), {'coco/bbox_mAP': 0.5})
    assert commands == ['mim train mmdet', 'mim test mmdet', '-m plugin sheet']
    assert '[1/4] data set: data/mine\n' in printed


def test_an_interrupted_training_is_resumed_and_a_finished_one_is_not(demo, tmp_path):
    config = CONFIG.format(root='data/shapes')
    (tmp_path / 'interrupt').touch()
    with pytest.raises(SystemExit, match='interrupted'):
        demo(config, {})
    (tmp_path / 'interrupt').unlink()
    assert demo(config, {})[0][1] == 'mim train mmdet --resume'
    shutil.rmtree(tmp_path / 'work_dirs/demo/my/test')
    assert demo(config, {})[0][1] == 'mim train mmdet'


@pytest.mark.parametrize(
    ('scope', 'library'), [('mmseg', 'mmsegmentation'), ('mmyolo', 'mmyolo')]
)
def test_the_library_is_that_of_the_config(demo, scope, library):
    config = CONFIG.replace("'mmdet'", repr(scope)).format(root='data/shapes')
    assert demo(config, {})[0][1:3] == [f'mim train {library}', f'mim test {library}']


def test_every_shapes_config_can_be_a_demo(repo_root):
    module = load_script(repo_root / 'tools/demo.py')
    configs = sorted(repo_root.glob('configs/*/*_shapes.py'))
    assert len(configs) >= 5
    if not find_spec('mmyolo'):
        configs = [config for config in configs if config.parent.name != 'yolo']
    for config in configs:
        task = module.of_config(config.relative_to(repo_root).as_posix(), None)
        assert task.data == (module.DATA,)


@pytest.mark.parametrize(
    ('results', 'shown'),
    [
        (
            {'coco/bbox_mAP': 0.25, 'coco/bbox_mAP_50': 0.5, 'coco/bbox_mAP_s': 0.75},
            ['bbox mAP      0.250', 'bbox mAP50    0.500'],
        ),
        ({'coco/segm_mAP': 0.125, 'time': 9.0}, ['mask mAP      0.125']),
        (
            {'pascal_voc/mAP': 0.5, 'data_time': 9.0, 'time': 9.0, 'name': 'x'},
            ['pascal_voc/mAP 0.500'],
        ),
        ({'time': 9.0}, []),
    ],
)
def test_whatever_a_config_measures_is_printed(demo, results, shown):
    _, printed = demo(CONFIG.format(root='data/shapes'), results)
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('Done in '))
    assert lines[start + 1 :] == [
        *shown,
        'checkpoint    work_dirs/demo/my/epoch_2.pth',
        'contact sheet work_dirs/demo/my/contact_sheet.png',
    ]


def test_a_config_without_a_test_is_refused_before_it_trains(demo, capsys):
    config = CONFIG.format(root='data/shapes') + 'test_dataloader = None\n'
    with pytest.raises(SystemExit) as ended:
        demo(config, {})
    assert str(ended.value) == (
        'error: CONFIG=my.py has no test_dataloader; a demo trains and tests.'
    )


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['--task', 'dte'],
            'TASK=dte is not a demo; choose one of det, yolox, maskrcnn, yolov5, vit, '
            f'upernet, {COMPARISONS}.',
        ),
        (
            ['--task', 'finetune', '--seeds', '0'],
            'SEEDS=0 is not a number of runs; give 1 or more.',
        ),
        (
            ['--task', 'finetune', '--seeds', 'three'],
            'SEEDS=three is not a number of runs; give 1 or more.',
        ),
        (
            ['--task', 'det', '--seeds', '3'],
            f'SEEDS=3 is for comparisons ({COMPARISONS}); leave it out.',
        ),
        (
            ['--task', 'finetune', '--config', 'my.py'],
            'TASK=finetune compares several configs; leave CONFIG out, or TASK.',
        ),
        (['--config', 'no.py'], 'CONFIG=no.py: there is no such file.'),
        (
            ['--config', 'README.md'],
            'CONFIG=README.md does not load: Only py/yml/yaml/json type are supported '
            'now!',
        ),
        (
            [
                *('--task', 'det', '--config'),
                'configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py',
            ],
            'CONFIG=configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py has '
            "default_scope='mmseg', but this task trains with mmdet (mmdet); leave "
            'TASK out.',
        ),
        (
            [
                '--config',
                'configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py',
            ],
            'CONFIG=configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py trains on '
            'COCO 2017, and data/coco/annotations/instances_train2017.json, '
            'data/coco/train2017, data/coco/annotations/instances_val2017.json, '
            f'data/coco/val2017 are {NOT_THERE}',
        ),
        (
            [
                '--config',
                'configs/seg/upernet_convnext-tiny_8xb2-amp-160k_ade20k-512x512.py',
            ],
            'CONFIG=configs/seg/upernet_convnext-tiny_8xb2-amp-160k_ade20k-512x512.py '
            'trains on ADE20K, and data/ade/ADEChallengeData2016/images/training, '
            'data/ade/ADEChallengeData2016/annotations/training, '
            'data/ade/ADEChallengeData2016/images/validation, '
            f'data/ade/ADEChallengeData2016/annotations/validation are {NOT_THERE}',
        ),
        (
            ['--config', 'configs/cls/convnext-tiny_8xb128_in1k.py'],
            'CONFIG=configs/cls/convnext-tiny_8xb128_in1k.py trains on ImageNet-1k, '
            f'and data/imagenet/train, data/imagenet/val are {NOT_THERE}',
        ),
    ],
)
def test_a_wrong_argument_is_one_message(arguments, message, repo_root):
    if any((repo_root / 'data' / d).exists() for d in ('coco', 'ade', 'imagenet')):
        pytest.skip('the data is here')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', repo_root / 'tools/demo.py', *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == 'error: ' + message
    assert 'Traceback' not in done.stderr
    assert done.stdout == ''

"""Several trainings beside each other, by the real Runner."""

import re
import sys
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image
from scripts import load_script

from plugin.demo.comparison import Comparison, Training, compare, prepare
from plugin.demo.comparison.__main__ import train
from plugin.demo.comparison.curves import draw_curves
from plugin.demo.comparison.record import Record
from plugin.demo.comparison.table import Row, table

DEMOS = Path(__file__).resolve().parents[2] / 'tools/demos'


@HOOKS.register_module()
class PullThePlug(Hook):
    """Interrupts a training after its first epoch, while a file is there."""

    priority = 'LOWEST'

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def after_train_epoch(self, runner) -> None:
        if self.file.exists():
            raise KeyboardInterrupt


@pytest.fixture
def tiny(shapes, tmp_path, repo_root):
    """Two trainings of two epochs on two images."""
    model = dict(model_name='resnet10t', out_indices=(2, 3, 4))
    options = {
        'model.backbone': dict(type='plugin.TIMMBackbone', **model),
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 1,
        'train_dataloader.batch_size': 1,
        'val_evaluator.ann_file': f'{shapes}/annotations/instances_val.json',
    }
    for loader in ('train', 'val', 'test'):
        key = f'{loader}_dataloader.dataset'
        options |= {f'{key}.indices': 2, f'{key}.data_root': f'{shapes}/'}
    config = (
        repo_root / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    ).as_posix()
    plug = dict(type='PullThePlug', file=str(tmp_path / 'pull'))
    frozen = dict(options['model.backbone'], frozen_stages=5)
    unfreeze = dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1)
    return Comparison(
        'tiny',
        (
            Training(
                'all, at once',
                config,
                options | {'custom_hooks': [plug]},
            ),
            Training(
                'frozen',
                config,
                options | {'model.backbone': frozen},
            ),
            Training(
                'unfrozen later',
                config,
                options | {'model.backbone': frozen, 'custom_hooks': [unfreeze]},
            ),
        ),
    )


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_interrupted(tiny, tmp_path, capsys):
    trained = []

    def run(*command):
        assert command[:3] == (sys.executable, '-m', 'plugin.demo.comparison')
        trained.append(Path(command[3]).relative_to(work_dir).as_posix())
        train(Path(command[3]))

    work_dir = tmp_path / 'work'
    (tmp_path / 'pull').touch()
    with pytest.raises(KeyboardInterrupt):
        compare(tiny, work_dir, 1, run)
    folder = work_dir / 'all-at-once/seed-0'
    assert not Record.of(folder).finished
    # It goes on from epoch 1, and does not start again.
    assert (folder / 'epoch_1.pth').is_file()
    (tmp_path / 'pull').unlink()
    shown = compare(tiny, work_dir, 1, run)
    assert [epoch for epoch, _ in Record.of(folder).curve] == [2]
    for name in ('frozen', 'unfrozen-later'):
        assert [at for at, _ in Record.of(work_dir / name / 'seed-0').curve] == [1, 2]

    header, *rows, total = shown.splitlines()
    assert header.split() == ['bbox', 'mAP', 'trained', 'CPU', 'min']
    assert re.fullmatch(r'\d+\.\d CPU minutes in all', total)
    names = [training.name for training in tiny.trainings]
    values = [r.removeprefix(n).split() for r, n in zip(rows, names, strict=True)]
    # What is unfrozen later counts as trained, and what never is does not.
    whole, frozen, later = (float(value[1]) for value in values)
    assert whole == later and frozen < later
    assert Image.open(work_dir / 'curves.png').width > 600
    assert Image.open(work_dir / 'contact_sheet.png').width > 4 * 280

    # What is finished is kept, whatever is asked for besides.
    trained.clear()
    again = compare(tiny, work_dir, 1, run)
    assert trained == [] and again == shown
    assert capsys.readouterr().out.count(': kept\n') == 3


def test_a_training_of_another_config_starts_anew_and_the_same_one_does_not(
    tiny, tmp_path
):
    training = tiny.trainings[0]
    prepare(training, 0, tmp_path / 'a')
    Record(finished=True).write(tmp_path / 'a')
    prepare(training, 0, tmp_path / 'a')
    assert Record.of(tmp_path / 'a').finished
    text = (tmp_path / 'a/config.py').read_text()
    assert 'num_workers=0' in text and 'num_workers=1' not in text
    longer = dict(training.options) | {'train_cfg.max_epochs': 3}
    prepare(Training(training.name, training.config, longer), 0, tmp_path / 'a')
    assert not Record.of(tmp_path / 'a').finished


def rows_of(*curves):
    row = Row('pretrained')
    for curve in curves:
        points = [(at, {'mAP': value}) for at, value in curve]
        row.add(Record(True, 90.0, 4_130_000, 'epoch', points), 'mAP')
    return [row]


def test_one_seed_is_a_number_and_several_are_a_mean_with_its_spread():
    assert table(rows_of([(1, 0.7), (2, 0.5)]), 'bbox mAP').splitlines() == [
        '            bbox mAP  trained  CPU min',
        'pretrained     0.500   4.13 M      1.5',
        '1.5 CPU minutes in all',
    ]
    two = rows_of([(2, 0.5)], [(2, 0.625)])
    assert table(two, 'bbox mAP').splitlines() == [
        '                          bbox mAP  trained  CPU min',
        'pretrained  0.562 (0.500 to 0.625)   4.13 M      1.5',
        'mean of 2 seeds (least to most)',
        '3.0 CPU minutes in all',
    ]


def test_a_seed_that_lacks_a_point_can_be_drawn(tmp_path):
    rows = rows_of([(2, 0.1), (4, 0.2)], [(4, 0.4)])
    draw_curves(rows, 'title', 'mAP', tmp_path / 'curves.png')
    assert Image.open(tmp_path / 'curves.png').format == 'PNG'


def test_a_metric_that_was_not_measured_names_those_that_were():
    record = Record(curve=[(1, {}), (2, {'coco/bbox_mAP': 0.5})])
    # A model that predicts nothing is worth nothing.
    assert record.values('coco/bbox_mAP') == {1: 0.0, 2: 0.5}
    with pytest.raises(
        ValueError, match=r"^metric='mIoU' was not measured; there is coco/bbox_mAP$"
    ):
        record.values('mIoU')
    with pytest.raises(ValueError, match='no validation in this config'):
        Record().values('mIoU')


def test_trainings_share_no_name():
    one, other = Training('a b', 'c.py'), Training('a, b', 'd.py')
    with pytest.raises(ValueError, match=r"^trainings=\['a b', 'a, b'\]: give one"):
        Comparison('title', (one, other))


@pytest.mark.parametrize('path', sorted(DEMOS.glob('*.py')), ids=lambda p: p.stem)
def test_every_demo_is_a_comparison_of_configs_that_there_are(
    path, repo_root, monkeypatch, tmp_path
):
    monkeypatch.chdir(repo_root)
    module = load_script(path)
    assert isinstance(module.COMPARISON, Comparison)
    for training in module.COMPARISON.trainings:
        prepare(training, 0, tmp_path / training.folder)
        assert (tmp_path / training.folder / 'config.py').is_file()

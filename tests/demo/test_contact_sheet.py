import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from plugin.cli import main
from plugin.demo.contact_sheet import contact_sheet
from plugin.demo.contact_sheet.examples import (
    Marks,
    example,
    held_out_dataset,
    load_model,
)
from plugin.demo.contact_sheet.panel import class_colors, draw_panel
from plugin.demo.shapes import CLASSES, PALETTE

COLORS = [tuple(color) for color in PALETTE]


@MODELS.register_module()
class Oracle(BaseModel):
    """Answers with what the test tells it, in the pixels of the original image."""

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.masks = masks

    def forward(self, inputs, data_samples=None, mode='tensor'):
        (sample,) = data_samples
        if 'gt_sem_seg' in sample:
            sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data.clone())
            return data_samples
        found = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 24, 24], [40, 8, 56, 24]]),
            labels=torch.tensor([0, 2]),
            scores=torch.tensor([0.9, 0.2]),
        )
        if self.masks:
            found.masks = torch.zeros(2, *sample.ori_shape, dtype=torch.bool)
            found.masks[0, 8:24, 8:24] = True
        sample.pred_instances = found
        return data_samples


def config(folder: Path, shapes: Path, **changes) -> Path:
    path = folder / 'oracle.py'
    content = dict(
        default_scope='mmdet',
        model=dict(type='mmengine.Oracle'),
        test_dataloader=dict(
            dataset=dict(
                type='CocoDataset',
                metainfo=dict(classes=CLASSES),
                data_root=str(shapes),
                ann_file='annotations/instances_val.json',
                data_prefix=dict(img='val/'),
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    # Before Resize, so that the sample's boxes are twice too large.
                    dict(type='LoadAnnotations', with_bbox=True),
                    dict(type='Resize', scale=(160, 128), keep_ratio=True),
                    dict(
                        type='PackDetInputs',
                        meta_keys=('img_path', 'ori_shape', 'img_shape'),
                    ),
                ],
            )
        ),
    )
    content.update(changes)
    Config(content).dump(path)
    return path


def segmentation(shapes: Path) -> dict:
    return dict(
        default_scope='mmseg',
        test_dataloader=dict(
            dataset=dict(
                type='BaseSegDataset',
                metainfo=dict(
                    classes=('background', *CLASSES), palette=[[0] * 3, *PALETTE]
                ),
                data_root=str(shapes),
                data_prefix=dict(img_path='val', seg_map_path='masks/val'),
                img_suffix='.png',
                reduce_zero_label=False,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations'),
                    dict(type='PackSegInputs'),
                ],
            )
        ),
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=Oracle().state_dict(), meta={}), path)
    return path


def first_example(path: Path, weights: Path, index: int = 0):
    cfg = Config.fromfile(path)
    dataset = held_out_dataset(cfg)
    return example(load_model(cfg, str(weights)), dataset, index, threshold=0.3)


def test_ground_truth_is_in_the_images_own_pixels(tmp_path, shapes, weights):
    shown = first_example(config(tmp_path, shapes), weights, index=2)
    coco = json.loads((shapes / 'annotations' / 'instances_val.json').read_text())
    annotated = [a for a in coco['annotations'] if a['image_id'] == 3]
    x, y, w, h = np.transpose([a['bbox'] for a in annotated])
    assert shown.name == '000003.png'
    assert shown.image.shape == (64, 80, 3)
    np.testing.assert_allclose(shown.truth.boxes, np.transpose([x, y, x + w, y + h]))
    assert list(shown.truth.labels + 1) == [a['category_id'] for a in annotated]
    assert shown.truth.masks is None


def test_predictions_below_the_threshold_are_left_out(tmp_path, shapes, weights):
    shown = first_example(config(tmp_path, shapes), weights)
    assert shown.prediction.boxes.tolist() == [[8, 8, 24, 24]]
    assert shown.prediction.labels.tolist() == [0]
    assert shown.prediction.scores.tolist() == pytest.approx([0.9])


def test_annotated_masks_are_shown_where_masks_are_predicted(tmp_path, shapes, weights):
    path = config(tmp_path, shapes, model=dict(type='mmengine.Oracle', masks=True))
    shown = first_example(path, weights)
    assert shown.prediction.masks.sum() == 16 * 16
    semantic = np.array(Image.open(shapes / 'masks' / 'val' / '000001.png'))
    assert shown.truth.masks.shape[1:] == semantic.shape
    by_class = np.zeros_like(semantic)
    for mask, label in zip(shown.truth.masks, shown.truth.labels, strict=True):
        by_class[mask] = label + 1
    assert (by_class == semantic).mean() > 0.97


def test_semantic_masks_are_shown_for_a_segmentor(tmp_path, shapes, weights):
    path = config(tmp_path, shapes, **segmentation(shapes))
    shown = first_example(path, weights)
    semantic = np.array(Image.open(shapes / 'masks' / 'val' / '000001.png'))
    np.testing.assert_array_equal(shown.truth.semantic, semantic)
    np.testing.assert_array_equal(shown.prediction.semantic, semantic)


def test_a_box_is_drawn_where_it_is_and_in_the_color_of_its_class():
    image = np.full((40, 60, 3), 128, np.uint8)
    marks = Marks(np.array([[10, 10, 30, 30.0]]), np.array([2]))
    panel = draw_panel(image, marks, CLASSES, COLORS, width=120)
    assert panel.shape == (80, 120, 3)
    assert tuple(panel[40, 20]) == tuple(panel[40, 60]) == COLORS[2]
    assert tuple(panel[60, 40]) == COLORS[2]
    assert tuple(panel[40, 40]) == tuple(panel[40, 100]) == (128, 128, 128)


def test_masks_and_semantic_classes_are_tinted_but_not_the_background():
    image = np.full((40, 60, 3), 128, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    boxes, labels = np.array([[10, 10, 30, 30.0]]), np.array([1])
    names = ('background', *CLASSES)
    semantic = mask * np.uint8(2)
    semantic[0, 0] = 255
    for marks, classes, colors in (
        (Marks(boxes, labels, masks=mask[None]), CLASSES, COLORS),
        (Marks.of_segmentation(semantic), names, [(0, 0, 0), *COLORS]),
    ):
        panel = draw_panel(image, marks, classes, colors, width=60)
        tint = panel[20, 22].astype(int) - 128
        assert (np.sign(tint) == np.sign(np.array(COLORS[1]) - 128)).all()
        assert (panel[35, 50] == 128).all()


def test_colors_are_the_data_sets_own_only_if_they_are_for_its_classes():
    own = dict(classes=('cat', 'dog'), palette=[(1, 2, 3), (4, 5, 6)])
    assert class_colors(own) == [(1, 2, 3), (4, 5, 6)]
    cocos = dict(classes=CLASSES, palette=[(220, 20, 60)] * 80)
    assert class_colors(cocos) == COLORS
    semantic = dict(classes=('background', *CLASSES))
    assert class_colors(semantic)[1:] == COLORS


@pytest.mark.parametrize(('num', 'shown'), [(3, 3), (50, 8)])
def test_the_sheet_holds_as_many_images_as_there_are(
    tmp_path, shapes, weights, num, shown
):
    out = tmp_path / 'new' / 'sheet.png'
    assert contact_sheet(config(tmp_path, shapes), weights, out, num) == shown
    rows = (shown + 1) // 2
    with Image.open(out) as sheet:
        # Panels of 80x64, four times enlarged.
        assert sheet.size == (2 * 24 + 4 * 320 + 2 * 4 + 24, 140 + rows * (256 + 22))
        assert len(np.unique(np.array(sheet))) > 200
    assert [path.name for path in out.parent.iterdir()] == ['sheet.png']


def test_an_interrupted_drawing_keeps_the_old_sheet(
    tmp_path, shapes, weights, monkeypatch
):
    out = tmp_path / 'new' / 'sheet.png'
    out.parent.mkdir()
    out.write_bytes(b'old')

    def fail(self, file, **options):
        Path(file).write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Image.Image, 'save', fail)
    with pytest.raises(OSError, match='No space left'):
        contact_sheet(config(tmp_path, shapes), weights, out, num=1)
    assert out.read_bytes() == b'old'
    assert list(out.parent.iterdir()) == [out]


def test_weights_of_another_model_are_refused(tmp_path, shapes):
    wrong = tmp_path / 'wrong.pth'
    torch.save(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), wrong)
    with pytest.raises(ValueError, match=r'wrong\.pth does not fit the model of .*py'):
        contact_sheet(config(tmp_path, shapes), wrong, tmp_path / 'sheet.png')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num=0), 'num=0'),
        (dict(threshold=1.5), 'threshold=1.5'),
        (dict(out='sheet.jpg'), r'end its name in \.png'),
    ],
)
def test_arguments_out_of_range_are_refused(
    tmp_path, shapes, weights, arguments, message
):
    arguments = dict(out=tmp_path / 'sheet.png') | arguments
    with pytest.raises(ValueError, match=message):
        contact_sheet(config(tmp_path, shapes), weights, **arguments)


def test_the_command_answers_in_one_line(tmp_path, shapes, weights):
    out = str(tmp_path / 'sheet.png')
    path = str(config(tmp_path, shapes))
    runner = CliRunner()
    good = runner.invoke(main, ['sheet', path, str(weights), '-o', out, '--num', '2'])
    assert good.exit_code == 0, good.stderr
    assert good.stdout == f'2 images in {out}\n'
    missing = runner.invoke(main, ['sheet', path, 'none.pth', '-o', out])
    assert missing.exit_code == 2
    assert missing.stderr == 'Error: none.pth: No such file\n'
    empty = str(config(tmp_path, shapes, test_dataloader=None))
    bad = runner.invoke(main, ['sheet', empty, str(weights), '-o', out])
    assert bad.exit_code == 1
    assert 'no test_dataloader' in bad.stderr


def test_a_config_of_an_installed_package_goes_by_its_name(
    tmp_path, shapes, weights, monkeypatch
):
    coco = tmp_path / 'data/coco'
    (coco / 'annotations').mkdir(parents=True)
    annotations = shapes / 'annotations/instances_val.json'
    (coco / 'annotations/instances_val2017.json').symlink_to(annotations)
    (coco / 'val2017').symlink_to(shapes / 'val')
    monkeypatch.chdir(tmp_path)
    # Its own model is large, and what is drawn is not the matter here.
    monkeypatch.setattr('plugin.demo.contact_sheet.load_model', lambda *args: Oracle())
    config = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco'
    arguments = ['sheet', config, str(weights), '-o', 'sheet.png', '--num', '2']
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    assert Image.open('sheet.png').size[0] > 0
    arguments[1] = 'mmdet::retinanet/retinanet_r5_fpn_1x_coco.py'
    wrong = CliRunner().invoke(main, arguments)
    assert wrong.exit_code == 2
    assert 'retinanet_r50_fpn_1x_coco.py' in wrong.stderr


def test_a_config_that_is_not_there_is_status_2(tmp_path, weights):
    arguments = ['none.py', str(weights), '-o', str(tmp_path / 'sheet.png')]
    result = CliRunner().invoke(main, ['sheet', *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith('Error: none.py')


@pytest.mark.slow
def test_the_demo_config_draws_what_its_untrained_detector_says(
    tmp_path, shapes, repo_root
):
    (source,) = repo_root.glob('configs/det/retinanet_timm-resnet10t_*_shapes.py')
    cfg = Config.fromfile(source)
    cfg.test_dataloader.dataset.data_root = str(shapes)
    path = tmp_path / 'demo.py'
    cfg.dump(path)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), weights)
    shown = first_example(path, weights)
    assert len(shown.truth.boxes)
    assert contact_sheet(path, weights, tmp_path / 'sheet.png', 2, threshold=0) == 2
    assert 'plugin.det' in sys.modules

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from plugin.demo.shapes import CLASSES, PALETTE, dataset, generate
from plugin.demo.shapes.scene import SUPERSAMPLING, draw_scene

SIZE = (64, 80)


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=['train', 'val'])
def split(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def coco(shapes: Path, split: str) -> COCO:
    return COCO(str(shapes / 'annotations' / f'instances_{split}.json'))


def test_two_processes_write_the_same_bytes(tmp_path, repo_root):
    command = [sys.executable, '-m', 'plugin', 'shapes']
    options = ['--train', '6', '--val', '3', '--size', '64x80', '--seed', '5']
    for name in ('first', 'second'):
        subprocess.run([*command, tmp_path / name, *options], cwd=repo_root, check=True)
    first = digests(tmp_path / 'first')
    assert len(first) > 2 * (6 + 3)
    assert first == digests(tmp_path / 'second')


def test_an_image_does_not_depend_on_how_many_there_are(shapes, tmp_path):
    generate(tmp_path / 'few', train=2, val=1, size=SIZE, seed=0)
    few, many = digests(tmp_path / 'few'), digests(shapes)
    pictures = [name for name in few if name.endswith('.png')]
    assert len(pictures) >= 6
    assert all(few[name] == many[name] for name in pictures)


def test_another_seed_and_another_split_give_other_images(shapes, tmp_path):
    generate(tmp_path / 'other', train=1, val=1, size=SIZE, seed=1)
    files = [
        shapes / 'train' / '000001.png',
        shapes / 'val' / '000001.png',
        tmp_path / 'other' / 'train' / '000001.png',
        tmp_path / 'other' / 'val' / '000001.png',
    ]
    assert len({file.read_bytes() for file in files}) == 4


def test_the_layout_is_as_documented(shapes):
    assert names(shapes) == [
        'annotations',
        'classification',
        'masks',
        'shapes.json',
        'train',
        'val',
    ]
    for split, count in (('train', 16), ('val', 8)):
        expected = [f'{i:06d}.png' for i in range(1, count + 1)]
        assert names(shapes / split) == expected
        assert names(shapes / 'masks' / split) == expected
        assert names(shapes / 'classification' / split) == sorted(CLASSES)
    assert read(shapes / 'train' / '000001.png').shape == (64, 80, 3)
    crop = next((shapes / 'classification').rglob('*.png'))
    assert read(crop).shape == (64, 64, 3)


def test_categories_are_numbered_from_one_in_the_order_of_the_classes(coco):
    assert CLASSES == ('circle', 'square', 'triangle')
    assert len(PALETTE) == len(CLASSES)
    found = [(c['id'], c['name']) for c in coco.dataset['categories']]
    assert found == [(1, 'circle'), (2, 'square'), (3, 'triangle')]


def test_every_image_has_one_to_four_instances_of_some_size(coco):
    for image in coco.dataset['images']:
        instances = coco.imgToAnns[image['id']]
        assert 1 <= len(instances) <= 4
        for instance in instances:
            assert instance['iscrowd'] == 0
            assert instance['area'] >= 20
    ids = [a['id'] for a in coco.dataset['annotations']]
    assert ids == list(range(1, len(ids) + 1))


def test_polygons_rasterise_to_the_annotated_box_and_area(coco):
    for instance in coco.dataset['annotations']:
        mask = coco.annToMask(instance)
        assert mask.sum() == pytest.approx(instance['area'], rel=0.08)
        rows, cols = np.nonzero(mask)
        x, y, w, h = instance['bbox']
        bounds = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        # Half a pixel or so on a side, more at a corner too sharp to fill a pixel.
        off = np.abs(np.subtract(bounds, [x, y, x + w, y + h]))
        assert np.median(off) < 1 and off.max() <= 4
        corners = np.concatenate(
            [np.reshape(p, (-1, 2)) for p in instance['segmentation']]
        )
        np.testing.assert_allclose(corners.min(0), [x, y], atol=0.26)
        np.testing.assert_allclose(corners.max(0), [x + w, y + h], atol=0.26)


def test_semantic_masks_agree_with_the_instances(shapes, split, coco):
    worst = 1.0
    for image in coco.dataset['images']:
        mask = read(shapes / 'masks' / split / image['file_name'])
        assert mask.shape == SIZE and mask.dtype == np.uint8
        painted = np.zeros_like(mask)
        for instance in coco.imgToAnns[image['id']]:
            painted[coco.annToMask(instance) > 0] = instance['category_id']
        assert set(np.unique(mask)) == set(np.unique(painted))
        for category in np.unique(mask):
            ours, theirs = mask == category, painted == category
            worst = min(worst, (ours & theirs).sum() / (ours | theirs).sum())
    assert worst > 0.9


def test_instances_of_one_image_hardly_overlap_though_they_occlude(coco):
    occluded = False
    for image in coco.dataset['images']:
        coded = [coco.annToRLE(a) for a in coco.imgToAnns[image['id']]]
        if len(coded) < 2:
            continue
        boxes = rle.toBbox(coded)
        overlap = rle.iou(coded, coded, [0] * len(coded)) - np.eye(len(coded))
        assert overlap.max() < 0.05
        by_box = rle.iou(boxes, boxes, [0] * len(coded)) - np.eye(len(coded))
        occluded |= bool(by_box.max() > 0.1)
    assert occluded


def test_visible_parts_are_disjoint_whole_and_mostly_visible():
    hidden = 0
    for index in range(200):
        scene = draw_scene(np.random.default_rng([7, index]), 32, 40)
        masks = [instance.visible for instance in scene.instances]
        assert np.sum(masks, axis=0).max() == 1
        for instance in scene.instances:
            assert instance.visible.shape == (SUPERSAMPLING * 32, SUPERSAMPLING * 40)
            assert 0.49 < instance.fraction <= 1
            hidden += instance.fraction < 0.9
            _, tree = cv2.findContours(
                instance.visible.astype(np.uint8),
                cv2.RETR_CCOMP,
                cv2.CHAIN_APPROX_SIMPLE,
            )
            assert (tree[0, :, 3] == -1).all(), 'a polygon cannot have this hole'
    assert hidden > 50


def test_color_does_not_tell_the_class():
    means = {label: [] for label in range(len(CLASSES))}
    for index in range(150):
        scene = draw_scene(np.random.default_rng([3, index]), 32, 40)
        for instance in scene.instances:
            inside = instance.visible[::SUPERSAMPLING, ::SUPERSAMPLING]
            means[instance.label].append(scene.image[inside].mean(axis=0))
    centers = [np.mean(colors, axis=0) for colors in means.values()]
    spread = np.std(np.concatenate(list(means.values())), axis=0).min()
    assert min(len(colors) for colors in means.values()) > 80
    assert np.ptp(centers, axis=0).max() < spread / 2


def test_the_same_parameters_again_keep_the_folder(tmp_path):
    out_dir = tmp_path / 'data'
    assert generate(out_dir, 2, 1, SIZE) is True
    before = {path: path.stat().st_mtime_ns for path in out_dir.rglob('*')}
    assert generate(out_dir, 2, 1, SIZE) is False
    assert before == {path: path.stat().st_mtime_ns for path in out_dir.rglob('*')}


def test_other_parameters_are_refused_by_name_and_forced_on_demand(tmp_path):
    out_dir = tmp_path / 'data'
    generate(out_dir, 2, 1, SIZE)
    before = digests(out_dir)
    with pytest.raises(
        FileExistsError, match=r'train 2, not 3; seed 0, not 4.*--force'
    ):
        generate(out_dir, 3, 1, SIZE, seed=4)
    assert digests(out_dir) == before
    assert generate(out_dir, 3, 1, SIZE, seed=4, force=True) is True
    assert json.loads((out_dir / 'shapes.json').read_text())['seed'] == 4
    assert names(tmp_path) == ['data']


def test_a_folder_that_is_something_else_is_never_replaced(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='not a shapes data set'):
        generate(tmp_path, 1, 1, SIZE, force=True)
    assert names(tmp_path) == ['thesis.tex']


def test_a_folder_with_images_missing_is_not_taken_for_whole(tmp_path):
    out_dir = tmp_path / 'data'
    generate(out_dir, 2, 1, SIZE)
    (out_dir / 'train' / '000002.png').unlink()
    with pytest.raises(FileExistsError, match='has 1 of 2 images'):
        generate(out_dir, 2, 1, SIZE)


def test_an_empty_folder_is_filled(tmp_path):
    assert generate(tmp_path / 'a', 1, 1, SIZE) is True
    (tmp_path / 'b').mkdir()
    assert generate(tmp_path / 'b', 1, 1, SIZE) is True
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')


@pytest.mark.parametrize('error', [OSError(28, 'No space left'), KeyboardInterrupt()])
def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch, error):
    write, written = dataset._write_png, []

    def write_five(path, image):
        written.append(path)
        if len(written) > 5:
            raise error
        write(path, image)

    monkeypatch.setattr(dataset, '_write_png', write_five)
    with pytest.raises(type(error)):
        generate(tmp_path / 'data', 4, 2, SIZE)
    assert len(written) == 6
    assert names(tmp_path) == []


def test_an_interrupted_replacement_keeps_the_old_folder(tmp_path, monkeypatch):
    out_dir = tmp_path / 'data'
    generate(out_dir, 2, 1, SIZE)
    before = digests(out_dir)

    def fail(path, content):
        raise OSError(28, 'No space left')

    monkeypatch.setattr(dataset, '_write_json', fail)
    with pytest.raises(OSError, match='No space left'):
        generate(out_dir, 2, 1, SIZE, seed=1, force=True)
    assert digests(out_dir) == before
    assert names(tmp_path) == ['data']


def test_what_a_killed_generation_left_is_never_whole_and_goes_next_time(tmp_path):
    code = (
        'import os, signal, sys\n'
        'from plugin.demo.shapes import generate\n'
        'def kill(done, total):\n'
        '    if done == 3:\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'generate(sys.argv[1], 4, 2, (64, 80), progress=kill)\n'
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, '-c', code, str(tmp_path / 'data')]
    killed = subprocess.run(command, cwd=root)
    assert killed.returncode == -9
    (leftover,) = names(tmp_path)
    assert leftover.endswith('.partial')
    assert generate(tmp_path / 'data', 4, 2, SIZE) is True
    assert names(tmp_path) == ['data']


@pytest.mark.parametrize('renames', [1, 2])
def test_what_a_killed_replacement_left_is_put_back_or_goes(tmp_path, renames):
    """Killed when the old folder has another name, or when the new one has its."""
    generate(tmp_path / 'data', 2, 1, SIZE)
    before = digests(tmp_path / 'data')
    code = (
        'import os, signal, sys\n'
        'from pathlib import Path\n'
        'from plugin.demo.shapes import generate\n'
        'rename, done = Path.rename, []\n'
        'def kill(self, target):\n'
        '    rename(self, target)\n'
        '    done.append(target)\n'
        '    if len(done) == int(sys.argv[2]):\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'Path.rename = kill\n'
        'generate(sys.argv[1], 4, 2, (64, 80), force=True)\n'
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, '-c', code, str(tmp_path / 'data'), str(renames)]
    assert subprocess.run(command, cwd=root).returncode == -9
    assert len(names(tmp_path)) == 2
    # It is as it was before, or as it was to be, and there is nothing else.
    wanted = (2, 1) if renames == 1 else (4, 2)
    assert generate(tmp_path / 'data', *wanted, SIZE) is False
    assert names(tmp_path) == ['data']
    assert (digests(tmp_path / 'data') == before) is (renames == 1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(train=0), 'train=0 images: give at least 1'),
        (dict(val=-1), 'val=-1 images: give at least 1'),
        (dict(size=(16, 160)), r'size 16x160 .* 32 to 4096'),
        (dict(size=(128, 9999)), r'size 128x9999 .* 32 to 4096'),
        (dict(seed=-2), 'seed=-2 is negative'),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / 'data', **arguments)
    assert names(tmp_path) == []


def test_progress_counts_every_image(tmp_path):
    seen = []
    generate(tmp_path / 'data', 2, 1, SIZE, progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]

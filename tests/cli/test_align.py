"""``align``: a backbone beside the timm model whose weights it has."""

import json

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from PIL import Image

from plugin.cli import main

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['plugin.cls'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='plugin.ConvNeXt', arch='atto'),
)
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
resize = dict(type='ResizeEdge', scale={scale}, edge='short', **{how})
test_dataloader = dict(
    dataset=dict(
        type='ImageNet',
        pipeline=[
            dict(type='LoadImageFromFile'),
            resize,
            dict(type='CenterCrop', crop_size={crop}),
            dict(type='PackInputs'),
        ],
    )
)
"""


def run(*args):
    return CliRunner().invoke(main, ['align', *map(str, args)])


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = timm.create_model('convnext_atto', ls_init_value=1.0)
    path = tmp_path_factory.mktemp('weights') / 'timm.pth'
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def write_config(tmp_path):
    def write(how, crop=224, scale=256):
        path = tmp_path / 'config.py'
        path.write_text(CONFIG.format(how=how, crop=crop, scale=scale))
        return path

    return write


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((400, 300), Image.BICUBIC).save(folder / 'a.png')
    return folder


PILLOW = dict(backend='pillow', interpolation='bicubic')
REFERENCE = ('--reference', 'timm:convnext_atto')


def test_every_map_is_found_in_its_stage(write_config, weights):
    result = run(write_config(PILLOW), *REFERENCE, '--checkpoint', weights)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()[3:7]]
    assert [row[1:3] for row in rows] == [
        ['40', '4'],
        ['80', '8'],
        ['160', '16'],
        ['320', '32'],
    ]
    assert [row[-1] for row in rows] == [f'stages.{i}' for i in range(4)]
    assert all(float(row[3]) < 1e-5 for row in rows)
    assert result.stdout.endswith(', aligned\n')


def test_one_weight_that_differs_is_found_at_its_map(write_config, weights, tmp_path):
    state = torch.load(weights)
    torch.nn.init.normal_(state['stages.2.blocks.5.mlp.fc2.bias'])
    torch.save(state, tmp_path / 'other.pth')
    result = run(
        write_config(PILLOW),
        *REFERENCE,
        *('--checkpoint', tmp_path / 'other.pth', '--reference-checkpoint', weights),
        '--json',
    )
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document['aligned'] is False
    relative = [entry['relative'] for entry in document['maps']]
    assert max(relative[:2]) < 1e-5 and min(relative[2:]) > 1e-3


def test_a_converted_file_needs_the_references_own_weights(
    write_config, weights, tmp_path
):
    converted = tmp_path / 'converted.pth'
    args = ['convert', str(weights), str(converted), '--to', 'plugin.ConvNeXt']
    assert CliRunner().invoke(main, args).exit_code == 0
    result = run(
        write_config(PILLOW),
        *REFERENCE,
        *('--checkpoint', converted, '--reference-checkpoint', weights),
    )
    assert result.exit_code == 0, result.output


def test_pil_and_bicubic_give_the_input_that_timm_gives(write_config, weights, images):
    aligned = run(
        write_config(PILLOW),
        *REFERENCE,
        *('--checkpoint', weights, '--images', images, '--json'),
    )
    document = json.loads(aligned.stdout)
    assert aligned.exit_code == 0
    assert document['pipelines'] < 1e-5
    assert max(entry['own_inputs'] for entry in document['maps']) < 1e-4


def test_another_way_to_resize_shows_in_the_inputs_alone(write_config, weights, images):
    result = run(
        write_config(dict(backend='cv2', interpolation='bilinear')),
        *REFERENCE,
        *('--checkpoint', weights, '--images', images, '--json'),
    )
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document['pipelines'] > 0.05
    assert min(entry['own_inputs'] for entry in document['maps']) > 1e-3
    assert max(entry['relative'] for entry in document['maps']) < 1e-5


def test_images_of_another_size_are_compared_all_the_same(
    write_config, weights, images
):
    result = run(
        write_config(PILLOW, crop=64, scale=72),
        *REFERENCE,
        *('--checkpoint', weights, '--images', images),
    )
    assert result.exit_code == 0, result.output
    assert "the config's and timm's own differ in size" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    'base',
    [
        'det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py',
        'seg/upernet_convnext-tiny_8xb2-amp-160k_ade20k-512x512.py',
        'yolo/yolov5_s_convnext-tiny_pafpn_8xb16-300e_coco.py',
    ],
)
def test_the_test_pipeline_of_every_library_takes_an_image_alone(
    tmp_path, repo_root, weights, images, base
):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(repo_root / "configs" / base)!r}\n'
        "model = dict(backbone=dict(arch='atto'))\n"
    )
    result = run(config, *REFERENCE, '--checkpoint', weights, '--images', images)
    assert result.exit_code == 0, result.output
    assert 'on 1 images of' in result.stdout


@pytest.mark.parametrize(
    ('args', 'status', 'message'),
    [
        (('--reference', 'resnet18'), 1, 'write timm:resnet18'),
        (('--reference', 'timm:convnext_ato'), 1, 'nearest names are convnext_atto'),
        (('--reference', 'timm:resnet18'), 1, 'resnet18'),
        ((*REFERENCE, '--images', 'no/where'), 2, 'is not a folder'),
        ((*REFERENCE, '--num', '0', '--images', '.'), 1, 'at least 1 image'),
    ],
)
def test_a_mistake_is_reported_without_a_traceback(
    write_config, weights, args, status, message, monkeypatch
):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    result = run(write_config(PILLOW), *args, '--checkpoint', weights)
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert 'Traceback' not in result.stderr


def test_weights_of_another_model_are_reported(write_config, tmp_path):
    torch.save(timm.create_model('resnet10t').state_dict(), tmp_path / 'a.pth')
    result = run(write_config(PILLOW), *REFERENCE, '--checkpoint', tmp_path / 'a.pth')
    assert result.exit_code == 1
    assert 'has 0.0 % of the parameters of the backbone of' in result.stderr

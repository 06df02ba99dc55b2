"""Addresses of checkpoints: which lead somewhere, and what is known of them offline."""

import pytest
import torch

from plugin.check.rules.weights.addresses import is_local, replacement, table_of
from plugin.weights.files.safe_loading import CheckpointError

pytestmark = pytest.mark.slow

OPENMMLAB = 'https://download.openmmlab.com'


@pytest.mark.parametrize(
    'address',
    [
        'torchvision://resnet50',
        'torchvision://resnet50.imagenet1k_v1',
        'open-mmlab://resnet50_v1c',
        'open-mmlab://resnet50_caffe',
        'mmcls://mobilenet_v2',
        'timm://resnet50.a1_in1k',
        'timm://tv_resnet50',
        'hf-hub:timm/resnet50.a1_in1k',
        'https://example.org/net.pth',
        's3://bucket/net.pth',
        'work_dirs/run/epoch_12.pth',
        'C:/weights/net.pth',
    ],
)
def test_leads_somewhere(address):
    assert replacement(address, 'ResNet') == (True, None)


@pytest.mark.parametrize(
    ('address', 'backbone', 'nearest'),
    [
        ('torchvision://resnet51', 'ResNet', 'torchvision://resnet50'),
        ('open-mmlab://resnet50_v1x', 'ResNet', 'open-mmlab://resnet50_v1c'),
        ('timm://resnet10', 'ResNet', 'timm://resnet10t'),
        ('timm://resnet50.no_tag', 'ResNet', 'timm://resnet50'),
        # The names of the tutorials, which mmengine has no more.
        (
            'mmcls://cspresnext50',
            'CSPResNeXt',
            f'{OPENMMLAB}/mmclassification/v0/cspnet/'
            'cspresnext50_3rdparty_8xb32_in1k_20220329-2cc84d21.pth',
        ),
        (
            'mmcls://regnet-4g',
            'RegNet',
            f'{OPENMMLAB}/mmclassification/v0/regnet/'
            'regnetx-4.0gf_8xb64_in1k_20211213-efed675c.pth',
        ),
        (
            'mmselfsup://mocov3_resnet50',
            'ResNet',
            f'{OPENMMLAB}/mmselfsup/1.x/mocov3/'
            'mocov3_resnet50_8xb512-amp-coslr-100e_in1k/'
            'mocov3_resnet50_8xb512-amp-coslr-100e_in1k_20220927-f1144efa.pth',
        ),
        # Rather the class's own weights than those of a method for it.
        (
            'mmcls://resnet-50',
            'ResNet',
            f'{OPENMMLAB}/mmclassification/v0/resnet/'
            'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
        ),
        ('mmcls://qqqq', 'MyNet', None),
        ('mmdet://retinanet', 'ResNet', None),
    ],
)
def test_leads_nowhere_and_the_nearest_does(address, backbone, nearest):
    assert replacement(address, backbone) == (False, nearest)


@pytest.mark.parametrize(
    ('address', 'local'),
    [
        ('net.pth', True),
        ('~/net.pth', True),
        ('D:\\weights\\net.pth', True),
        ('https://example.org/net.pth', False),
        ('cluster:s3://bucket/net.pth', False),
        ('hf-hub:timm/resnet50', False),
        ('hf_hub:timm/resnet50', False),
    ],
)
def test_what_is_a_path(address, local):
    assert is_local(address) is local


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_a_file_is_read_without_its_values(tmp_path, ending):
    from safetensors.torch import save_file

    path = tmp_path / f'net.{ending}'
    save = torch.save if ending == 'pth' else save_file
    save({'conv.weight': torch.ones(4, 3, 1, 1)}, path)
    table = table_of(str(path))
    assert {n: (t.shape, t.device.type) for n, t in table.items()} == {
        'conv.weight': ((4, 3, 1, 1), 'meta')
    }


def test_the_names_in_torchvision_and_timm_are_known_without_a_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a download')

    monkeypatch.setattr('urllib.request.urlopen', refuse)
    monkeypatch.setattr('torch.hub._hub_dir', '/nowhere')
    resnet = table_of('torchvision://resnet18')
    assert resnet['layer4.1.conv2.weight'].shape == (512, 512, 3, 3)
    atto = table_of('timm://convnext_atto.d2_in1k')
    assert atto['stem.0.weight'].shape == (40, 3, 4, 4)


def test_what_only_the_network_knows_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr('torch.hub._hub_dir', str(tmp_path))
    assert table_of('https://127.0.0.1:1/net-0123.pth') is None
    assert table_of('open-mmlab://resnet50_v1c') is None


def test_what_mmengine_loads_under_mmcls_is_without_its_prefix(monkeypatch, tmp_path):
    monkeypatch.setattr('torch.hub._hub_dir', str(tmp_path))
    kept = tmp_path / 'checkpoints/mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth'
    kept.parent.mkdir()
    torch.save({'backbone.conv1.weight': torch.ones(1), 'head.fc': torch.ones(1)}, kept)
    assert list(table_of('mmcls://mobilenet_v2')) == ['conv1.weight']


def test_a_file_that_is_no_checkpoint_raises(tmp_path):
    (tmp_path / 'net.pth').write_bytes(b'<html>')
    with pytest.raises(CheckpointError, match='is not a checkpoint'):
        table_of(str(tmp_path / 'net.pth'))

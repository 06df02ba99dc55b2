"""``convert``: renamed weights on disk, with where they are from."""

import hashlib
import json
import re

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from click.testing import CliRunner
from mmengine.config import ConfigDict
from mmengine.registry import MODELS

import plugin.registry  # noqa: F401
from plugin import __version__
from plugin.cli import main
from plugin.weights.files.safetensors_file import read_metadata


def run(*args):
    return CliRunner().invoke(main, ['convert', *map(str, args)])


@pytest.fixture(scope='module')
def atto(tmp_path_factory):
    """A timm ConvNeXt-atto with random weights, and its checkpoint."""
    torch.manual_seed(0)
    model = timm.create_model('convnext_atto', ls_init_value=1.0).eval()
    path = tmp_path_factory.mktemp('atto') / 'timm.pth'
    torch.save({'model': model.state_dict()}, path)
    return model, path


def last_map(model, image):
    with torch.no_grad():
        return model.head.norm(model.forward_features(image))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_the_file_gives_the_same_outputs_as_its_source(tmp_path, atto, suffix):
    model, source = atto
    out = tmp_path / f'out{suffix}'
    result = run(source, out, '--to', 'plugin.ConvNeXt')
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [out]
    # What is printed is what a config says.
    lines = result.stdout.splitlines()
    assert lines[1] == "backbone: dict(type='plugin.ConvNeXt', arch='atto')"
    assert lines[3] == f"init_cfg=dict(type='Pretrained', checkpoint='{out}')"
    cfg = eval(lines[1].partition(': ')[2])
    cfg['init_cfg'] = eval(lines[3].partition('=')[2])
    backbone = MODELS.build(ConfigDict(cfg))
    backbone.init_weights()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours = backbone.eval()(image)[-1]
    torch.testing.assert_close(ours, last_map(model, image), atol=1e-5, rtol=1e-5)


def test_the_file_says_where_its_weights_are_from(tmp_path, atto):
    _, source = atto
    assert run(source, tmp_path / 'a.pth', '--to', 'plugin.ConvNeXt').exit_code == 0
    out = tmp_path / 'a.safetensors'
    assert run(source, out, '--to', 'plugin.ConvNeXt').exit_code == 0
    meta = torch.load(tmp_path / 'a.pth', weights_only=True)['meta']
    assert meta['source'] == str(source)
    assert meta['source_sha256'] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert meta['source_names'] == "timm's ConvNeXt"
    assert json.loads(meta['backbone']) == {'type': 'plugin.ConvNeXt', 'arch': 'atto'}
    assert meta['converted_by'] == f'mm-backbone-plugin {__version__}'
    assert read_metadata(out) == {'format': 'pt', **meta}


def test_swins_sizes_are_taken_from_the_weights(tmp_path):
    model = torchvision.models.SwinTransformer(
        [4, 4], 12, [2, 1, 1, 2], [1, 2, 2, 4], [3, 3]
    )
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    result = run(
        tmp_path / 'a.pth', tmp_path / 'out.pth', '--to', 'mmseg.SwinTransformer'
    )
    assert result.exit_code == 0, result.output
    assert (
        'embed_dims=12, depths=(2, 1, 1, 2), num_heads=(1, 2, 2, 4), window_size=3'
    ) in result.stdout


def test_the_depth_of_a_resnet_is_taken_from_the_weights(tmp_path):
    weights = timm.create_model('resnet34').state_dict()
    torch.save({f'net.{k}': v for k, v in weights.items()}, tmp_path / 'a.pth')
    result = run(tmp_path / 'a.pth', tmp_path / 'out.pth', '--to', 'mmdet.ResNet')
    assert result.exit_code == 0, result.output
    assert '100.0 % of the parameters' in result.stdout
    assert "dict(type='mmdet.ResNet', depth=34)" in result.stdout


def test_options_prefixes_and_a_config_as_the_target(tmp_path, atto):
    _, source = atto
    config = tmp_path / 'config.py'
    config.write_text(
        "model = dict(backbone=dict(type='plugin.ConvNeXt', arch='tiny', "
        "out_indices=(1, 3), init_cfg=dict(type='Pretrained', checkpoint='no.pth')))"
    )
    first, second = tmp_path / 'a.safetensors', tmp_path / 'b.pth'
    options = ('--cfg-options', 'arch=atto', 'in_channels=1')
    result = run(source, first, '--to', config, *options, '--add-prefix', 'backbone')
    assert result.exit_code == 0, result.output
    weights = safetensors.torch.load_file(first)
    assert weights['backbone.downsample_layers.0.0.weight'].shape == (40, 1, 4, 4)
    assert 'backbone.norm2.weight' not in weights
    assert result.stdout.endswith(f"checkpoint='{first}', prefix='backbone')\n")

    back = ('--to', 'timm:convnext_atto')
    wrong = run(first, second, '--to', 'plugin.ConvNeXt', '--prefix', 'head')
    assert wrong.exit_code == 1 and "prefix='backbone.' would give" in wrong.stderr
    assert run(source, second, *back).exit_code == 0
    assert any(
        k.startswith('timm_model.stages_0.') for k in torch.load(second)['state_dict']
    )


def test_a_file_that_is_there_is_kept_without_force(tmp_path, atto):
    _, source = atto
    out = tmp_path / 'out.pth'
    out.write_text('mine')
    result = run(source, out, '--to', 'plugin.ConvNeXt')
    assert (result.exit_code, out.read_text()) == (2, 'mine')
    assert '--force' in result.stderr
    assert run(source, out, '--to', 'plugin.ConvNeXt', '--force').exit_code == 0
    assert torch.load(out)['meta']['source'] == str(source)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('out.npz', '--to', 'plugin.ConvNeXt'), 'must end in .pth or .safetensors'),
        (('out.pth', '--to', 'ConvNeXt'), 'write its type with its scope'),
        (('out.pth', '--to', 'plugin.ConvNext'), 'nearest names are plugin.ConvNeXt'),
        (('out.pth', '--to', 'nothing.Here'), 'there is no package nothing'),
        (
            ('out.pth', '--to', 'plugin.ConvNeXt', '--cfg-options', 'archi=tiny'),
            'takes no archi; did you mean arch',
        ),
        (
            ('out.pth', '--to', 'plugin.ConvNeXt', '--cfg-options', 'arch=tiny'),
            r'is \(96, 3, 4, 4\) in the model and \(40, 3, 4, 4\) in the file',
        ),
        (('out.pth', '--to', 'mmdet.ResNet'), 'has 0.0 % of the parameters'),
        (
            ('out.pth', '--to', 'plugin.ConvNeXt', '--min-loaded', '2'),
            '--min-loaded=2.0 must be a share',
        ),
        (('out.pth', '--to', 'timm:convnext_ato'), 'nearest names are convnext_atto'),
    ],
)
def test_a_mistake_is_status_1_and_writes_nothing(tmp_path, atto, args, message):
    _, source = atto
    result = run(source, tmp_path / args[0], *args[1:])
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr
    assert 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('missing', ['source', 'config'])
def test_what_is_not_there_is_status_2(tmp_path, atto, missing):
    _, source = atto
    target = tmp_path / 'no.py' if missing == 'config' else 'plugin.ConvNeXt'
    source = tmp_path / 'no.pth' if missing == 'source' else source
    result = run(source, tmp_path / 'out.pth', '--to', target)
    assert result.exit_code == 2
    assert str(tmp_path / 'no.p') in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk():
    """No file may have more than 100,000 bytes: a disk that is full, without one."""
    resource = pytest.importorskip('resource')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_disk_that_is_full_says_so_and_leaves_nothing(
    tmp_path, atto, full_disk, suffix
):
    _, source = atto
    result = run(source, tmp_path / f'out{suffix}', '--to', 'plugin.ConvNeXt')
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert 'File too large' in result.stderr


def test_both_formats_can_be_read_by_the_same_people(tmp_path, atto):
    _, source = atto
    modes = set()
    for name in ('a.pth', 'a.safetensors'):
        assert run(source, tmp_path / name, '--to', 'plugin.ConvNeXt').exit_code == 0
        modes.add((tmp_path / name).stat().st_mode)
    (tmp_path / 'plain').touch()
    assert modes == {(tmp_path / 'plain').stat().st_mode}


@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
def test_a_link_is_written_through_with_force_alone(tmp_path, atto, name):
    _, source = atto
    target, link = tmp_path / 'there' / name, tmp_path / name
    link.symlink_to(target)
    refused = run(source, link, '--to', 'plugin.ConvNeXt')
    assert (refused.exit_code, target.exists()) == (2, False)
    assert '--force' in refused.stderr
    assert run(source, link, '--to', 'plugin.ConvNeXt', '--force').exit_code == 0
    assert link.is_symlink() and target.is_file()

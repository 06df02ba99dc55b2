"""Every source gives the weights whole, or one clear message and no remains."""

import functools
import io
import os
import struct

import pytest
import safetensors.torch
import timm
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from plugin.weights import patches
from plugin.weights.files.download import DownloadError, download
from plugin.weights.files.safe_loading import (
    CheckpointError,
    allow_mmengine_checkpoints,
)
from plugin.weights.files.sources import read_checkpoint

WEIGHTS = {'conv.weight': torch.arange(6.0).reshape(2, 3), 'bias': torch.ones(2)}


class Creates:
    """Pickles as the creation of a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def as_pickle(contents):
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


as_safetensors = functools.partial(safetensors.torch.save, metadata={'a': 'b'})


def load(name, map_location='cpu'):
    return CheckpointLoader.load_checkpoint(str(name), map_location, logger=None)


def check(loaded):
    assert set(loaded) == set(WEIGHTS)
    assert all(torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


FORMATS = {
    '.pth': as_pickle,
    '.pt': as_pickle,
    '.bin': as_pickle,
    '.safetensors': as_safetensors,
}


# Where they come from


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_local_file_of_any_format_loads(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    path.write_bytes(FORMATS[suffix](WEIGHTS))
    check(load(path))


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_file_of_any_format_loads_by_url_and_is_kept(server, suffix):
    server.files[f'net-1{suffix}'] = FORMATS[suffix](WEIGHTS)
    check(load(server.url(f'net-1{suffix}')))
    check(load(server.url(f'net-1{suffix}')))
    assert server.asked == [f'net-1{suffix}']
    assert server.kept() == [f'net-1{suffix}']


def test_the_contents_say_what_a_file_is_and_not_its_name(tmp_path):
    path = tmp_path / 'pytorch_model.bin'
    path.write_bytes(as_safetensors(WEIGHTS))
    check(load(path))


def test_safetensors_load_into_a_model_and_onto_a_device(tmp_path):
    path = tmp_path / 'a.safetensors'
    model = nn.Linear(3, 2)
    path.write_bytes(as_safetensors(dict(model.state_dict())))
    other = nn.Linear(3, 2)
    load_checkpoint(other, str(path), strict=True)
    assert torch.equal(model.weight, other.weight)
    assert load(path, 'meta')['weight'].device.type == 'meta'


def test_files_of_one_name_from_two_places_are_kept_apart(server):
    for owner, value in ('a', 1.0), ('b', 2.0):
        contents = as_safetensors({'w': torch.tensor([value])})
        server.files[f'{owner}/model.safetensors'] = contents
    first, second = (load(server.url(f'{o}/model.safetensors'))['w'] for o in 'ab')
    assert (first.item(), second.item()) == (1.0, 2.0)
    assert len(server.kept()) == 2


def test_of_safetensors_names_shapes_and_dtypes_are_read_without_values(tmp_path):
    weights = {
        'scalar': torch.tensor(3),
        'empty': torch.zeros(0, 4),
        'flags': torch.ones(2, dtype=torch.bool),
        **{str(d): torch.ones(2, 3).to(d) for d in (torch.float16, torch.bfloat16)},
        'eight': torch.ones(2).to(torch.float8_e4m3fn),
    }
    (tmp_path / 'a.safetensors').write_bytes(as_safetensors(weights))
    found = read_checkpoint(tmp_path / 'a.safetensors', 'meta')
    assert all(tensor.is_meta for tensor in found.values())
    assert {n: (t.shape, t.dtype) for n, t in found.items()} == {
        n: (t.shape, t.dtype) for n, t in weights.items()
    }


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_mmengines_file_backends_serve_both_formats(monkeypatch, suffix):
    class Memory:
        def get(self, path):
            return FORMATS[suffix](WEIGHTS) if path == name else None

    name = f'petrel://bucket/a{suffix}'
    monkeypatch.setattr(
        'plugin.weights.files.loaders.get_file_backend', lambda *_, **__: Memory()
    )
    check(load(name))


def test_torchvisions_names_lead_to_the_same_download(server, monkeypatch):
    server.files['resnet-12345678.pth'] = as_pickle(WEIGHTS)
    monkeypatch.setattr(
        'mmengine.runner.checkpoint.get_torchvision_models',
        lambda: {'resnet': server.url('resnet-12345678.pth')},
    )
    check(load('torchvision://resnet'))
    server.cut.add('other.pth')
    server.files['other.pth'] = as_pickle(WEIGHTS)
    monkeypatch.setattr(
        'mmengine.runner.checkpoint.get_torchvision_models',
        lambda: {'other': server.url('other.pth')},
    )
    with pytest.raises(DownloadError, match='ended after'):
        load('torchvision://other')
    assert server.kept() == ['resnet-12345678.pth']


# timm and the hub


def test_timm_gives_its_weights_under_its_names(hub):
    torch.manual_seed(0)
    model = timm.create_model('resnet10t')
    hub(
        'timm/resnet10t.c3_in1k',
        {'model.safetensors': as_safetensors(model.state_dict())},
    )
    state = torch.get_rng_state()
    for name in 'resnet10t', 'resnet10t.c3_in1k':
        loaded = load(f'timm://{name}')
        assert list(loaded) == list(model.state_dict())
        assert torch.equal(
            loaded['layer1.0.conv1.weight'], model.layer1[0].conv1.weight
        )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('resnet10', 'is not a timm model; the nearest names are'),
        ('resnet10t.a9', 'asks for weights that timm lacks; it has resnet10t.c3_in1k'),
        ('seresnet18', '^timm://seresnet18 is not there: timm has no weights'),
    ],
)
def test_a_timm_model_that_can_not_be_had_says_why(hub, name, message):
    with pytest.raises(ValueError, match=message):
        load(f'timm://{name}')


@pytest.mark.parametrize('scheme', ['hf-hub:', 'hf_hub:'])
def test_the_hub_gives_the_weights_of_a_repository(hub, scheme):
    hub('me/net', {'pytorch_model.bin': as_pickle(WEIGHTS)})
    check(load(f'{scheme}me/net'))


def test_safetensors_are_preferred_where_a_repository_has_both(hub, tmp_path):
    hub(
        'me/net',
        {
            'pytorch_model.bin': as_pickle(dict(a=Creates(tmp_path / 'trace'))),
            'model.safetensors': as_safetensors(WEIGHTS),
        },
    )
    check(load('hf-hub:me/net'))
    assert not (tmp_path / 'trace').exists()


def test_a_pickle_of_the_hub_is_held_to_the_safe_loader(hub, tmp_path):
    evil = as_pickle(dict(a=Creates(tmp_path / 'trace')))
    hub('me/net', {'pytorch_model.bin': evil})
    with pytest.raises(CheckpointError, match='asks for .*mkdir'):
        load('hf-hub:me/net')
    assert not (tmp_path / 'trace').exists()


def test_a_repository_that_can_not_be_reached_is_one_line(hub):
    with pytest.raises(DownloadError, match='hf-hub:me/none cannot be downloaded') as e:
        load('hf-hub:me/none')
    assert '\n' not in str(e.value)


def test_timm_itself_neither_runs_a_pickle_nor_keeps_half_a_file(
    server, tmp_path, build, lines
):
    evil = as_pickle(dict(a=Creates(tmp_path / 'trace')))
    server.files |= {'evil.pth': evil, 'half.pth': evil}
    server.cut.add('half.pth')

    def overlay(name):
        cfg = dict(url=server.url(name), hf_hub_id='')
        return dict(
            model_name='resnet10t', timm_kwargs=dict(pretrained_cfg_overlay=cfg)
        )

    with pytest.raises(Exception, match='mkdir'):
        build('plugin.TIMMBackbone', pretrained=True, **overlay('evil.pth'))
    with pytest.raises(DownloadError, match='ended after'):
        build('plugin.TIMMBackbone', pretrained=True, **overlay('half.pth'))
    assert server.kept() == ['evil.pth']
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize(
    'library', ['plugin', 'mmseg', pytest.param('mmpretrain', marks=pytest.mark.slow)]
)
def test_a_timm_backbone_of_any_library_gets_its_line(hub, build, lines, library):
    if library != 'plugin':
        pytest.importorskip(f'{library}.models')
    model = timm.create_model('resnet10t')
    hub(
        'timm/resnet10t.c3_in1k',
        {'model.safetensors': as_safetensors(model.state_dict())},
    )
    build(
        f'{library}.TIMMBackbone',
        model_name='resnet10t',
        features_only=True,
        pretrained=True,
    )
    (line,) = lines
    assert 'ResNet: 100.0 % of' in line.getMessage()
    assert 'are from timm resnet10t.c3_in1k; 0 missing' in line.getMessage()


# Files that are no checkpoints


def huge_header(path):
    path.write_bytes(struct.pack('<Q', 1 << 40) + b'{' + b' ' * 100)


def truncated(path, contents):
    path.write_bytes(contents[: len(contents) - 10])


@pytest.mark.parametrize(
    ('name', 'make', 'message'),
    [
        ('a.pth', lambda p: truncated(p, as_pickle(WEIGHTS)), 'truncated or damaged'),
        (
            'a.safetensors',
            lambda p: truncated(p, as_safetensors(WEIGHTS)),
            r'is truncated or damaged \(\d+ bytes\): .*'
            # As safetensors says it, and as 0.4 does.
            r'(not fully covered|MetadataIncompleteBuffer)',
        ),
        ('a.pth', lambda p: p.write_bytes(b''), r'is empty \(0 bytes\)'),
        ('a.safetensors', lambda p: p.write_bytes(b''), r'is empty \(0 bytes\)'),
        ('a.pth', lambda p: p.write_text('Hello'), "it begins with b'Hello'"),
        (
            'a.safetensors',
            lambda p: p.write_text('version https://git-lfs'),
            "is not a safetensors file: it begins with b'version",
        ),
        ('a.safetensors', huge_header, 'declares a header of 1,099,511,627,776 bytes'),
        ('a.pth', lambda p: p.mkdir(), r'is a folder; .* \(there is none\)'),
    ],
)  # fmt: skip
def test_a_file_that_is_none_says_what_it_is(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f'{path} ')
    assert '\n' not in str(caught.value)


def test_a_folder_names_its_checkpoints_safetensors_first(tmp_path):
    for name in 'a.pth', 'b.safetensors':
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r'\(b.safetensors, a.pth\)'):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.safetensors: no such file'):
        load(tmp_path / 'no.safetensors')


# Downloads that fail


@pytest.mark.parametrize('name', ['half.pth', 'half.safetensors'])
def test_a_download_that_ends_half_way_leaves_nothing(server, name):
    contents = FORMATS[os.path.splitext(name)[1]](WEIGHTS)
    server.files[name] = contents
    server.cut.add(name)
    expected = f'ended after {len(contents) // 2} of {len(contents)} bytes'
    with pytest.raises(DownloadError, match=expected):
        load(server.url(name))
    assert server.kept() == []
    server.cut.clear()
    check(load(server.url(name)))


@pytest.mark.parametrize(
    'name', ['net.pth', 'net.safetensors', 'pytorch_model.bin', 'model.safetensors']
)
def test_a_damaged_file_that_came_whole_says_where_it_is_kept(server, name):
    contents = FORMATS[os.path.splitext(name)[1]](WEIGHTS)
    server.files[name] = contents[:-20]
    with pytest.raises(CheckpointError) as caught:
        load(server.url(name))
    (kept,) = server.kept()
    message = str(caught.value)
    assert message.startswith(f'{server.url(name)} (kept at ')
    assert f'{kept}) is truncated or damaged' in message


def test_what_the_server_refuses_or_nobody_serves_leaves_nothing(server):
    with pytest.raises(DownloadError, match=r'no\.pth: 404'):
        load(server.url('no.pth'))
    with pytest.raises(DownloadError, match='cannot be downloaded'):
        load('http://127.0.0.1:9/none.pth')
    assert server.kept() == []


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    server.files['a.pth'] = as_pickle(WEIGHTS)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('plugin.weights.files.download.tqdm.update', interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(server.url('a.pth'), tmp_path / 'to/a.pth')
    assert list((tmp_path / 'to').iterdir()) == []


def test_doing_it_again_changes_nothing():
    schemes = dict(CheckpointLoader._schemes)
    patches.install()
    allow_mmengine_checkpoints()
    assert CheckpointLoader._schemes == schemes

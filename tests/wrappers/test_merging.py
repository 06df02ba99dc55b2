"""Adapters merged into the weights by the command."""

import pytest
import torch
from click.testing import CliRunner

from plugin.cli import main
from plugin.registry import MODELS

pytest.importorskip('peft', reason='peft, an extra, is not installed')

INNER = dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,))
ADAPTED = dict(
    type='plugin.PEFTBackbone',
    backbone=INNER,
    peft_config=dict(peft_type='LORA', r=2, target_modules=['qkv']),
)


def write_config(folder, backbone):
    path = folder / 'trained.py'
    path.write_text(
        "default_scope = 'mmdet'\n"
        "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
        f"model = dict(type='RetinaNet', backbone={backbone!r})\n"
    )
    return str(path)


PYRAMID = dict(type='plugin.PyramidBackbone', out_channels=8, scales=(2, 1))


@pytest.mark.parametrize('from_file', [False, True])
@pytest.mark.parametrize(
    ('around', 'key'),
    [
        (lambda backbone: backbone, 'model.backbone.backbone'),
        (
            lambda backbone: dict(PYRAMID, backbone=backbone),
            'model.backbone.backbone.backbone',
        ),
    ],
    ids=['adapters', 'adapters in a pyramid'],
)
def test_the_merged_weights_give_the_same_feature_maps(
    around, key, from_file, tmp_path
):
    torch.manual_seed(0)
    inner = INNER
    if from_file:  # Which has what the checkpoint has not.
        torch.save(MODELS.build(INNER).state_dict(), tmp_path / 'vit.pth')
        file = str(tmp_path / 'vit.pth')
        inner = dict(INNER, init_cfg=dict(type='Pretrained', checkpoint=file))
    adapted = around(dict(ADAPTED, backbone=inner))
    trained = MODELS.build(adapted)
    trained.init_weights()
    assert any('left_out' in name for name in trained.state_dict()) == from_file
    with torch.no_grad():
        for name, param in trained.named_parameters():
            if '.lora_B' in name:
                param.normal_(std=0.1)
    state = {f'backbone.{n}': t for n, t in trained.state_dict().items()}
    state['neck.weight'] = torch.ones(2)
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    result = CliRunner().invoke(
        main,
        [
            *('convert', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')),
            *('--to', write_config(tmp_path, adapted), '--merge-adapters'),
        ],
    )
    assert result.exit_code == 0, result.output
    assert f'{key} ' in result.output
    merged = torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict']
    assert torch.equal(merged.pop('neck.weight'), torch.ones(2))
    plain = MODELS.build(around(INNER))
    plain.load_state_dict({n.removeprefix('backbone.'): t for n, t in merged.items()})
    image = torch.rand(1, 3, 64, 64)
    trained.eval(), plain.eval()
    with torch.no_grad():
        for ours, theirs in zip(trained(image), plain(image), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_config_without_adapters_is_refused(tmp_path):
    torch.save(dict(a=torch.ones(1)), tmp_path / 'a.pth')
    result = CliRunner().invoke(
        main,
        [
            *('convert', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')),
            *('--to', write_config(tmp_path, INNER), '--merge-adapters'),
        ],
    )
    assert result.exit_code == 1
    assert 'whose backbone is plugin.PEFTBackbone' in result.output
    assert not (tmp_path / 'b.pth').exists()

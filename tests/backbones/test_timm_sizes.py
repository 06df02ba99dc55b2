"""Sizes, patches and out_indices that cannot be, each by its own key."""

import pytest

from plugin.registry import MODELS


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(img_size=0), r'img_size=0 must be a whole number .* write img_size='),
        (dict(img_size='x'), r"img_size='x' must be"),
        (dict(img_size=64.5), r'img_size=64.5 must be'),
        (dict(img_size=(64,)), r'img_size=\(64,\) must be .* or two of them'),
        (dict(img_size=8), 'another img_size'),
        (
            dict(timm_kwargs=dict(patch_size=0)),
            r'timm_kwargs.patch_size=0 must be .* write timm_kwargs=dict\(patch',
        ),
        (dict(timm_kwargs=dict(patch_size=-3)), 'timm_kwargs.patch_size=-3 must be'),
        (dict(timm_kwargs=dict(patch_size='a')), "timm_kwargs.patch_size='a' must be"),
        (dict(timm_kwargs=dict(patch_size=500)), r'by patch size \(500\)'),
        (dict(out_indices=(5, 6)), r'out_indices=\(5, 6\) .* stages 0 to 5'),
        (dict(out_indices=(-7,)), r'out_indices=\(-7,\) is out of range'),
        (dict(out_indices=7), 'the last 7 maps, but test_vit has 6; write 1 to 6'),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(arguments, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(
            dict(type='plugin.TIMMBackbone', model_name='test_vit', **arguments)
        )

"""Checkpoints as they are published: their names and shapes, into their backbones.

``tools/published_keys.py`` makes the tables in ``published/``; what has to come of each
stands in them.
"""

import itertools
import json
import re
import sys
from functools import cache
from pathlib import Path

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import timm
import torch
from scripts import load_script

import plugin.registry  # noqa: F401
from plugin.measure.backbone import build
from plugin.measure.build import build_on_meta
from plugin.weights.conventions import timm_proposals
from plugin.weights.files.contents import under, weights_of
from plugin.weights.matching.fit import best_prefix, fit

FOLDER = Path(__file__).parent / 'published'
FILES = sorted(path.stem for path in FOLDER.glob('*.json'))


@cache
def table(file):
    return json.loads((FOLDER / f'{file}.json').read_text())


def expanded(keys):
    """Tensors without memory; ``blocks.{0-11}.norm.weight`` are twelve."""
    tensors = {}
    for name, shape in keys.items():
        parts = re.split(r'\{(\d+)-(\d+)\}', name)
        ranges = zip(parts[1::3], parts[2::3], strict=True)
        numbers = [range(int(first), int(last) + 1) for first, last in ranges]
        for chosen in itertools.product(*numbers):
            between = [*map(str, chosen), '']
            full = ''.join(itertools.chain(*zip(parts[::3], between, strict=True)))
            size = tuple(map(int, shape.split()))
            tensors[full] = torch.empty(size, device='meta')
    return tensors


def checkpoint(file):
    """The file as a loader gives it."""
    known = table(file)
    tensors = expanded(known['keys'])
    if not known['holder']:
        return tensors
    return {known['holder']: tensors, **dict.fromkeys(known['beside'], 0)}


CASES = [
    pytest.param(file, into, id=f'{file}-{into["backbone"]["type"]}')
    for file in FILES
    for into in table(file)['into']
]


def test_there_are_enough_of_them():
    assert len(FILES) >= 25


@pytest.mark.parametrize(('file', 'into'), CASES)
def test_a_published_file_is_found_and_loaded(file, into):
    weights = weights_of(checkpoint(file))
    backbone = build(dict(into['backbone']), meta=True)
    prefix, found = best_prefix(weights, backbone)
    assert prefix == into['prefix']
    assert found.origin == into['names']
    assert round(found.share, 5) == into['share'], lacking(found, backbone)
    # Under the prefix that is named to the user it is the same.
    named = fit(under(weights, prefix), backbone)
    assert (named.origin, named.loaded) == (found.origin, found.loaded)


def lacking(found, backbone):
    return [n for n, _ in backbone.named_parameters() if n not in found.tensors][:8]


# The module of timm that knows each, and the model.
RENAMED_BY_TIMM = {
    'clip_vit_base_patch16_state_dict.pt': 'vit_base_patch16_clip_224',
    'sam_vit_b_01ec64.pth': 'samvit_base_patch16',
    'dinov3_vits16_pretrain_lvd1689m.pth': 'vit_small_patch16_dinov3',
    'eva02_B_pt_in21k_p14.pt': 'eva02_base_patch14_224',
    'convnext_tiny_1k_224_ema.pth': 'convnext_tiny',
    'convnextv2_tiny_1k_224_ema.pt': 'convnextv2_tiny',
}


@pytest.mark.parametrize(('file', 'name'), RENAMED_BY_TIMM.items())
def test_ours_are_the_names_that_timm_gives_the_same_tensors(file, name):
    weights = weights_of(checkpoint(file))
    model = build_on_meta(lambda: timm.create_model(name))
    rename = sys.modules[type(model).__module__].checkpoint_filter_fn
    theirs = rename(dict(weights), model)
    (prefix,) = {into['prefix'] for into in table(file)['into']}
    (_, ours), *_ = timm_proposals(under(weights, prefix))
    compared = 0
    for key in model.state_dict():
        if key in theirs and key in ours:
            # It may have been reshaped, or be one of three parts.
            same = ours[key] is theirs[key]
            assert same or ours[key].squeeze().shape == theirs[key].squeeze().shape, key
            compared += same
    assert compared > 0.6 * len(model.state_dict())


@pytest.mark.slow
def test_the_tables_are_what_the_script_makes(repo_root):
    module = load_script(repo_root / 'tools/published_keys.py')
    assert sorted(published.file for published in module.FILES) == FILES
    for published in module.FILES:
        made = (FOLDER / f'{published.file}.json').read_text()
        assert module.text_of(published) == made, published.file
        # Nothing is lost where names are put together.
        assert {
            name: tuple(tensor.shape)
            for name, tensor in expanded(table(published.file)['keys']).items()
        } == published.keys()

import pytest
from torch import nn

from plugin.decay.stages import find_stages


def conv() -> nn.Module:
    return nn.Conv2d(4, 4, 3)


def light() -> nn.Module:
    return nn.Conv2d(4, 4, 1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()
        self.norm = nn.BatchNorm2d(4)


def blocks(number: int) -> nn.Sequential:
    return nn.Sequential(*(Block() for _ in range(number)))


def backbone(**children: nn.Module) -> nn.Module:
    """A module with these children, in this order."""
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def places(module: nn.Module) -> dict[str, tuple[int, int]]:
    """(stage, block) of the convolutions and of parameters outside of them."""
    found = find_stages(module)
    assert not found.unplaced
    assert set(found.places) == {name for name, _ in module.named_parameters()}
    return {
        name.removesuffix('.weight').removesuffix('.conv'): place
        for name, place in found.places.items()
        if not name.endswith('.bias') and '.norm.' not in name
    }


@pytest.mark.parametrize('name', ['stages', 'layers', 'blocks', 'encoder', 'anything'])
def test_a_list_of_stages_is_found_whatever_its_name(name):
    module = backbone(
        stem=conv(), **{name: nn.ModuleList([blocks(2), blocks(1)]), 'norm0': Block()}
    )
    assert places(module) == {
        'stem': (0, 0),
        f'{name}.0.0': (1, 1),
        f'{name}.0.1': (1, 2),
        f'{name}.1.0': (2, 1),
        'norm0': (3, 1),
    }


@pytest.mark.parametrize('names', [['layer1', 'layer2'], ['stage0', 'stage1']])
def test_numbered_children_are_stages_wherever_the_numbers_begin(names):
    module = backbone(stem=conv(), **{name: blocks(2) for name in names})
    assert [places(module)[f'{name}.1'] for name in names] == [(1, 2), (2, 2)]


def test_layer1_and_stage2_are_one_sequence_as_in_hrnet():
    module = backbone(
        conv1=conv(),
        layer1=blocks(1),
        transition1=nn.ModuleList([light(), light()]),
        stage2=blocks(1),
        transition2=nn.ModuleList([light(), light(), light()]),
        stage3=blocks(2),
    )
    found = places(module)
    assert found['conv1'] == (0, 0)
    assert [found['layer1.0'], found['stage2.0'], found['stage3.1']] == [
        (1, 1),
        (2, 1),
        (3, 2),
    ]
    assert found['transition1.1'] == (2, 1) and found['transition2.2'] == (3, 1)


def test_a_first_entry_of_another_class_is_the_stem_when_nothing_precedes_it():
    module = backbone(layers=nn.ModuleList([conv(), blocks(1), blocks(2)]))
    assert places(module) == {
        'layers.0': (0, 0),
        'layers.1.0': (1, 1),
        'layers.2.0': (2, 1),
        'layers.2.1': (2, 2),
    }


def test_what_precedes_the_first_blocks_is_the_stem_when_nothing_else_is():
    stages = [nn.ModuleList([conv(), blocks(2), nn.LayerNorm(4)]) for _ in range(2)]
    found = places(backbone(layers=nn.ModuleList(stages)))
    assert found['layers.0.0'] == (0, 0)
    assert found['layers.0.1.0'] == (1, 1)
    # The embedding of a later stage leads into it, its norm ends it.
    assert found['layers.1.0'] == (2, 1)
    assert found['layers.1.1.1'] == found['layers.1.2'] == (2, 2)


def test_a_bare_parameter_is_in_the_stem():
    module = backbone(blocks=blocks(3))
    module.pos_embed = nn.Parameter(conv().weight[0, 0])
    assert places(module)['pos_embed'] == (0, 0)
    assert places(module)['blocks.0'] == (1, 1)


def test_downsampling_lists_lead_into_their_stages():
    module = backbone(
        downsample=nn.ModuleList([conv(), conv(), conv()]),
        stages=nn.ModuleList([blocks(2), blocks(2), blocks(2)]),
    )
    found = places(module)
    assert [found[f'downsample.{i}'] for i in range(3)] == [(0, 0), (2, 1), (3, 1)]


def test_a_stem_is_a_stem_also_when_it_has_as_many_parts_as_there_are_stages():
    module = backbone(
        stem=nn.ModuleList([conv(), conv()]),
        stages=nn.ModuleList([blocks(2), blocks(2)]),
    )
    found = places(module)
    assert found['stem.0'] == found['stem.1'] == (0, 0)


def test_one_fewer_than_stages_stand_between_them():
    module = backbone(
        stem=conv(),
        stages=nn.ModuleList([blocks(2), blocks(2), blocks(2)]),
        transitions=nn.ModuleList([conv(), conv()]),
    )
    found = places(module)
    assert [found[f'transitions.{i}'] for i in range(2)] == [(2, 1), (3, 1)]


def test_as_many_as_stages_after_them_end_them():
    module = backbone(
        stem=conv(),
        stages=nn.ModuleList([blocks(2), blocks(3)]),
        encodings=nn.ModuleList([light(), light()]),
    )
    found = places(module)
    assert [found[f'encodings.{i}'] for i in range(2)] == [(1, 2), (2, 3)]


def test_output_norms_go_with_the_head():
    module = backbone(
        stem=conv(),
        stages=nn.ModuleList([blocks(1), blocks(1)]),
        norms=nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4)]),
        norm=nn.LayerNorm(4),
    )
    found = places(module)
    assert found['norms.0'] == found['norms.1'] == found['norm'] == (3, 1)


def test_numbered_norms_between_stages_belong_to_the_stage_they_follow():
    module = backbone(
        stem=conv(),
        block1=blocks(2),
        norm1=nn.LayerNorm(4),
        block2=blocks(2),
        norm2=nn.LayerNorm(4),
        block3=blocks(2),
        norm3=nn.LayerNorm(4),
    )
    found = places(module)
    assert (found['norm1'], found['norm2'], found['norm3']) == ((1, 1), (2, 1), (4, 1))


def test_norms_and_activations_in_a_sequence_are_no_blocks_of_their_own():
    stage = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), conv(), nn.ReLU())
    module = backbone(stem=conv(), stage1=stage, stage2=blocks(1))
    found = places(module)
    assert [found[f'stage1.{i}'] for i in (0, 1, 3)] == [(1, 1), (1, 1), (1, 2)]


def test_parallel_branches_are_not_counted_as_blocks():
    unit = backbone(branches=nn.ModuleList([blocks(1), blocks(1)]), fuse_layers=conv())
    module = backbone(stem=conv(), stage1=nn.Sequential(unit), stage2=blocks(1))
    assert find_stages(module).blocks == (1, 1)


@pytest.mark.parametrize('number', [1, 2])
def test_a_second_sequence_has_no_place(number):
    decoder = nn.ModuleList([blocks(1) for _ in range(number)])
    module = backbone(
        stem=conv(), encoder=nn.ModuleList([blocks(1), blocks(2)]), decoder=decoder
    )
    names = [f'decoder.{name}' for name, _ in decoder.named_parameters()]
    assert list(find_stages(module).unplaced) == names


def test_children_without_a_sequence_are_no_stages():
    assert find_stages(backbone(first=conv(), second=conv(), third=blocks(1))) is None


def test_a_sequence_with_less_than_half_of_the_parameters_is_not_taken():
    module = backbone(body=blocks(2), encoder=nn.Linear(100, 100), decoder=conv())
    assert find_stages(module) is None


def test_depth_counts_blocks_or_stages():
    module = backbone(stem=conv(), stages=nn.ModuleList([blocks(2), blocks(3)]))
    found = find_stages(module)
    names = ['stem.weight', 'stages.0.1.conv.weight', 'stages.1.2.conv.weight']
    assert [found.by_stage(name) for name in names] == [0, 1, 2]
    assert [found.by_block(name) for name in names] == [0, 2, 5]

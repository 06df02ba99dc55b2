from plugin.decay.param_groups import ParamGroup, by_layer, parts, table


def group(layer, *names, lr=0.5, weight_decay=0.0, frozen=False, params=1):
    tensors = len(names)
    return ParamGroup(lr, weight_decay, layer, tensors, tensors * params, names, frozen)


def test_the_table_has_a_line_a_group_and_a_sum():
    groups = [
        ParamGroup(0.000125, 0.0, 0, 2, 1234567, ('a', 'b'), True),
        ParamGroup(0.5, 0.05, None, 1, 3, ('c',), False),
    ]
    assert table(groups).split('\n') == [
        '  layer        lr  weight decay  tensors  parameters  frozen',
        '      0  0.000125             0        2   1,234,567     yes',
        'several       0.5          0.05        1           3',
        '    all                                3   1,234,570',
    ]


def test_groups_alike_become_one_line_and_others_stay_apart():
    groups = [
        group(1, 'a', params=10),
        group(1, 'b', frozen=True),
        group(1, 'c', lr=0.25),
        group(1, 'd', weight_decay=0.1),
        group(2, 'e'),
        group(1, 'f', 'g', params=100),
    ]
    assert by_layer(groups) == [
        ParamGroup(0.5, 0.0, 1, 3, 210, ('a', 'f', 'g'), False),
        *groups[1:5],
    ]


def test_lines_go_from_the_stem_up_and_those_without_a_layer_come_last():
    groups = [group(None, 'a'), group(10, 'b'), group(2, 'c'), group(0, 'd')]
    assert [row.layer for row in by_layer(groups)] == [0, 2, 10, None]


def test_parts_are_as_deep_as_two_can_name_all():
    stage = [f'backbone.stages.1.{i}.norm.weight' for i in range(3)]
    assert parts(stage) == ['backbone.stages.1']
    assert parts([*stage, 'backbone.downsample_layers.1.0.bias']) == [
        'backbone.stages.1',
        'backbone.downsample_layers.1',
    ]
    stem = ['backbone.conv1.weight', 'backbone.bn1.bias', 'backbone.layer1.0.bias']
    assert parts(stem) == ['backbone']
    assert parts([*stem, 'neck.a.b.weight', 'head.c.d.weight']) == [
        'backbone',
        'neck',
        'head',
    ]


def test_a_parameter_of_the_model_itself_is_named():
    assert parts(['scale', 'backbone.conv1.weight']) == ['scale', 'backbone.conv1']

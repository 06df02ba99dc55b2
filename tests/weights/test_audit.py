"""The audit: one line where weights are loaded, an error where they are not."""

import copy
import logging
import pickle

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModel, BaseModule, initialize
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, Runner
from torch import nn
from torch.utils.data import Dataset

from plugin.weights.audit.report import PretrainedError

WEIGHT = torch.ones(2)
SWIN = dict(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)


class Small(BaseModule):
    """12 + 4 parameters, 2 + 2 tensors."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 2, (1, 5))
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(self.conv(x))


class Holder(BaseModule):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def pretrained(path, **more):
    return dict(type='Pretrained', checkpoint=str(path), **more)


def save(path, prefix='', module=None, leave_out=(), **more):
    torch.manual_seed(1)
    weights = (module or Small()).state_dict()
    weights = {
        k: torch.randn(v.shape) for k, v in weights.items() if k not in leave_out
    }
    weights = {prefix + k: v for k, v in weights.items()}
    torch.save({'state_dict': {**weights, **more}}, path)
    return path


def refusal(module):
    with pytest.raises(PretrainedError) as caught:
        module.init_weights()
    return str(caught.value)


# The line


def test_one_line_says_what_share_was_loaded_and_from_where(tmp_path, lines):
    path = save(tmp_path / 'a.pth', 'backbone.', **{'head.fc': torch.ones(1)})
    model = Holder(Small(pretrained(path, prefix='backbone.')))
    model.init_weights()
    (line,) = lines
    assert line.getMessage() == (
        f'backbone (Small): 100.0 % of 16 parameters are from {path}; '
        '0 missing, 0 unexpected, 0 mismatched tensors'
    )
    assert line.levelno == logging.INFO
    assert torch.equal(
        model.backbone.conv.weight,
        torch.load(path)['state_dict']['backbone.conv.weight'],
    )


def test_missing_unexpected_and_mismatched_tensors_are_counted(tmp_path, lines):
    path = save(
        tmp_path / 'a.pth',
        leave_out=['norm.weight', 'norm.running_mean'],
        **{'norm.bias': torch.ones(7), 'a': torch.ones(1), 'b': torch.ones(1)},
    )
    Small(pretrained(path)).init_weights()
    (line,) = lines
    assert '75.0 % of 16 parameters' in line.getMessage()
    assert (
        '2 missing (norm.running_mean, norm.weight), 2 unexpected, '
        '1 mismatched (norm.bias) tensors' in line.getMessage()
    )
    assert line.levelno == logging.WARNING


def test_norms_that_the_source_never_had_are_no_warning(tmp_path, lines):
    path = save(tmp_path / 'a.pth', leave_out=['norm.weight', 'norm.bias'])
    Small(pretrained(path)).init_weights()
    assert [line.levelno for line in lines] == [logging.INFO]


def test_a_model_without_pretrained_weights_gets_no_line(lines):
    Holder(Small(dict(type='Constant', layer='Conv2d', val=1.0))).init_weights()
    assert lines == []


def test_mmengines_flood_of_names_is_gone(tmp_path, caplog):
    path = save(tmp_path / 'a.pth', leave_out=['norm.weight'], more=torch.ones(1))
    with caplog.at_level(logging.WARNING):
        Small(pretrained(path)).init_weights()
    assert 'do not match exactly' not in caplog.text


# The error


@pytest.mark.parametrize('prefix', [None, 'model.', 'backbon'])
def test_a_wrong_or_missing_prefix_is_an_error_that_names_the_right_one(
    tmp_path, prefix
):
    path = save(tmp_path / 'a.pth', 'backbone.', **{'head.fc': torch.ones(100)})
    more = {} if prefix is None else dict(prefix=prefix)
    message = refusal(Holder(Small(pretrained(path, **more))))
    assert message.startswith('backbone (Small): only 0.0 % of the parameters')
    assert f'were loaded from {path}' in message
    assert "prefix='backbone.' would give 100.0 %" in message


def test_a_prefix_where_none_is_wanted_is_named_too(tmp_path):
    path = save(tmp_path / 'a.pth')
    message = refusal(Small(pretrained(path, prefix='backbone.')))
    assert 'No prefix would give 100.0 %: leave it out' in message


def test_of_several_prefixes_the_one_that_gives_most_is_named(tmp_path):
    path = tmp_path / 'a.pth'
    half = {f'half.{k}': v for k, v in Small().conv.state_dict(prefix='conv.').items()}
    save(path, 'student.backbone.', **half)
    message = refusal(Small(pretrained(path)))
    assert "prefix='student.backbone.' would give 100.0 %" in message


def test_a_prefix_of_larger_weights_that_do_not_fit_is_not_the_one(tmp_path):
    large = {'large.conv.weight': torch.ones(64, 1, 1, 5), 'large.conv.bias': WEIGHT}
    path = save(tmp_path / 'a.pth', 'small.', **large)
    assert "prefix='small.' would give 100.0 %" in refusal(Small(pretrained(path)))


def test_weights_of_another_size_are_named_with_both_shapes(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'conv.weight': torch.ones(4, 1, 1, 5)}, path)
    message = refusal(Small(pretrained(path)))
    assert 'conv.weight is (2, 1, 1, 5) in the model and (4, 1, 1, 5)' in message


def test_names_that_nothing_fits_are_shown(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'some.weight': torch.ones(4)}, path)
    message = refusal(Small(pretrained(path)))
    assert 'the file has some.weight, the model conv.weight, conv.bias' in message


def test_less_than_half_of_the_parameters_is_an_error(tmp_path):
    path = save(tmp_path / 'a.pth', leave_out=['conv.weight'])
    message = refusal(Small(pretrained(path)))
    assert 'only 37.5 % of the parameters were loaded from' in message
    assert 'at least 50.0 % are required' in message


def test_the_threshold_is_set_in_init_cfg_or_by_the_environment(tmp_path, monkeypatch):
    path = save(tmp_path / 'a.pth', leave_out=['conv.weight'])
    Small(pretrained(path, min_loaded=0.3)).init_weights()
    monkeypatch.setenv('MM_BACKBONE_MIN_LOADED', '0.3')
    Small(pretrained(path)).init_weights()
    message = refusal(Small(pretrained(path, min_loaded=0.8)))
    assert 'at least 80.0 % are required' in message
    monkeypatch.setenv('MM_BACKBONE_MIN_LOADED', '0')
    Small(pretrained(path, prefix='nowhere')).init_weights()


@pytest.mark.parametrize('value', [1.5, -1, 'much', [1]])
def test_a_threshold_that_is_no_share_is_refused(tmp_path, value):
    path = save(tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='must be a share of the parameters'):
        Small(pretrained(path, min_loaded=value)).init_weights()


def test_weights_that_are_overwritten_again_do_not_count(tmp_path, lines):
    class ZeroAfter(Small):
        def init_weights(self):
            super().init_weights()
            nn.init.zeros_(self.norm.weight)

    path = save(tmp_path / 'a.pth')
    ZeroAfter(pretrained(path)).init_weights()
    (line,) = lines
    assert '87.5 % of 16 parameters' in line.getMessage()
    assert '1 overwritten after loading (norm.weight)' in line.getMessage()
    assert line.levelno == logging.WARNING


def test_an_init_weights_that_forgets_init_cfg_is_an_error(tmp_path):
    class Forgetful(Small):
        def init_weights(self):
            nn.init.normal_(self.conv.weight)

    message = refusal(Forgetful(pretrained(save(tmp_path / 'a.pth'))))
    assert 'let it call super().init_weights()' in message


def test_an_init_weights_called_twice_is_none(tmp_path, lines):
    module = Small(pretrained(save(tmp_path / 'a.pth')))
    module.init_weights()
    module.init_weights()
    assert len(lines) == 1


def test_an_initializer_used_by_hand_is_audited(tmp_path):
    path = save(tmp_path / 'a.pth', 'backbone.')
    with pytest.raises(PretrainedError, match="prefix='backbone.'"):
        initialize(Small(), pretrained(path))


def test_an_audited_model_copies_and_pickles(tmp_path):
    module = MODELS.build(
        ConfigDict(type='mmdet.SwinTransformer', **SWIN, init_cfg=None)
    )
    module.init_weights()
    copied = copy.deepcopy(module)
    assert pickle.loads(pickle.dumps(copied)).state_dict().keys()
    assert not module._load_state_dict_pre_hooks


# Backbones that load by themselves

SELF_LOADERS = {
    'mmdet.SwinTransformer': SWIN,
    'mmseg.SwinTransformer': SWIN,
    'mmdet.PyramidVisionTransformer': dict(
        embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4, pretrain_img_size=32
    ),
    'mmseg.VisionTransformer': dict(
        img_size=32, embed_dims=12, num_layers=1, num_heads=2, out_indices=0
    ),
    'mmseg.BEiT': dict(
        img_size=(32, 32), embed_dims=12, num_layers=1, num_heads=2, out_indices=0
    ),
    'mmseg.MAE': dict(
        img_size=(32, 32), embed_dims=12, num_layers=1, num_heads=2, out_indices=0
    ),
    'mmdet.DetectoRS_ResNet': dict(
        depth=50, base_channels=4, num_stages=1, out_indices=(0,),
        strides=(1,), dilations=(1,),
    ),
    'mmseg.PIDNet': dict(
        channels=4, ppm_channels=4, num_stem_blocks=1, num_branch_blocks=1
    ),
}  # fmt: skip


def build_self_loader(name, checkpoint):
    args = dict(SELF_LOADERS[name])
    init_cfg = None if checkpoint is None else pretrained(checkpoint)
    return MODELS.build(ConfigDict(type=name, init_cfg=init_cfg, **args))


@pytest.mark.parametrize('name', SELF_LOADERS)
def test_a_backbone_that_loads_by_itself_gets_its_line(tmp_path, name, lines):
    prefix = 'backbone.' if name == 'mmdet.SwinTransformer' else ''
    source = build_self_loader(name, None)
    path = save(tmp_path / 'a.pth', prefix, source)
    module = build_self_loader(name, path)
    module.init_weights()
    (line,) = lines
    assert f'100.0 % of {_count(module)} parameters' in line.getMessage()
    assert '0 missing, 0 unexpected, 0 mismatched' in line.getMessage()
    weights = torch.load(path)['state_dict']
    for key, param in module.named_parameters():
        assert torch.equal(param, weights[prefix + key])


def _count(module):
    total = sum(p.numel() for p in module.parameters())
    return f'{total / 1e6:.1f} M' if total >= 1e5 else f'{total:,}'


@pytest.mark.parametrize('name', SELF_LOADERS)
def test_a_backbone_that_loads_nothing_by_itself_is_an_error(tmp_path, name):
    path = save(tmp_path / 'a.pth', 'net.detector.', build_self_loader(name, None))
    message = refusal(build_self_loader(name, path))
    assert 'only 0.0 %' in message
    assert "prefix='net.detector.' would give 100.0 %" in message


def test_a_backbone_that_loads_by_itself_takes_the_prefix_that_was_named(
    tmp_path, lines
):
    source = build_self_loader('mmdet.SwinTransformer', None)
    path = save(tmp_path / 'a.pth', 'net.detector.', source)
    cfg = pretrained(path, prefix='net.detector.')
    module = MODELS.build(
        ConfigDict(type='mmdet.SwinTransformer', init_cfg=cfg, **SWIN)
    )
    module.init_weights()
    assert '100.0 %' in lines[0].getMessage()


def test_an_error_of_the_file_is_not_taken_for_a_failed_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.pth'):
        build_self_loader('mmdet.SwinTransformer', tmp_path / 'no.pth').init_weights()


# In a Runner


class Images(Dataset):
    metainfo = {}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {'inputs': torch.ones(1, 1, 5)}


class Model(BaseModel):
    def __init__(self, init_cfg):
        super().__init__()
        self.backbone = Small(init_cfg)

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.backbone(torch.stack(list(inputs))).square().mean()}


class Iterations(Hook):
    def __init__(self):
        self.weights = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.weights.append(runner.model.backbone.conv.weight.detach().clone())


def run(work_dir, init_cfg, **settings):
    runner = Runner(
        model=Model(init_cfg),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=Images(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=settings.pop('epochs', 1)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='WARNING',
        **settings,
    )
    iterations = Iterations()
    runner.register_hook(iterations)
    try:
        runner.train()
    except PretrainedError as error:
        return iterations.weights, error
    return iterations.weights, None


def test_a_runner_stops_before_its_first_iteration(tmp_path):
    path = save(tmp_path / 'a.pth', 'backbone.')
    weights, error = run(tmp_path / 'run', pretrained(path))
    assert weights == []
    assert "prefix='backbone.' would give 100.0 %" in str(error)


def test_a_runner_trains_from_audited_weights_and_resumes(tmp_path):
    path = save(tmp_path / 'a.pth', 'backbone.')
    cfg = pretrained(path, prefix='backbone.')
    weights, _ = run(tmp_path / 'run', cfg)
    expected = torch.load(path)['state_dict']['backbone.conv.weight']
    assert torch.equal(weights[0], expected)
    last = str(tmp_path / 'run/epoch_1.pth')
    trained = CheckpointLoader.load_checkpoint(last, 'cpu', logger=None)
    trained = trained['state_dict']['backbone.conv.weight']
    resumed, error = run(tmp_path / 'again', cfg, epochs=2, load_from=last, resume=True)
    assert error is None
    assert torch.equal(resumed[0], trained)

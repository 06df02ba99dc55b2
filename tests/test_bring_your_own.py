"""docs/own_backbone.md, word for word, through real mim."""

import re

import pytest

FILE = re.compile(r'`([\w.]+\.py)`\n\n```python\n(.*?)```', re.S)


@pytest.fixture
def page(repo_root):
    return (repo_root / 'docs/own_backbone.md').read_text()


@pytest.fixture
def project(page, repo_root, shapes, tmp_path):
    """A user's folder, outside the clone, with the files that the page shows."""
    (tmp_path / 'mm-backbone-plugin').symlink_to(repo_root)
    folder = tmp_path / 'my_project'
    (folder / 'data').mkdir(parents=True)
    (folder / 'data/shapes').symlink_to(shapes)
    for name, text in FILE.findall(page):
        (folder / name).write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    'library, config, two_iterations',
    [
        ('mmdet', 'retinanet_mynet.py', 'train_cfg.max_epochs=1'),
        ('mmsegmentation', 'upernet_mynet.py', 'train_cfg.max_iters=2'),
        ('mmyolo', 'yolov5_mynet.py', 'train_cfg.max_epochs=1'),
    ],
)
def test_a_users_own_file_trains_in(
    library, config, two_iterations, project, page, run_mim, lighter
):
    assert f'mim train {library} {config}\n' in page
    done = run_mim(
        *('train', library, config, '--work-dir', 'out', '--cfg-options'),
        # 16 images in batches of 8: an epoch is two iterations.
        *(two_iterations, 'train_dataloader.batch_size=8'),
        *('default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=1'),
        cwd=project,
        pythonpath=[project, lighter],
        # One with no import done before.
        fresh=library == 'mmyolo',
    )
    losses = [float(loss) for loss in re.findall(r'  loss: (\S+)', done.stdout)]
    assert len(losses) == 2 and all(0 < loss < 1e4 for loss in losses)
    assert "type='plugin.MyNet'" in done.stdout
    assert len(list((project / 'out').glob('*.pth'))) == 1
    weights = next((project / 'out').glob('*.pth'))
    from plugin.weights.files.sources import read_checkpoint

    state = read_checkpoint(weights)['state_dict']
    assert 'backbone.stages.3.0.weight' in state


def test_the_page_shows_one_file_of_about_thirty_lines_and_three_configs(page):
    files = dict(FILE.findall(page))
    assert len(files) == 4
    assert len(files.pop('my_backbone.py').splitlines()) <= 40
    assert all(len(text.splitlines()) <= 12 for text in files.values())

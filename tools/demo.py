"""Trains, tests and pictures one model on the generated shapes, through mim.

``make demo`` runs it in the environment; TASK chooses the model, or CONFIG another
config. A TASK of ``tools/demos/`` trains several and compares them, over SEEDS runs.
One that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plugin.libraries import BY_SCOPE

ROOT = Path(__file__).resolve().parents[1]
DATA = Path('data/shapes')
ENVIRONMENT = {
    # Two threads were many times slower than one on a machine with other work, and the
    # order of sums should not depend on the number of cores.
    'OMP_NUM_THREADS': '1',
    # Hundreds of lines of the libraries' own deprecations.
    'PYTHONWARNINGS': 'ignore',
    # albumentations searches the network for its newest version at each import.
    'NO_ALBUMENTATIONS_UPDATE': '1',
}


@dataclass(frozen=True)
class Task:
    """One demo.

    Attributes:
        library: What mim trains.
        config: Path from the clone.
        data: Folders that the config reads, from the clone.
    """

    library: str
    config: str
    data: tuple[Path, ...] = (DATA,)


SCOPES = {library.mim: scope for scope, library in BY_SCOPE.items()}
# What is usually in these folders.
DATA_SETS = {
    'data/coco': 'COCO 2017',
    'data/ade/ADEChallengeData2016': 'ADE20K',
    'data/imagenet': 'ImageNet-1k',
}
# Key in a library's results: what to print it as.
METRICS = {
    'coco/bbox_mAP': 'bbox mAP',
    'coco/bbox_mAP_50': 'bbox mAP50',
    'coco/segm_mAP': 'mask mAP',
    'mIoU': 'mIoU',
    'mAcc': 'mean accuracy',
}
TASKS = {
    'det': Task('mmdet', 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'),
    'yolox': Task(
        'mmdet', 'configs/det/yolox_s_timm-resnet10t_pafpn_1xb8-14e_shapes.py'
    ),
    'maskrcnn': Task(
        'mmdet', 'configs/det/mask-rcnn_timm-resnet10t_fpn_1xb8-10e_shapes.py'
    ),
    'yolov5': Task(
        'mmyolo', 'configs/yolo/yolov5_s_timm-resnet10t_pafpn_1xb16-30e_shapes.py'
    ),
    'vit': Task('mmdet', 'configs/det/retinanet_timm-vit-tiny_fpn_1xb8-14e_shapes.py'),
    'upernet': Task(
        'mmsegmentation', 'configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py'
    ),
}


# Each compares several trainings.
COMPARISONS = {
    path.stem: path for path in sorted((ROOT / 'tools/demos').glob('[!_]*.py'))
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--task', default='')
    parser.add_argument('--config', default='')
    parser.add_argument('--seeds', default='')
    args = parser.parse_args()
    name = args.task or 'det'
    if name not in TASKS and name not in COMPARISONS:
        names = ', '.join([*TASKS, *COMPARISONS])
        sys.exit(f'error: TASK={name} is not a demo; choose one of {names}.')
    if name in COMPARISONS:
        if args.config:
            sys.exit(
                f'error: TASK={name} compares several configs; leave CONFIG out, or '
                'TASK.'
            )
        compare(name, number_of(args.seeds))
        return
    if args.seeds:
        sys.exit(
            f'error: SEEDS={args.seeds} is for comparisons '
            f'({", ".join(COMPARISONS)}); leave it out.'
        )
    task = TASKS[name]
    if args.config:
        task = of_config(args.config, TASKS.get(args.task))
        name = Path(args.config).stem
    work_dir = Path('work_dirs/demo') / name
    started = time.monotonic()

    if DATA in task.data:
        step(1, f'shapes data set in {DATA}')
        run(sys.executable, '-m', 'plugin', 'shapes', DATA)
    else:
        step(1, f'data set: {", ".join(map(str, task.data)) or "of the config"}')

    step(2, f'training {Path(task.config).stem} in {work_dir}')
    # It is there from the start of a training to its end.
    started_here = ROOT / work_dir / 'unfinished'
    resume = ['--resume'] if started_here.exists() else []
    started_here.parent.mkdir(parents=True, exist_ok=True)
    started_here.touch()
    run('mim', 'train', task.library, task.config, '--work-dir', work_dir, *resume)
    started_here.unlink()
    checkpoint = work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text()).name

    step(3, f'testing {checkpoint}')
    test_dir = work_dir / 'test'
    run(
        *('mim', 'test', task.library, task.config),
        *('--checkpoint', checkpoint, '--work-dir', test_dir),
    )
    results = newest_results(test_dir)

    step(4, 'contact sheet')
    sheet = work_dir / 'contact_sheet.png'
    run(
        *(sys.executable, '-m', 'plugin', 'sheet', task.config, checkpoint),
        *('-o', sheet, '--num', '8', '--score', '0.5'),
    )

    minutes = (time.monotonic() - started) / 60
    print(f'\nDone in {minutes:.1f} min.')
    for label, value in to_show(results).items():
        print(f'{label:<13} {value:.3f}')
    print(f'{"checkpoint":<14}{checkpoint}')
    print(f'{"contact sheet":<14}{sheet}')


def compare(name: str, seeds: int) -> None:
    """Run the comparison of that name, and print its table."""
    warnings.simplefilter('ignore')  # pkg_resources, which mmengine imports.
    from plugin.demo import comparison

    spec = importlib.util.spec_from_file_location(name, COMPARISONS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    work_dir = Path('work_dirs/demo') / name
    os.chdir(ROOT)
    run(sys.executable, '-m', 'plugin', 'shapes', *module.COMPARISON.shapes)
    try:
        table = comparison.compare(module.COMPARISON, work_dir, seeds, run)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'\n{table}')
    print(f'{"curves":<14}{work_dir / "curves.png"}')
    print(f'{"contact sheet":<14}{work_dir / "contact_sheet.png"}')


def number_of(seeds: str) -> int:
    """The number of runs that SEEDS asks for; end this program unless it is one."""
    if not seeds:
        return 1
    if not seeds.isascii() or not seeds.isdigit() or not int(seeds):
        sys.exit(f'error: SEEDS={seeds} is not a number of runs; give 1 or more.')
    return int(seeds)


def to_show(results: dict[str, float]) -> dict[str, float]:
    """The metrics to print; every number of a metric that is not known here."""
    known = {label: results[key] for key, label in METRICS.items() if key in results}
    return known or {
        key: value
        for key, value in results.items()
        if isinstance(value, (int, float)) and key not in ('time', 'data_time', 'step')
    }


def of_config(config: str, task: Task | None) -> Task:
    """Return the demo of another config; end this program unless it can run here.

    Args:
        config: Path from the clone.
        task: What TASK says, whose library it has to be of; None for that of its scope.
    """
    warnings.simplefilter('ignore')  # pkg_resources, which mmengine imports.
    from mmengine.config import Config

    if not (ROOT / config).is_file():
        sys.exit(f'error: CONFIG={config}: there is no such file.')
    try:
        cfg = Config.fromfile(ROOT / config, import_custom_modules=False)
    except Exception as error:
        sys.exit(f'error: CONFIG={config} does not load: {error}')
    scope = cfg.get('default_scope')
    if scope not in BY_SCOPE:
        sys.exit(
            f"error: CONFIG={config} has default_scope='{scope}'; a demo is of one of "
            f'{", ".join(BY_SCOPE)}.'
        )
    library = BY_SCOPE[scope].mim
    if task is not None and task.library != library:
        sys.exit(
            f"error: CONFIG={config} has default_scope='{scope}', but this task "
            f'trains with {task.library} ({SCOPES[task.library]}); leave TASK out.'
        )
    roots: dict[Path, None] = {}
    missing: dict[Path, None] = {}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if not cfg.get(loader):
            sys.exit(
                f'error: CONFIG={config} has no {loader}; a demo trains and tests.'
            )
        for root, paths in read_by(cfg[loader].dataset):
            roots[root] = None
            if root != DATA:
                missing |= dict.fromkeys(p for p in paths if not (ROOT / p).exists())
    if missing:
        names = [
            DATA_SETS.get(root.as_posix(), f'the data in {root}') for root in roots
        ]
        sys.exit(
            f'error: CONFIG={config} trains on {" and ".join(names)}, and '
            f'{", ".join(map(str, missing))} '
            f'{"is" if len(missing) == 1 else "are"} not there; put the data set there '
            'or link it (docs/training.md, section Data).'
        )
    return Task(library, config, tuple(roots))


def read_by(dataset: Mapping) -> Iterator[tuple[Path, list[Path]]]:
    """Yield what a data set and those that it wraps read: a folder, and paths in it."""
    if dataset.get('data_root'):
        root = Path(dataset['data_root'])
        prefix = dataset.get('data_prefix')
        parts = [dataset.get('ann_file'), dataset.get('split')]
        parts += list(prefix.values()) if isinstance(prefix, Mapping) else [prefix]
        yield root, [root / part for part in parts if part] or [root]
    inner = [dataset.get('dataset'), *(dataset.get('datasets') or ())]
    for one in inner:
        if isinstance(one, Mapping):
            yield from read_by(one)


def step(number: int, text: str) -> None:
    print(f'\n[{number}/4] {text}', flush=True)


def run(*command: str | Path) -> None:
    """Run ``command`` in the clone; end this program when it fails."""
    text = ' '.join(map(str, command))
    print(f'$ {text}', flush=True)
    try:
        status = subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
        ).returncode
    except KeyboardInterrupt:
        sys.exit('\nerror: interrupted; the next `make demo` goes on from here.')
    except FileNotFoundError:
        sys.exit(
            f'error: {command[0]} is not installed here; `make demo` installs and '
            'uses .venv.'
        )
    if status:
        full = shutil.disk_usage(ROOT).free < 2**28
        why = 'the disk is full' if full else 'its own message stands before this line'
        sys.exit(
            f'error: the command above ended with exit status {status}; {why}. The '
            'next `make demo` goes on from here.'
        )


def newest_results(test_dir: Path) -> dict[str, float]:
    """The metrics that the library wrote last: ``test_dir/TIME/TIME.json``."""
    files = sorted((ROOT / test_dir).glob('*/*.json'))
    return json.loads(files[-1].read_text())


if __name__ == '__main__':
    main()

"""Train the config in a folder, from where an earlier process has left it."""

from __future__ import annotations

import resource
import sys
import warnings
from pathlib import Path

warnings.simplefilter('ignore')  # pkg_resources, which mmengine imports.

from mmengine.config import Config  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.registry import RUNNERS  # noqa: E402
from mmengine.runner import IterBasedTrainLoop, Runner  # noqa: E402

from plugin.demo.comparison.record import Record  # noqa: E402


class RecordHook(Hook):
    """Keeps the record of a training up to date.

    Args:
        folder: Of the training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = Record.of(folder)
        self._before = self.record.cpu_seconds

    def before_train(self, runner: Runner) -> None:
        """Drop what was measured after the checkpoint that this goes on from."""
        self.record.unit, done = progress(runner)
        self.record.curve = [point for point in self.record.curve if point[0] <= done]

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Add a point of the curve."""
        numbers = {
            name: float(value)
            for name, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        }
        self.record.curve.append((progress(runner)[1], numbers))
        self.write(runner)

    def write(self, runner: Runner) -> None:
        """Count again, and write it."""
        # What a hook unfreezes later is trained from then on.
        learnt = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
        self.record.trained = max(self.record.trained, learnt)
        own, children = map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        spent = sum(use.ru_utime + use.ru_stime for use in (own, children))
        self.record.cpu_seconds = self._before + spent
        self.record.write(self.folder)


def progress(runner: Runner) -> tuple[str, int]:
    """Return what the training loop counts, and how many are done."""
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        return 'iteration', runner.iter
    return 'epoch', runner.epoch


def train(folder: Path) -> None:
    """Train the config in ``folder``, and leave a finished record there."""
    cfg = Config.fromfile(str(folder / 'config.py'))
    cfg.work_dir = str(folder)
    cfg.resume = (folder / 'last_checkpoint').is_file()
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    hook = RecordHook(folder)
    runner.register_hook(hook, 'LOWEST')
    runner.train()
    _, done = progress(runner)
    if not any(at == done for at, _ in hook.record.curve):
        runner.val()  # It was interrupted between its last epoch and the validation.
    hook.record.finished = True
    hook.write(runner)


if __name__ == '__main__':
    train(Path(sys.argv[1]))

"""``check``: what is wrong with configs, before anything is trained."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from plugin.check import Examined
    from plugin.check.fixing import Fixed


def _rules(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[str] | None:
    """Return the names of rules that options give, one or several each."""
    from plugin.check import RULES
    from plugin.nearest import did_you_mean

    names = [name.strip() for value in values for name in value.split(',')]
    known = [rule.name for rule in RULES]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f'; there are {", ".join(known)}'
            raise click.BadParameter(f'{name!r} is no rule{hint}', ctx, param)
    return names or None


@click.command(
    epilog="""\b
Examples:
  python -m plugin check configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py
  python -m plugin check mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --json"""
)
@click.argument('configs', metavar='CONFIG|DIR...', nargs=-1, required=True)
@click.option('--step', is_flag=True, help='Train for one step too, on the CPU.')
@click.option('--diff', 'as_diff', is_flag=True, help='Show what --fix would write.')
@click.option('--fix', is_flag=True, help='Write the safe fixes into your file.')
@click.option(
    '--unsafe-fixes', is_flag=True, help='Write those that choose for you too.'
)
@click.option(
    '--select',
    callback=_rules,
    multiple=True,
    metavar='RULE,...',
    help='These rules alone.',
)
@click.option(
    '--ignore',
    callback=_rules,
    multiple=True,
    metavar='RULE,...',
    help='All but these rules.',
)
@click.option(
    '--format',
    'style',
    type=click.Choice(['text', 'json', 'github']),
    default='text',
    help='For people, for programs, or as annotations of GitHub.',
)
@click.option('--json', 'as_json', is_flag=True, help='The same as --format json.')
@click.pass_context
def check(
    ctx: click.Context,
    configs: tuple[str, ...],
    step: bool,
    as_diff: bool,
    fix: bool,
    unsafe_fixes: bool,
    select: list[str] | None,
    ignore: list[str] | None,
    style: str,
    as_json: bool,
) -> None:
    """Find what is wrong with each CONFIG, and how to fix it.

    Reads no data and allocates no weights. CONFIG is a file, a folder, or a name
    such as mmdet::retinanet/retinanet_r50_fpn_1x_coco.py. `rule` has a page on
    each rule. Status 1: there are errors.
    """
    if as_diff and fix:
        raise click.UsageError('--diff shows what --fix writes; give one of them.')
    if unsafe_fixes and not (as_diff or fix):
        raise click.UsageError('--unsafe-fixes goes with --diff or --fix.')
    style = 'json' if as_json else style
    if as_diff and style != 'text':
        raise click.UsageError('--diff has one format, that of a diff.')
    run = _Run(ctx, select=select, ignore=ignore or (), step=step)
    for config in configs:
        for path in run.expanded(config):
            if as_diff or fix:
                run.fix(path, unsafe_fixes, fix)
            if not as_diff:
                run.look(path, style)
    if not as_diff:
        run.end(style)
    ctx.exit(run.status)


class _Run:
    """One call of the command, config by config."""

    def __init__(self, ctx: click.Context, **options: Any) -> None:
        self.debug = ctx.find_root().params.get('debug')
        self.options = options
        self.status = 0
        self.found: list[Examined] = []

    def expanded(self, config: str) -> list[str]:
        """Yield the configs in a folder; anything else is one."""
        from plugin.check.folders import configs_in

        if not Path(config).is_dir():
            return [config]
        found = [str(path) for path in configs_in(Path(config))]
        if not found:
            self._fail(f'{config}: there is no config in this folder')
        return found

    def look(self, config: str, style: str) -> None:
        """Report what is wrong with a config, unless that comes in one document."""
        from plugin.check import examine
        from plugin.check.report import as_annotations, as_text

        with self._quietly(config):
            found = examine(config, tell=self._tell(config), **self.options)
            for failure in found.failures:
                self._fail(f'{config}: {failure}')
            self._count(found)
            self.found.append(found)
            text = ''
            if style == 'text':
                text = f'{as_text(found)}\n'
            elif style == 'github':
                text = ''.join(f'{line}\n' for line in as_annotations(found))
            click.echo(text, nl=False, file=self.out)

    def fix(self, config: str, unsafe: bool, write: bool) -> None:
        """Make the fixes of a config: write them, or show what would be written."""
        from plugin.check import examine
        from plugin.check.fixing import diff, fix
        from plugin.config.fixing import write as put

        with self._quietly(config):
            fixed = fix(config, unsafe, **self.options)
            if write and fixed.after != fixed.before:
                put(fixed.path, fixed.after)
            elif not write:
                click.echo(diff(fixed, config), nl=False, file=self.out)
                self._count(examine(config, **self.options))
            for line in _outcome(config, fixed, write):
                click.echo(line, err=True)

    def end(self, style: str) -> None:
        """Close the report."""
        from plugin.check.report import as_json, dumped, summary

        if style == 'json':
            click.echo(dumped([as_json(found) for found in self.found]))
        elif style == 'text' and self.found:
            click.echo(summary(self.found))

    def _tell(self, config: str) -> Callable[[str], None]:
        return lambda line: click.echo(f'{config}: {line}', err=True)

    def _count(self, found: Examined) -> None:
        from plugin.config.problem import ERROR

        if any(problem.severity == ERROR for problem in found.problems):
            self.status = max(self.status, 1)

    def _fail(self, message: str) -> None:
        self.status = 2
        click.echo(f'Error: {message}', err=True)

    @contextmanager
    def _quietly(self, config: str) -> Iterator[None]:
        """Silence what libraries print; report a failure of a config in one line."""
        from plugin.config.problem import NotAConfig

        self.out = sys.stdout
        try:
            with redirect_stdout(sys.stderr), _quiet():
                yield
        except SystemExit as error:
            self._fail(f'{config}: user code has called sys.exit({error.code!r})')
        except Exception as error:
            if self.debug:
                traceback.print_exc()
            if isinstance(error, NotAConfig):
                self._fail(str(error))
            elif isinstance(error, OSError) and error.strerror:
                self._fail(f'{error.filename or config}: {error.strerror}')
            else:
                self._fail(f'{config}: {type(error).__name__}: {error}')


def _outcome(config: str, fixed: Fixed, written: bool) -> Iterator[str]:
    """Return what was fixed, and what was not and why."""
    count = len(fixed.done)
    if count:
        what = 'problem' if count == 1 else 'problems'
        how = 'fixed' if written else 'would be fixed'
        yield f'{config}: {count} {what} {how}'
    for done in fixed.done:
        for note in done.notes:
            yield f'{config}: {done.problem.key}: {note}'
    for left in fixed.left:
        yield f'{config}: {left.problem.key} is left: {left.reason}'


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries log about each other, not about a config."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)

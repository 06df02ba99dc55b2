"""The command line. Imports demo and the rooms below.

``mm-backbone``, or ``python -m plugin`` without installing. One file
a command; adding one is that file here and a line in ``COMMANDS``. It holds a click
command of its own name. Nothing of it is imported before the command is called, so
that ``--help`` is instant.

A command raises what went wrong, and this module answers:

=====================================  ===========
exception                              exit status
=====================================  ===========
ValueError: the user's mistake         1
click.UsageError: wrong usage          2
anything else: a failure of our own    2
=====================================  ===========

A status that is a result (``check`` found errors) is ``ctx.exit(1)``.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

import click

from plugin import __version__
from plugin.weights.files.refusal import printable

# torch's threads wait for each other by turning in a loop. Where others use the same
# cores they turn for most of the time: a step of DINO takes 43 CPU seconds and not 14.
# It is read when torch is imported, which every command does later.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

COMMANDS = {
    'align': "Compare a backbone's features with those of a timm model.",
    'check': 'Find what is wrong with a config before it trains.',
    'convert': 'Write a checkpoint under the names of a backbone.',
    'doctor': 'Explain the environment: versions, what clashes, what fixes it.',
    'groups': "Show the optimizer's parameter groups of a config.",
    'keys': 'Show the names, shapes and dtypes in a checkpoint.',
    'probe': 'Measure any backbone: channels, strides, size, normalization.',
    'rule': 'Explain what check finds: one rule, or the list of them.',
    'shapes': 'Generate the shapes data set, to try the ready configs on.',
    'sheet': 'Draw held-out images with ground truth beside predictions.',
    'swap': 'Write a config that puts another backbone into a config.',
    'test': 'Check that a backbone keeps the contract.',
}
"""Every command with its line in ``--help``."""


class _Failure(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        # There may be names of a file in it.
        super().__init__('\n'.join(map(printable, message.split('\n'))))
        self.exit_code = exit_code


class _Commands(click.Group):
    """Imports a command when it is called, and turns exceptions into exit statuses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return getattr(import_module(f'plugin.cli.{name}'), name)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section('Commands'):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            raise  # `... | head` is no failure; click ends quietly.
        except SystemExit as error:
            # click ends by exceptions of its own: this is of a module of the user's.
            raise _Failure(
                f'user code has called sys.exit({error.code!r})', 2
            ) from error
        except Exception as error:
            if ctx.params['debug']:
                traceback.print_exc()
            raise _as_failure(error, ctx.params['debug']) from error


def _is_no_config(error: Exception) -> bool:
    """Return whether ``error`` is a ``NotAConfig``, without importing its module."""
    problem = sys.modules.get('plugin.config.problem')
    return problem is not None and isinstance(error, problem.NotAConfig)


def _as_failure(error: Exception, debug: bool) -> _Failure:
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return _Failure(str(error), 1)
    if isinstance(error, OSError) and error.strerror:
        where = f'{error.filename}: ' if error.filename else ''
        return _Failure(f'{where}{error.strerror}', 2)
    if isinstance(error, OSError):
        return _Failure(str(error), 2)
    if isinstance(error, ModuleNotFoundError) and not debug:
        # What publish() raises has the hint already.
        hint = '`python -m plugin doctor` says what to install'
        text = str(error)
        return _Failure(text if hint in text else f'{text}; {hint}', 2)
    if _is_no_config(error):
        return _Failure(str(error), 2)
    hint = '' if debug else '\nRun with --debug before the command for the traceback.'
    return _Failure(f'{type(error).__name__}: {error}{hint}', 2)


@click.group(
    cls=_Commands,
    context_settings=dict(help_option_names=['-h', '--help'], max_content_width=80),
    epilog="""\b
Examples:
  python -m plugin shapes data/shapes
  python -m plugin shapes --help""",
)
@click.option('--debug', is_flag=True, help='Show the traceback of an error.')
@click.version_option(__version__, prog_name='mm-backbone')
def main(debug: bool) -> None:
    """Put any backbone into mmdet, mmsegmentation and mmyolo, correctly."""

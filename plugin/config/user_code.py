"""Running what is not ours: configs, and the modules that they import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class EndsTheProgram(Exception):
    """User code has raised what is meant to end the program, such as ``sys.exit()``."""


@contextmanager
def user_code() -> Iterator[None]:
    """Within it user code cannot end the program; only the user can, by Ctrl-C.

    Raises:
        EndsTheProgram: It was about to.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except SystemExit as error:
        code = '' if error.code is None else repr(error.code)
        raise EndsTheProgram(f'it calls sys.exit({code})') from error
    except BaseException as error:
        text = f': {error}' if str(error) else ''
        raise EndsTheProgram(f'it raises {type(error).__name__}{text}') from error

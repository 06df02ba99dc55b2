"""Find the module of a model that failed, what it takes and what it was given."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_pre_hook


class ChannelMismatch(Exception):
    """A layer is given other channels than it takes.

    Attributes:
        module: The layer.
        takes: Its input channels.
        given: Those of the tensor.
    """

    def __init__(self, module: nn.Module, takes: int, given: int) -> None:
        super().__init__(f'{type(module).__name__} takes {takes}, not {given}')
        self.module, self.takes, self.given = module, takes, given


@dataclass(frozen=True)
class Failure:
    """An error that stopped a model.

    Attributes:
        error: What was raised.
        path: Name of the innermost module of the model that was running, as
            :func:`all_modules` has it; empty for the model itself.
        takes: Channels that the module takes, if it was given others.
        given: The channels that it was given.
    """

    error: BaseException
    path: str
    takes: int | None = None
    given: int | None = None

    @property
    def text(self) -> str:
        """The error in one line."""
        return one_line(self.error)


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def all_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module of a model by name, also those that it keeps to itself.

    mmdet's distillation detectors have their teacher as a plain attribute, so that it
    is neither trained nor saved.
    """
    found = dict(model.named_modules())
    known = set(map(id, found.values()))
    for name, module in list(found.items()):
        for attribute, value in vars(module).items():
            if attribute in _OF_EVERY_MODULE:
                continue
            if isinstance(value, nn.Module) and id(value) not in known:
                prefix = f'{name}.{attribute}'.lstrip('.')
                found.update(value.named_modules(prefix=prefix))
                known.update(map(id, value.modules()))
    return found


@contextmanager
def channels_compared() -> Iterator[None]:
    """Within it a layer that is given other channels than it takes says so.

    These are convolutions and linear layers. On the meta device torch does not compare
    all of them, and nowhere does it name the layer.

    Raises:
        ChannelMismatch: From the forward of the layer.
    """
    hook = register_module_forward_pre_hook(_compare)
    try:
        yield
    finally:
        hook.remove()


def _compare(module: nn.Module, inputs: tuple) -> None:
    if not inputs or not isinstance(inputs[0], Tensor):
        return
    shape = inputs[0].shape
    if isinstance(module, _ConvNd) and len(shape) == module.weight.dim():
        takes, given = module.in_channels, shape[1]
    elif isinstance(module, nn.Linear) and len(shape):
        takes, given = module.in_features, shape[-1]
    else:
        return
    if takes != given:
        raise ChannelMismatch(module, takes, given)


# What a machine lacks and a config cannot give.
_OF_THE_MACHINE = re.compile(
    r'not installed|[Pp]lease install|process group|CUDA|NVIDIA|uses no network'
)


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether this machine lacks a package, a file or a device."""
    return isinstance(error, (ImportError, OSError)) or bool(
        _OF_THE_MACHINE.search(str(error))
    )


def one_line(error: BaseException) -> str:
    """Return an error with its type, in a line that is not too long."""
    message = message_of(error)
    if len(message) > 200:
        message = f'{message[:200]} ...'
    name = type(error).__name__
    return f'{name}: {message}' if message else name


def message_of(error: BaseException) -> str:
    """Return what an error says, in one line; of a bare assertion, what it asserts."""
    text = ' '.join(str(error.args[0] if error.args else error).split())
    frames = traceback.extract_tb(error.__traceback__)
    if text or not isinstance(error, AssertionError) or not frames:
        return text
    last = frames[-1]
    # Python 3.10 does not know where the statement ends.
    end = getattr(last, 'end_lineno', None) or last.lineno
    lines = range(last.lineno, end + 1)
    return ' '.join(linecache.getline(last.filename, n).strip() for n in lines)


def failure_of(error: BaseException, model: nn.Module) -> Failure:
    """Return the place in ``model`` where an error was raised.

    Args:
        error: With its traceback.
        model: Whose modules were running.
    """
    names = {id(module): name for name, module in all_modules(model).items()}
    if isinstance(error, ChannelMismatch):
        path = names.get(id(error.module))
        if path is None:
            path = _innermost(error.__traceback__, names)
        return Failure(error, path, error.takes, error.given)
    return Failure(error, _innermost(error.__traceback__, names))


def _innermost(trace: TracebackType | None, names: Mapping[int, str]) -> str:
    found = ''
    while trace is not None:
        owner = trace.tb_frame.f_locals.get('self')
        found = names.get(id(owner), found)
        trace = trace.tb_next
    return found

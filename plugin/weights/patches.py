"""Every attribute of another package that importing a task package replaces.

===================================================  ==================================
attribute                                            why, in a word
===================================================  ==================================
mmengine ``BaseModule.init_weights``                 one line of audit a backbone
mmengine ``BaseModule.__init__``                     the same for an own init_weights
``init_weights`` of classes that override it         the same
mmengine ``PretrainedInit.__init__``                 ``min_loaded`` in ``init_cfg``
mmengine ``PretrainedInit.__call__``                 names, sizes, prefix at its word
mmengine ``CheckpointLoader.load_checkpoint``        which file an init_weights reads
timm ``models._builder.load_pretrained``             audit of a ``TIMMBackbone``
mmpretrain ``utils.dependency.WITH_MULTIMODAL``      transformers that are too new
``sys.meta_path``                                    the same
mmengine ``CheckpointLoader`` and its ``_schemes``   safe reading, more sources
mmengine ``runner.checkpoint.load_from_http``        the same
mmengine ``_load_checkpoint``, ``Runner.resume``     errors that name the file
torch ``load``, inside of such a load alone          safe reading
timm ``_torch_load``, ``load_state_dict_from_url``   the same
timm ``download_url_to_file``                        whole files alone
===================================================  ==================================

:func:`install` does it, :func:`remove` puts everything back, and with the environment
variable ``MM_BACKBONE_PATCHES=0`` only the safe reading is installed. The records below
say what each does, why, until when, and whom it reaches; docs/patches.md is made of
them.
"""

from __future__ import annotations

import os

from plugin.weights import initializing, patching, timm_loading, transformers_guard
from plugin.weights.files import timm_reading
from plugin.weights.files.safe_loading import (
    allow_mmengine_checkpoints,
    disallow_mmengine_checkpoints,
)
from plugin.weights.patching import Patch
from plugin.weights.upstream import TIMM_BUILDER

_MMENGINE = 'mmengine 0.10.7'
_MODELS = 'every model of mmengine that is initialized'

AUDIT = (
    Patch(
        owner='mmengine.model.base_module.BaseModule',
        attribute='init_weights',
        what='counts what was loaded, and says so in one line for each checkpoint; '
        'less than half of a backbone is an error',
        why='weights that do not fit are skipped, and training starts from random ones',
        until=f'{_MMENGINE}: when init_weights fails or reports on such weights',
        reach=f'{_MODELS}; values are not changed',
        replacing=initializing.init_weights,
    ),
    Patch(
        owner='mmengine.model.base_module.BaseModule',
        attribute='__init__',
        what='replaces init_weights of a class that overrides it by one that is '
        'observed; for the classes in plugin.weights.initializing.FILLED_IN also by '
        'one that loads what their own code leaves out',
        why='such classes load by themselves, past every initializer',
        until=f'{_MMENGINE}, mmdet 3.3.0, mmsegmentation 1.2.2: when their backbones '
        'load through init_cfg',
        reach='every class of mmengine modules that is instantiated; only those in '
        'FILLED_IN, and their subclasses without an init_weights of their own, get '
        'other values',
        replacing=initializing.construct,
    ),
    Patch(
        owner='mmengine.model.weight_init.PretrainedInit',
        attribute='__init__',
        what='takes min_loaded, the least share of the parameters',
        why='a threshold belongs beside the checkpoint it is for',
        until=f'{_MMENGINE}: with the audit',
        reach="init_cfg=dict(type='Pretrained') with min_loaded",
        replacing=initializing.construct_pretrained,
    ),
    Patch(
        owner='mmengine.model.weight_init.PretrainedInit',
        attribute='__call__',
        what='renames weights of other projects, resizes position tables, adapts the '
        'first convolution, each with a warning; leaves out what no model can use; '
        'takes prefix at its word',
        why='it loads equal names and shapes alone, and only logs the rest',
        until=f'{_MMENGINE}: when initializers can be given a mapping of names',
        reach="init_cfg=dict(type='Pretrained') of every module; a file with the "
        "module's own names and shapes loads as without the patch",
        replacing=initializing.load_pretrained,
    ),
    Patch(
        owner='mmengine.runner.checkpoint.CheckpointLoader',
        attribute='load_checkpoint',
        what='notes which file is read while an init_weights runs',
        why='the audit has to name it, and to look in it for the right prefix',
        until=f'{_MMENGINE}: with the audit',
        reach='every checkpoint read through mmengine; what is read is not changed',
        replacing=initializing.load_checkpoint,
    ),
    Patch(
        owner=TIMM_BUILDER,
        attribute='load_pretrained',
        what='counts what was loaded, reads by the safe loader, and keeps whole '
        'downloads alone',
        why='timm loads while it builds a model, before any init_weights',
        until='timm 1.0.31: when what it has loaded can be asked for',
        reach='timm models built in the constructor of a module of mmengine, such as '
        'TIMMBackbone; all others load as without the patch',
        replacing=timm_loading.load_pretrained,
    ),
)

SAFE_READING = (
    Patch(
        owner='mmengine.runner.checkpoint.CheckpointLoader',
        attribute='load_checkpoint',
        what='holds what the loader of any scheme reads, in this thread and call, to '
        "torch's weights-only unpickler with the objects of mmengine's checkpoints",
        why='mim test and --resume fail on checkpoints that mmengine itself has '
        'written (torch >= 2.6), and loaders unpickle what they like',
        until=f'{_MMENGINE}: when it loads its own checkpoints with weights_only=True',
        reach='every checkpoint read through mmengine',
    ),
    Patch(
        owner='mmengine.runner.checkpoint.CheckpointLoader',
        attribute='_schemes',
        what="has safe loaders in the place of mmengine's own three; adds timm://, "
        'hf-hub: and package://',
        why='its http loader keeps half a download, and .safetensors is not known',
        until=f'{_MMENGINE}: with the one above',
        reach='every checkpoint read through mmengine by these schemes; a scheme of '
        "somebody else's stays his",
    ),
    Patch(
        owner='mmengine.runner.checkpoint',
        attribute='load_from_http',
        what='the same for torchvision:// and openmmlab://',
        why='these sources call it directly',
        until=f'{_MMENGINE}: with the one above',
        reach='every checkpoint read through mmengine from the network',
    ),
    Patch(
        owner='mmengine.runner.checkpoint',
        attribute='_load_checkpoint',
        what='answers with the name of a file that holds no dict',
        why='mmengine stumbles over it without naming it',
        until=f'{_MMENGINE}: when it says which file',
        reach='every checkpoint read through mmengine',
    ),
    Patch(
        owner='mmengine.runner.runner',
        attribute='_load_checkpoint',
        what='does the same where the Runner has imported it by name',
        why='replacing one name does not replace the other',
        until=f'{_MMENGINE}: with the one above',
        reach='load_from and resume of every Runner',
    ),
    Patch(
        owner='mmengine.runner.runner.Runner',
        attribute='resume',
        what='refuses an empty last_checkpoint and a file of weights alone by name',
        why='mmengine goes on until a key is missing',
        until=f'{_MMENGINE}: when it checks what it resumes from',
        reach='resume of every Runner',
    ),
    Patch(
        owner='torch',
        attribute='load',
        what='is held to the safe reading inside of a load through mmengine; every '
        'other call is passed on as it came',
        why="loaders of a user's schemes and some of mmengine's call it",
        until=f'{_MMENGINE}: with the first of these',
        reach='calls in the thread and during the call of such a loader',
    ),
)

_TIMM = 'timm 1.0.31'
TIMM_READING = tuple(
    Patch(
        owner=module,
        attribute=name,
        what=what,
        why=why,
        until=f'{_TIMM}: when it reads with weights_only=True alone, and names files',
        reach='every timm model of the process whose weights are loaded from a file or '
        'an address',
        replacing=replacing,
    )
    for (module, name, replacing), (what, why) in zip(
        timm_reading.REPLACEMENTS,
        (
            (
                "reads by torch's weights-only unpickler with a list of its own",
                "it changes torch's list of safe objects for all threads, and its "
                'errors advise to load unsafely',
            ),
            (
                'does the same where it is imported by name',
                'replacing one name does not replace the other',
            ),
            ('keeps whole files alone', 'half a download stays in the cache'),
            (
                'the same two for addresses',
                'where a TypeError comes up it reads again without weights_only',
            ),
        ),
        strict=True,
    )
)

IMPORTS = (
    Patch(
        owner='mmpretrain.utils.dependency',
        attribute='WITH_MULTIMODAL',
        what='leaves out the multimodal models, where the installed transformers lacks '
        'what they import',
        why='import mmdet.models, mmseg.models and mmyolo.models raise there, since '
        'they import mmpretrain',
        until='mmpretrain 1.2.0: when it imports with transformers >= 4.52',
        reach='mmpretrain with such a transformers beside it; nothing elsewhere',
    ),
    Patch(
        owner='sys',
        attribute='meta_path',
        what='runs the one above when mmpretrain is imported, by a finder for that one '
        'module',
        why='mmpretrain takes seconds to import, and may never be',
        until='mmpretrain 1.2.0: with the one above',
        reach='the import of mmpretrain.utils.dependency',
    ),
)

PATCHES = (*AUDIT, *IMPORTS, *SAFE_READING, *TIMM_READING)
"""All of them; the methods of classes besides, which the second record is about."""

VARIABLE = 'MM_BACKBONE_PATCHES'


def install() -> None:
    """Install all patches, or the safe reading alone; doing it again is harmless.

    Raises:
        ValueError: The environment variable is neither 0 nor 1.
        RuntimeError: A package lacks what is replaced, or torch is older than 2.6.
    """
    wanted = enabled()
    allow_mmengine_checkpoints()
    patching.install(TIMM_READING)
    if wanted:
        transformers_guard.apply()
        patching.install(AUDIT)


def remove() -> None:
    """Put everything back as it was before :func:`install`, also the safe reading."""
    patching.remove()
    transformers_guard.remove()
    disallow_mmengine_checkpoints()


def enabled() -> bool:
    """Return whether the environment lets all patches be installed."""
    value = os.environ.get(VARIABLE, '')
    if value not in ('', '0', '1'):
        raise ValueError(
            f'{VARIABLE}={value!r} must be 0, for the safe reading of checkpoints '
            'alone, or 1, for all patches (docs/patches.md)'
        )
    return value != '0'

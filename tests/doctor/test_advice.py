"""Installations that a library asks for, in versions that work here."""

import pytest

from plugin.check import check
from plugin.doctor import Environment, advised


class Installed(Environment):
    """An environment of these distributions, which hold the files of their packages."""

    def __init__(self, **versions):
        super().__init__()
        self.versions = {name.replace('_', '-'): v for name, v in versions.items()}
        self._distributions = dict.fromkeys(self.versions)
        self._owners = {}

    def version(self, distribution):
        return self.versions.get(distribution)

    def module_version(self, module):
        return next(map(self.version, self.owners(module)), None)

    def holder(self, module):
        return next(iter(self.owners(module)), None)


OPENMMLAB = Installed(mmengine='0.10.7', mmcv_lite='2.0.1', mmpretrain='1.2.0')
ONEDL = Installed(
    onedl_mmengine='0.10.12', onedl_mmcv='2.3.6', onedl_mmpretrain='1.3.6'
)


@pytest.mark.parametrize(
    ('environment', 'asked', 'advice'),
    [
        (OPENMMLAB, 'pip install transformers', "pip install 'transformers<4.52'"),
        (ONEDL, 'pip install transformers', "pip install 'transformers<5.0'"),
        (Installed(), 'pip install transformers', 'pip install transformers'),
        (
            OPENMMLAB,
            'mim install "mmpretrain[multimodal]"',
            "pip install pycocotools 'transformers<4.52'",
        ),
        (
            OPENMMLAB,
            'mim install mmsegmentation',
            "pip install 'mmsegmentation>=1.2.1,<1.3'",
        ),
        (
            ONEDL,
            'mim install mmsegmentation',
            "pip install 'onedl-mmsegmentation>=1.4.2,<1.5'",
        ),
        (ONEDL, 'pip install mmpretrain', "pip install 'onedl-mmpretrain>=1.3.6,<1.4'"),
        (
            Installed(opencv_python_headless='4.12.0.88'),
            'pip install opencv-python',
            "pip install 'opencv-python-headless>=4.11,<5'",
        ),
        (OPENMMLAB, 'pip install sklearn', 'pip install scikit-learn'),
        (OPENMMLAB, 'pip install lap>=0.4', "pip install 'lap>=0.4'"),
        (OPENMMLAB, 'mim install mmrazor', 'mim install mmrazor'),
        (
            OPENMMLAB,
            'pip install -r requirements/optional.txt',
            'pip install -r requirements/optional.txt',
        ),
        (OPENMMLAB, "python -c 'import x'", "python -c 'import x'"),
    ],
)
def test_what_is_advised(environment, asked, advice):
    assert advised(asked, environment) == advice


def test_an_mmcv_is_advised_with_its_operators():
    advice = advised('mim install mmcv', ONEDL)
    assert advice.startswith("MMCV_WITH_OPS=0 pip install 'onedl-mmcv>=2.3.6,<2.4' ")
    assert advice.endswith('mmcv-lite-ops')


def test_check_advises_what_doctor_knows(tmp_path):
    pytest.importorskip('mmpretrain')
    config = tmp_path / 'grounding.py'
    config.write_text(
        "_base_ = 'mmdet::grounding_dino/"
        "grounding_dino_swin-t_finetune_16xb2_1x_coco.py'\n"
        # Those would need fairscale.
        'model = dict(encoder=dict(num_cp=0))\n'
    )
    if 'transformers' in Environment()._distributions:
        pytest.skip('transformers is installed')
    problem = next(p for p in check(str(config)) if p.key == 'model.language_model')
    assert problem.command.startswith("pip install 'transformers<")

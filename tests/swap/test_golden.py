"""Three configs, word for word.

``python tests/swapping/test_golden.py`` writes them anew, to be read before they are
committed.
"""

from pathlib import Path

import pytest
from pairs import BASES

# A second or two each, and there are many.
pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / 'golden'
FILES = {
    'retinanet_mobilenetv3-small.py': (
        'retinanet',
        'mmpretrain.MobileNetV3',
        dict(arch='small'),
    ),
    'yolov8_convnext-tiny.py': ('yolov8', 'plugin.ConvNeXt', {}),
    'pspnet_timm-resnet50.py': ('pspnet', 'timm:resnet50', {}),
}


@pytest.mark.parametrize('name', FILES)
def test_a_config_reads_as_it_did(name, swapped):
    base, backbone, options = FILES[name]
    done, _ = swapped(BASES[base], backbone, **options)
    assert done.text == (FOLDER / name).read_text()


if __name__ == '__main__':
    from plugin.swap import swap

    for name, (base, backbone, options) in FILES.items():
        swap(BASES[base], backbone, FOLDER / name, options, force=True)

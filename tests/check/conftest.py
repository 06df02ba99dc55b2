"""The tests here use what those of ``configs`` train with."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / 'configs'))

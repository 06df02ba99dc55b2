"""One real training step of a config on the CPU, on samples that are made up.

:func:`train_step` in ``running`` does it; ``model`` builds the model for it, and
``sampling`` makes the batches. Nothing is downloaded and no data is read.
"""

from plugin.measure.step.running import Step, train_step
from plugin.spec import NoSamples, SampleSpec

__all__ = ['NoSamples', 'SampleSpec', 'Step', 'train_step']

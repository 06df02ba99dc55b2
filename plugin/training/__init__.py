"""Training as the config says, and faster."""

from plugin.training.faster_training_hook import FasterTrainingHook

__all__ = ['FasterTrainingHook']

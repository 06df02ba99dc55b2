"""Training as the config says, and faster. Imports freezing and the rooms below."""

from plugin.training.faster_training_hook import FasterTrainingHook

__all__ = ['FasterTrainingHook']

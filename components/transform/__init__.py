"""The Transform stage: the user function of TFX's component."""

from components.transform.preprocessing import preprocessing_fn

__all__ = ["preprocessing_fn"]

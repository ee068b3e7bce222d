"""The Transform stage: what TFX's component runs."""

from components.transform.preprocessing import preprocessing_fn

__all__ = ["preprocessing_fn"]

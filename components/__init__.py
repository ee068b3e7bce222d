"""The stages of the pipeline: one folder per TFX stage, and modules that several stages use."""

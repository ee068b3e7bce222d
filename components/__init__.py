"""One module or folder a stage, named as TFX names the stage."""

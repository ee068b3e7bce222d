"""ExampleGen: finds the data files, reads their formats, and writes one tf.Example per valid row.

`component.AgNewsExampleGen` is the stage, and `sources.resolve` finds its files. This module imports nothing, so that
files can be found and read without TensorFlow.
"""

"""ExampleGen: finds the data files, reads their formats, and writes one tf.Example a good row.

`component.AgNewsExampleGen` is the stage, `sources.resolve` finds its files. Nothing is imported here: finding and
reading files needs no TensorFlow.
"""

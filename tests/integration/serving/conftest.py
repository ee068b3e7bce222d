"""Fixtures with tiny SavedModels: one with the signatures of the Trainer's export, a plain one, and special cases."""

import shutil

import pytest

CLASSES = ("World", "Sports", "Business", "Sci/Tech")


def write_text_model(directory, *, favourite):
    """Writes a model with the export's signatures whose most likely class is `favourite` for any text.

    The length of a text changes the other probabilities, so that the rows of a batch can be distinguished.
    """
    import tensorflow as tf

    class TextModel(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(tf.one_hot([CLASSES.index(favourite)], len(CLASSES)) * 5.0)

        def probabilities(self, title, description):
            length = tf.cast(tf.strings.length(title) + tf.strings.length(description), tf.float32)
            return tf.nn.softmax(self.weights + tf.sin(length)[:, tf.newaxis] * [0.1, 0.2, 0.3, 0.4])

        def classes(self, probabilities):
            return tf.broadcast_to(tf.constant(CLASSES), tf.shape(probabilities))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, n) for n in ("title", "description")])
        def serve_text(self, title, description):
            probabilities = self.probabilities(title, description)
            label = tf.gather(tf.constant(CLASSES), tf.argmax(probabilities, axis=1))
            return {"label": label, "classes": self.classes(probabilities), "probabilities": probabilities}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def serve_examples(self, inputs):
            text = tf.io.FixedLenFeature([], tf.string, default_value="")
            parsed = tf.io.parse_example(inputs, {"title": text, "description": text})
            scores = self.probabilities(parsed["title"], parsed["description"])
            return {"classes": self.classes(scores), "scores": scores}

    model = TextModel()
    signatures = {"serving_default": model.serve_text, "serve_examples": model.serve_examples}
    tf.saved_model.save(model, str(directory), signatures=signatures)
    _set_methods(directory, {"serve_examples": "classify"})


def write_column_model(directory):
    """Writes a model of three text columns, as the Trainer exports them, except that it answers the same always."""
    import tensorflow as tf

    columns = [tf.TensorSpec([None], tf.string, f"text_{number:03}") for number in range(3)]

    @tf.function(input_signature=columns)
    def serve(*texts):
        rows = tf.shape(texts[0])[0]
        return {"classes": tf.tile([CLASSES], [rows, 1]), "probabilities": tf.fill([rows, len(CLASSES)], 0.25)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(directory), signatures={"serving_default": serve})


def write_plain_model(directory):
    """Writes a model of half x plus two, as Predict, Regress and Classify, and with tensors of several types."""
    import tensorflow as tf

    class Plain(tf.Module):
        def parse(self, inputs):
            return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"] / 2 + 2

        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "x")])
        def half_plus_two(self, x):
            return {"y": x / 2 + 2}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def regress(self, inputs):
            return {"outputs": self.parse(inputs)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def classify(self, inputs):
            return {"scores": tf.stack([self.parse(inputs), -self.parse(inputs)], axis=1)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.int64, "count"),
                tf.TensorSpec([None], tf.bool, "flag"),
                tf.TensorSpec([None], tf.string, "raw_bytes"),
            ]
        )
        def types(self, count, flag, raw_bytes):
            return {
                "total": tf.reduce_sum(count, axis=1),
                "negated": ~flag,
                "raw_bytes": raw_bytes,
                "double": tf.cast(count, tf.float64),
            }

    model = Plain()
    signatures = {
        "serving_default": model.half_plus_two,
        "regress": model.regress,
        "classify": model.classify,
        "types": model.types,
    }
    tf.saved_model.save(model, str(directory), signatures=signatures)
    _set_methods(directory, {"regress": "regress", "classify": "classify"})


def write_case_model(directory):
    """Writes a model whose signatures all have the method name of Predict, as TensorFlow 2 saves them."""
    import tensorflow as tf

    examples, numbers = tf.TensorSpec([None], tf.string, "inputs"), tf.TensorSpec([None], tf.float32, "x")

    def halves(inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"] / 2

    def two_inputs(inputs, more):
        return {"outputs": halves(inputs) + halves(more)}

    def half_plus_two(x):
        return {"y": x / 2 + 2}

    def scaled(x, k):
        return {"y": x * k}

    def narrow(half, brain, pair):
        return {"half": half + half, "brain": brain + brain, "pair": pair * pair}

    def count(x):
        total = tf.while_loop(lambda i: i < x, lambda i: [i + 1.0], [tf.zeros([])], maximum_iterations=2**31 - 1)[0]
        return {"y": total}

    def regress(inputs):
        return {"outputs": halves(inputs) + 2}

    def classify(inputs):
        return {"scores": tf.stack([halves(inputs), -halves(inputs)], axis=1)}

    functions = {
        # The declared shape differs from that of most requests.
        "serving_default": (half_plus_two, [tf.TensorSpec([None, 1], tf.float32, "x")]),
        "scalar": (half_plus_two, [tf.TensorSpec([], tf.float32, "x")]),
        "regress": (regress, [examples]),
        "classify": (classify, [examples]),
        "two_inputs": (two_inputs, [examples, tf.TensorSpec([None], tf.string, "more")]),
        "wrong_input": (lambda x: {"outputs": halves(x)}, [tf.TensorSpec([None], tf.string, "x")]),
        "wrong_output": (lambda inputs: {"y": halves(inputs)}, [examples]),
        "two_outputs": (lambda inputs: {"outputs": halves(inputs), "y": halves(inputs)}, [examples]),
        "three_outputs": (
            lambda inputs: {"classes": inputs[:, None], "scores": halves(inputs)[:, None], "y": inputs},
            [examples],
        ),
        "double": (
            lambda inputs: {"scores": tf.cast(halves(inputs), tf.float64)[:, None]},
            [examples],
        ),
        "narrow": (
            narrow,
            [tf.TensorSpec([None], kind, name) for name, kind in (("half", "float16"), ("brain", "bfloat16"))]
            + [tf.TensorSpec([None], tf.complex64, "pair")],
        ),
        "text": (lambda text: {"text": text}, [tf.TensorSpec(None, tf.string, "text")]),
        "repeat": (lambda text: {"text": tf.repeat(text, 70)}, [tf.TensorSpec([None], tf.string, "text")]),
        "count": (count, [tf.TensorSpec([], tf.float32, "x")]),
        "transposed": (lambda x: {"y": tf.transpose(x)}, [tf.TensorSpec([None, None], tf.int64, "x")]),
        "none": (lambda: {"y": tf.constant([1.0])}, []),
    }
    module = tf.Module()
    signatures = {name: tf.function(function, input_signature=specs) for name, (function, specs) in functions.items()}
    signatures["scaled"] = tf.function(scaled).get_concrete_function(numbers, tf.TensorSpec([], tf.float32, "k"))
    module.functions = list(signatures.values())
    tf.saved_model.save(module, str(directory), signatures=signatures)
    _set_default(directory, "scaled", "k", 10.0)


def _set_default(directory, signature, alias, value):
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    file = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].signature_def[signature].defaults[alias].CopyFrom(tf.make_tensor_proto(value))
    file.write_bytes(model.SerializeToString())


def _set_methods(directory, methods):
    import tensorflow as tf

    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    for signature, method in methods.items():
        updater.replace_method_name(signature_key=signature, method_name=f"tensorflow/serving/{method}")
    updater.save()


@pytest.fixture(scope="session")
def text_models(tmp_path_factory):
    """Returns SavedModels by their favourite class, so that an answer shows which version gave it."""
    root = tmp_path_factory.mktemp("text_models")
    for favourite in CLASSES[:3]:
        write_text_model(root / favourite, favourite=favourite)
    return {favourite: root / favourite for favourite in CLASSES[:3]}


@pytest.fixture(scope="session")
def column_model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("column_model") / "model"
    write_column_model(directory)
    return directory


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("plain_model") / "model"
    write_plain_model(directory)
    return directory


@pytest.fixture(scope="session")
def case_model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("case_model") / "model"
    write_case_model(directory)
    return directory


@pytest.fixture
def push(tmp_path):
    """Returns push(saved_model, version) -> base path, which adds a SavedModel as a version in one step."""

    def pushed(saved_model, version, base="models"):
        base_path = tmp_path / base
        base_path.mkdir(exist_ok=True)
        incoming = base_path / f".incoming-{version}"
        shutil.copytree(saved_model, incoming)
        incoming.rename(base_path / str(version))
        return base_path

    return pushed

"""Text to token ids, all in the graph, so that training and serving cannot differ.

The corpus' markup is undone first (`clean`); then lower-casing, punctuation and splitting are those of Keras'
TextVectorization with its defaults (keras/src/layers/preprocessing/text_vectorization.py), so that vocabularies
and ids of the two are interchangeable.
"""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from schema.features import DESCRIPTION, LABEL, TITLE

TOKEN_IDS = "token_ids"
VOCABULARY = "vocabulary"
PADDING_ID = 0
OOV_ID = 1
RESERVED_IDS = 2

# The corpus lost the ampersand of many entities and put a blank before some: "Sony #39;s", " quot;yes quot;".
_MARKUP = (
    (r"&?amp;", "&"),
    (r"\s?&?(#0?39|#[xX]27|#145|#146|#8216|#8217|apos);", "'"),
    (r"&?(#34|#[xX]22|#147|#148|#8220|#8221|quot);", '"'),
    (r"&?#0?36;", "$"),
    (r"&?lt;", "<"),
    (r"&?gt;", ">"),
    (r"&?(#150|#151|#8211|#8212|ndash|mdash);", "-"),
    (r"&?(#\d{2,5}|#[xX][0-9A-Fa-f]{2,5}|nbsp);", " "),
    (r"</?[A-Za-z][^<>]*>", " "),
    (r"\\", " "),
)
_PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'
# Brackets are punctuation, so no word of the vocabulary can be this one.
_NO_WORDS = "[no_words]"


def clean(text: tf.Tensor) -> tf.Tensor:
    """Undoes HTML entities, tags and the backslashes that stand for line breaks.

    Args:
        text: string tensor of any shape.

    Returns:
        String tensor of the same shape.
    """
    for pattern, replacement in _MARKUP:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def tokenize(title: tf.Tensor, description: tf.Tensor) -> tf.RaggedTensor:
    """Splits title and description into words.

    Args:
        title: string [batch].
        description: string [batch].

    Returns:
        String [batch, (words)]; a row may be empty.
    """
    text = tf.strings.join([clean(title), clean(description)], separator=" ")
    return tf.strings.split(tf.strings.regex_replace(tf.strings.lower(text), _PUNCTUATION, ""))


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, Any]:
    """The Transform component's user function.

    Args:
        inputs: `title`, `description` string [batch, 1]; `label` int64 [batch, 1].
        custom_config: `vocabulary_size` ids in all, `max_tokens` kept of a text.

    Returns:
        `token_ids` int64 sparse [batch, tokens], at least one token a row; `label` int64 [batch].
    """
    tokens = tokenize(tf.squeeze(inputs[TITLE], axis=1), tf.squeeze(inputs[DESCRIPTION], axis=1))
    vocabulary = tft.vocabulary(
        tokens, top_k=custom_config["vocabulary_size"] - RESERVED_IDS, vocab_filename=VOCABULARY
    )
    # A row without words would be masked whole, which fails the batch on a GPU: it becomes one unknown word.
    placeholder = tf.fill([tokens.nrows(), 1], _NO_WORDS)
    tokens = tf.concat([tokens, tf.ragged.boolean_mask(placeholder, tokens.row_lengths()[:, tf.newaxis] == 0)], axis=1)
    ids = tft.apply_vocabulary(tokens[:, : custom_config["max_tokens"]].to_sparse(), vocabulary, default_value=-1)
    return {
        TOKEN_IDS: tf.sparse.map_values(tf.add, ids, RESERVED_IDS),
        LABEL: tf.squeeze(inputs[LABEL], axis=1),
    }

"""Converts text to token ids within the TensorFlow graph, so that training and serving cannot differ.

`clean` removes the corpus' markup, then `standardize` removes case and punctuation. The ids equal those of Keras'
TextVectorization on the standardized text (keras/src/layers/preprocessing/text_vectorization.py). TextVectorization's
default standardization deletes punctuation instead, which makes one rare word of "oil-price" and of each possessive.
"""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from schema.features import DESCRIPTION, LABEL, TITLE
from schema.model_contract import RESERVED_IDS, TITLE_TOKENS, TOKEN_IDS, VOCABULARY

# The corpus lacks the ampersand of many entities and has a blank before some: "Sony #39;s", " quot;yes quot;".
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
# Each of these is one word: "u.s.", "j.k.", "1,000", "3.5".
_JOINED = ((r"\b([a-z])\.", r"\1"), (r"(\d)[.,](\d)", r"\1\2"))
_PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'
_WITHOUT_BLANKS = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
# Brackets are punctuation, so the vocabulary cannot contain this word.
_NO_WORDS = "[no_words]"


def clean(text: tf.Tensor) -> tf.Tensor:
    """Replaces HTML entities, tags, and the backslashes that the corpus has for line breaks.

    Args:
        text: string tensor of any shape.

    Returns:
        String tensor of the same shape.
    """
    for pattern, replacement in _MARKUP:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def standardize(text: tf.Tensor) -> tf.Tensor:
    """Removes markup and case, and splits words at punctuation.

    Args:
        text: string tensor of any shape.

    Returns:
        String tensor of the same shape with lower-case words, separated by white space.
    """
    text = tf.strings.lower(clean(text))
    for pattern, replacement in _JOINED:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return tf.strings.regex_replace(text, _PUNCTUATION, " ")


def split_characters(text: tf.Tensor) -> tf.Tensor:
    """Puts blanks around each character of a script that has none between words: Chinese, Japanese, Thai and others.

    Args:
        text: string tensor of any shape.

    Returns:
        String tensor of the same shape.
    """
    return tf.strings.regex_replace(text, _WITHOUT_BLANKS, r" \1 ")


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transforms raw features to the features of the training; the user function of the Transform component.

    Args:
        inputs: `title` and `description`, string [batch, 1]; `label`, int64 [batch, 1].
        custom_config: `vocabulary_size`, the total number of ids; `min_count`, the occurrences that a word needs to get
            an id; `max_tokens`, the number of tokens kept per text; `tokens`, "words" (default) or "characters".

    Returns:
        `token_ids`, sparse int64 [batch, tokens] with at least one token per row, the title's first; `title_tokens`,
        int64 [batch], the number of tokens of the title, at least 1; `label`, int64 [batch].
    """
    split = split_characters if custom_config.get("tokens") == "characters" else tf.identity
    title, description = (
        tf.strings.split(tf.squeeze(split(standardize(inputs[name])), axis=1)) for name in (TITLE, DESCRIPTION)
    )
    # A fully masked row fails the batch on a GPU, so a row without words becomes one unknown word.
    empty = title.row_lengths() + description.row_lengths() == 0
    placeholder = tf.ragged.boolean_mask(tf.fill([title.nrows(), 1], _NO_WORDS), empty[:, tf.newaxis])
    tokens = tf.concat([title, description, placeholder], axis=1)
    vocabulary = tft.vocabulary(
        tf.concat([title, description], axis=1),
        top_k=custom_config["vocabulary_size"] - RESERVED_IDS,
        frequency_threshold=custom_config["min_count"],
        vocab_filename=VOCABULARY,
    )
    max_tokens = custom_config["max_tokens"]
    ids = tft.apply_vocabulary(tokens[:, :max_tokens].to_sparse(), vocabulary, default_value=-1)
    return {
        TOKEN_IDS: tf.sparse.map_values(tf.add, ids, RESERVED_IDS),
        TITLE_TOKENS: tf.clip_by_value(title.row_lengths(), 1, max_tokens),
        LABEL: tf.squeeze(inputs[LABEL], axis=1),
    }

"""The sentences that LISA is asked and answers with. Published weights know these: another wording is a new task."""

import numpy as np

# A phrase or class name, in lower case.
PHRASE_QUESTIONS = (
    "Can you segment the {text} in this image?",
    "Please segment the {text} in this image.",
    "What is {text} in this image? Please respond with segmentation mask.",
    "What is {text} in this image? Please output segmentation mask.",
)
# A whole sentence, as it is.
SENTENCE_QUESTIONS = (
    "{text} Please respond with segmentation mask.",
    "{text} Please output segmentation mask.",
)
EXPLAIN_QUESTIONS = (
    "{text} Please output segmentation mask and explain why.",
    "{text} Please output segmentation mask and explain the reason.",
    "{text} Please output segmentation mask and give some explanation.",
)
ANSWERS = (
    "It is [SEG].",
    "Sure, [SEG].",
    "Sure, it is [SEG].",
    "Sure, the segmentation result is [SEG].",
    "[SEG].",
)
# What is not in the image. LISA was never taught to refuse; these are this project's own.
ABSENT_ANSWERS = (
    "That is not in this image.",
    "I cannot find that in this image.",
    "There is nothing like that in this image.",
)


def question(text: str, is_sentence: bool, rng: np.random.Generator) -> str:
    """A question for the mask of a phrase or sentence."""
    if is_sentence:
        return pick(SENTENCE_QUESTIONS, rng).format(text=text)
    return pick(PHRASE_QUESTIONS, rng).format(text=text.lower())


def pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of the choices, each as likely."""
    return choices[rng.integers(len(choices))]

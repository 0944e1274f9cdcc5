"""Prompt templates of the conversations that LISA was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER

IM_START, IM_END = "<im_start>", "<im_end>"
# A turn: the question and its answer; None asks for the answer.
Turn = tuple[str, str | None]

_VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
# Of LLaVA-1.5's Vicuna; one word tells it from the one above.
_VICUNA_V1_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_LLAMA_2_SYSTEM = (
    "You are a helpful language and vision assistant. "
    "You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
# An example in front of the first question: first where such a thing mostly is, then what it looks like.
_TWO_STEP_SYSTEM = (
    f"{_VICUNA_SYSTEM} To segment something, the assistant first considers the places where it is usually found, and "
    "how it looks there. USER: Which part of the tap turns the water on? Please output segmentation mask. ASSISTANT: "
    "It sits on top of the tap or beside it. It is a short lever or a wheel. "
)


@dataclass(frozen=True)
class ConversationTemplate:
    """How turns become one prompt string. `separator` stands between a question and its answer."""

    name: str
    system: str

    def render(self, turns: Sequence[Turn]) -> str:
        """The prompt; it ends where the model has to go on if the last answer is None."""
        raise NotImplementedError

    def with_system(self, system: str | None) -> "ConversationTemplate":
        """This template with another text in front of the first question; itself for None."""
        return self if system is None else replace(self, system=system)


class VicunaTemplate(ConversationTemplate):
    """`{system} USER: q ASSISTANT: a</s>USER: q ASSISTANT:`; the system sentence may be empty."""

    separator = "ASSISTANT: "

    def render(self, turns: Sequence[Turn]) -> str:
        """See ConversationTemplate."""
        text = f"{self.system} " if self.system else ""
        for question, answer in turns:
            text += f"USER: {question} ASSISTANT:"
            if answer is not None:
                text += f" {answer}</s>"
        return text


class Llama2Template(ConversationTemplate):
    """`[INST] <<SYS>>...<</SYS>> q [/INST] a </s><s>[INST] q [/INST]`; the first `<s>` is the tokenizer's."""

    separator = "[/INST] "

    def render(self, turns: Sequence[Turn]) -> str:
        """See ConversationTemplate."""
        text = ""
        for index, (question, answer) in enumerate(turns):
            if index == 0:
                text += f"[INST] <<SYS>>\n{self.system}\n<</SYS>>\n\n{question} [/INST]"
            else:
                text += f"<s>[INST] {question} [/INST]"
            if answer is not None:
                text += f" {answer} </s>"
        return text


TEMPLATES: Mapping[str, ConversationTemplate] = {
    template.name: template
    for template in (
        VicunaTemplate("llava_v1", _VICUNA_SYSTEM),
        VicunaTemplate("vicuna_v1", _VICUNA_V1_SYSTEM),
        Llama2Template("llava_llama_2", _LLAMA_2_SYSTEM),
        VicunaTemplate("two_step", _TWO_STEP_SYSTEM),
        VicunaTemplate("plain", ""),
    )
}


def get_template(name: str) -> ConversationTemplate:
    """The template of that name; raises ConfigurationError naming those there are."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise ConfigurationError(
            f"conv_type {name!r} is not a conversation template; there are {', '.join(TEMPLATES)}"
        ) from None


def image_block(use_im_start_end: bool) -> str:
    """What stands for the image in a prompt."""
    return f"{IM_START}{IMAGE_PLACEHOLDER}{IM_END}" if use_im_start_end else IMAGE_PLACEHOLDER


def question_about_image(text: str, use_im_start_end: bool) -> str:
    """The first question of a conversation: the image, a newline, the words."""
    return f"{image_block(use_im_start_end)}\n{text}"

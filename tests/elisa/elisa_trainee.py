"""A network of a variant as the official training begins with it."""

from golden_variants import ROOT

from lisa_ros.model.elisa.checkpoint import base_directory, build_network, official_key
from lisa_ros.model.elisa.files import find_elisa
from lisa_ros.model.elisa.tokenizer import ElisaTokenizer
from lisa_ros.model.preprocess import ClipPreprocessor
from lisa_ros.model.weights import read_weight_file
from training.elisa.config import load_elisa_config
from training.elisa.lora import load_lora, prepare_elisa

PAPER = load_elisa_config(ROOT / "config" / "training" / "elisa_paper.yaml")
OFFICIAL = "llava_model.llava_model."


class Trainee:
    """A fresh network with its LoRA beside the layers, by the recipe of the official training, elisa_paper.yaml."""

    def __init__(self, golden) -> None:
        files = find_elisa(golden.directory)
        directory = base_directory(files)
        self.tokenizer = ElisaTokenizer.from_directory(directory, files.values["end_turn_token"])
        weights = read_weight_file(files.weights)
        self.network = build_network(directory, files, self.tokenizer, weights, closed=PAPER.model.style.closed)
        prepare_elisa(self.network, files.values["lora_rank"])
        load_lora(self.network, weights, files.weights)
        self.network.set_attention("eager")
        self.weights = weights
        size = self.network.llava.config.vision_config.image_size
        self.preprocess = ClipPreprocessor.from_directory(directory, size)


def name_of(parameter_name):
    """A LoRA parameter's name as golden files have it."""
    return official_key(parameter_name.removeprefix("llava.")).removeprefix(OFFICIAL)

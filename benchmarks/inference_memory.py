"""GPU memory of the published sizes in every number format, calculated from the shapes of the weights."""

import torch
from random_lisa import random_network

from lisa_ros.model.network import LisaNetwork

ROWS = (
    *(("7b", precision) for precision in ("bf16", "int8", "int4", "nf4")),
    *(("13b", precision) for precision in ("int8", "int4", "nf4")),
)
TOKENS = 1024  # of prompt and answer, in the cache
GIGABYTE = 1e9
# Bytes a weight: int8 with a float32 for each row; int4 with bfloat16 scale and zero for 128 weights; nf4 with a
# float32 for 64.
PACKED_BYTES = {"int8": 1.0, "int4": 0.5 + 4 / 128, "nf4": 0.5 + 4 / 64}
_FLOAT32 = ("text_hidden_fcs", "mask_decoder", "prompt_encoder", "neck")


def memory_table() -> list[dict[str, object]]:
    """Rows of gigabytes: the weights; what a query adds at its peak; the largest that loading adds."""
    networks = {size: random_network(size, torch.device("meta"), torch.bfloat16) for size in ("7b", "13b")}
    return [row(networks[size], size, precision) for size, precision in ROWS]


def row(network: LisaNetwork, size: str, precision: str) -> dict[str, object]:
    """Calculated bytes of one size in one format."""
    weights, largest = 0.0, 0
    for name, parameter in network.named_parameters():
        count, packed = parameter.numel(), name.startswith("model.layers.") and "_proj.weight" in name
        if packed and precision in PACKED_BYTES:
            weights += count * PACKED_BYTES[precision]
            weights += 4 * parameter.shape[0] if precision == "int8" else 0
        else:
            weights += count * (4 if any(part in name for part in _FLOAT32) else 2)
        largest = max(largest, count * 2)
    peak = weights + query_bytes(network)
    return {
        "size": size,
        "precision": precision,
        "weights_gb": round(weights / GIGABYTE, 2),
        "query_peak_gb": round(peak / GIGABYTE, 2),
        # Packed on the GPU one layer after the other: the layer is there as it was, and packed.
        "loading_peak_gb": round((weights + largest) / GIGABYTE, 2),
        "fits_24_gb": peak <= 22 * GIGABYTE,
        "calculated": True,
    }


def query_bytes(network: LisaNetwork) -> float:
    """The cache of a whole context, a prefill, and what Segment Anything's encoder takes beside it."""
    config, sam = network.config, network.config.sam
    cache = 2 * config.num_hidden_layers * config.hidden_size * TOKENS * 2
    tokens = sam.grid_size**2
    attention = 2 * (
        sam.num_heads * tokens**2 + 6 * tokens * sam.embed_dim
    )  # the bias; input, queries, keys, values, ...
    mlp = 2 * tokens * (2 * 4 + 2) * sam.embed_dim
    prefill = TOKENS * (2 * 3 * config.intermediate_size + 4 * 32 * config.hidden_size // 32)
    return cache + prefill + max(attention, mlp)

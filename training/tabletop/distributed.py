"""Data parallelism for uneven machines: one process a CPU core (or GPU), weights averaged every few steps.

Local SGD (Stich, arXiv 1805.09767): the processes wait for one another only at the averaging, so a core that other work
slows down for a moment does not stop the rest. Start with `torchrun --nproc-per-node 2 -m training ...`; a plain
`python -m training ...` is a world of one.
"""

import os

import torch
import torch.distributed as dist


def start() -> tuple[int, int]:
    """Joins the process group that torchrun describes in the environment; returns (rank, world size)."""
    if "RANK" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def start_stage() -> tuple[int, int]:
    """`start`, and what every stage begins with: the same seed, and one thread where processes share a CPU."""
    rank, world = start()
    torch.set_num_threads(1 if world > 1 else torch.get_num_threads())
    torch.manual_seed(0)
    return rank, world


def average_weights(module: torch.nn.Module) -> None:
    """Replaces every floating-point parameter and buffer by its mean over the processes."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    with torch.no_grad():
        tensors = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))


def broadcast_state(module: torch.nn.Module) -> None:
    """Gives every process the parameters and buffers of rank 0."""
    if dist.is_initialized():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)

"""The stages of a query one by one: their times, and the floors that arithmetic and memory set them."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lisa_ros.geometry import CameraModel, target_clouds
from lisa_ros.inference.compiled_step import TokenLoop
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import greedy_token, prefill
from lisa_ros.inference.regions import MaskLogits
from lisa_ros.model.memory import weight_bytes
from lisa_ros.model.preprocess import sam_preprocess, upscale_logits
from lisa_ros.private_graph import isolate
from lisa_ros.simulator import Scene

DECODED = 8  # tokens of a measurement of the loop
MESSAGES = 20


def clock(device: torch.device) -> float:
    """Seconds: on a CPU of the process's CPU time, which other work disturbs least; on a GPU until it is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Of one call."""
    started = clock(device)
    run()
    return clock(device) - started


class Stages:
    """The stages of our engine's query about a scene of the simulator.

    Attributes:
        runs: Stage -> what computes it once; a token of the loop is `DECODED` times less.
    """

    def __init__(self, lisa: Lisa, scene: Scene, frame: EncodedFrame, ids: list[int]) -> None:
        network, image, size = lisa.network, scene.image, lisa.network.config.sam.image_size
        sam, clip = self._preprocess(lisa, image)
        embedding = network.head.embed(torch.randn(1, network.config.hidden_size, device=lisa.device))
        low_res = network.head.decode(frame.features, embedding)
        mask = scene.mask(max(scene.objects, key=lambda seen: seen.pixels).id)
        camera = CameraModel.from_matrix(scene.intrinsics, image.shape[1], image.shape[0])
        self._lisa, self._ids, self._frame = lisa, ids, frame

        def finish() -> None:
            logits = upscale_logits(low_res, size, *image.shape[:2])[0].cpu().numpy()
            lisa.model.target(frame, "", MaskLogits(logits), 1.0)

        self.runs: dict[str, Callable[[], object]] = {
            "preprocess": lambda: self._preprocess(lisa, image),
            "CLIP": lambda: network.visual_tokens(frame.features, clip),
            "SAM encoder": lambda: network.encode_image(sam),
            "prefill": lambda: prefill(network, ids, frame.visual),
            "token": self._decode,
            "mask decoder": lambda: network.head.decode(frame.features, embedding),
            "post-processing": finish,
            "mask-only query": lambda: lisa.segment(frame, "the mug"),
            "cloud": lambda: target_clouds([mask], scene.depth, image, camera, with_scene=False),
        }
        self.runs["cloud"]()  # compiles

    @staticmethod
    def _preprocess(lisa: Lisa, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        sam = sam_preprocess(image, lisa.network.config.sam.image_size).to(lisa.device)
        return sam, lisa.network.vision_tower.preprocess(image).to(lisa.device)

    def _decode(self) -> None:
        cache = self._frame.prefix.copy(len(self._frame.prefix.ids))
        token = self._ids[-1]
        with self._lisa.model.compiled_for_answer() as step:
            loop = TokenLoop(self._lisa.network, cache, step)
            for _ in range(DECODED):
                token, _ = greedy_token(self._lisa.network, loop.feed(token))

    def measure(self) -> dict[str, float]:
        """Seconds of each stage, once."""
        with torch.inference_mode():
            found = {name: seconds(run, self._lisa.device) for name, run in self.runs.items()}
        return found | {"token": found["token"] / DECODED}

    def floors(self, dtype: torch.dtype) -> dict[str, dict[str, float]]:
        """Of the network's stages: FLOPs and bytes, and the seconds that they take at the rates of this machine.

        Bytes are those of the weights that the stage reads. The rates are those of a large product of matrices of
        `dtype` and of a copy of memory; what reads only may be faster than the copy.
        """
        device, network = self._lisa.device, self._lisa.network
        flop_rate, byte_rate = matmul_rate(device, dtype), copy_rate(device)
        parts = {
            "CLIP": [network.vision_tower, network.model.mm_projector],
            "SAM encoder": [network.sam.image_encoder],
            "prefill": [network.model.layers],
            "token": [network.model.layers, network.lm_head],
            "mask decoder": [network.sam.mask_decoder, network.model.text_hidden_fcs],
        }
        found = {}
        for name, modules in parts.items():
            flops = self._flops(name)
            size = sum(map(weight_bytes, modules))
            least = {"arithmetic": flops / flop_rate, "memory": size / byte_rate}
            found[name] = {"flops": flops, "bytes": size, "seconds": max(least.values())}
        return found | {"rates": {"flops": flop_rate, "bytes": byte_rate}}

    def _flops(self, name: str) -> float:
        """Of one run; inference mode would hide products from the counter."""
        network, frame = self._lisa.network, self._frame
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            if name == "prefill":
                ids = torch.tensor([self._ids], device=self._lisa.device)
                network.hidden_states(network.splice(ids, frame.visual.clone()))
            elif name == "token":
                token = network.embed(torch.tensor([self._ids[-1:]], device=self._lisa.device))
                network.logits(network.hidden_states(token))
            else:
                self.runs[name]()
        return float(counter.get_total_flops())


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """FLOP/s of the best of five products of square matrices."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    left @ right
    return 2 * size**3 / min(seconds(lambda: left @ right, device) for _ in range(5))


def copy_rate(device: torch.device, size: int = 1 << 28) -> float:
    """Bytes/s read and written by the best of five copies."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source).copy_(source)
    return 2 * size / min(seconds(lambda: target.copy_(source), device) for _ in range(5))


def transport(image: np.ndarray) -> float:
    """Least wall seconds from an image's publishing to its arrival at another node of this process."""
    isolate()
    import rclpy  # after the domain is chosen
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from lisa_ros.nodes.common.messages import image_message

    rclpy.init()
    sender, receiver = rclpy.create_node("sender"), rclpy.create_node("receiver")
    executor, arrived, best = SingleThreadedExecutor(), [], float("inf")
    executor.add_node(receiver)
    receiver.create_subscription(Image, "image", arrived.append, 1)
    publisher = sender.create_publisher(Image, "image", 1)
    try:
        while not publisher.get_subscription_count():
            executor.spin_once(timeout_sec=0.05)
        for _ in range(MESSAGES):
            arrived.clear()
            started = time.perf_counter()
            publisher.publish(image_message(Header(), image))
            while not arrived:
                executor.spin_once(timeout_sec=1.0)
            best = min(best, time.perf_counter() - started)
    finally:
        executor.shutdown()
        sender.destroy_node()
        receiver.destroy_node()
        rclpy.try_shutdown()
    return best

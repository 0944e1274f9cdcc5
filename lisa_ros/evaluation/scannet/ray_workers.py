"""Scenes spread over the machines of a Ray cluster. Whatever dies, its scene is given to another worker."""

import importlib.util
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.scannet.scene import GenerationOptions, SceneJob, SceneResult, evaluate_scene

LOCAL = "local"  # the address of a cluster on this machine alone
ATTEMPTS = 3  # at a scene, and at loading the model without one success, before it counts as failed
# Ray's own switch, read when it is imported. Without it the servers of a cluster on one machine, too, listen to the
# whole network.
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_PATIENCE = 30.0  # s without a result after which a line says what is being waited for


class SceneWorker:
    """An actor: a process that loads the model once and is given one scene after the other."""

    def __init__(self, load: Callable[[], tuple[object, str]], asking: GenerationOptions) -> None:
        self._load, self._asking = load, asking

    def load(self) -> None:
        """Loads the model. Raises CheckpointError, ConfigurationError, MemoryBudgetError."""
        self._lisa, self._weights = self._load()

    def evaluate(self, scene: SceneJob) -> SceneResult:
        """As `evaluate_scene`."""
        return evaluate_scene(self._lisa, self._weights, scene, self._asking)


def evaluate_with_ray(
    scenes: Sequence[SceneJob],
    load: Callable[[], tuple[object, str]],
    asking: GenerationOptions,
    address: str,
    workers: int | None,
    device: str,
    write: Callable[[str], None],
) -> Iterator[SceneResult]:
    """The outcome of each scene, in the order in which they are done.

    load: gives model and digest; is sent to the workers. address: "local" for a cluster of this machine alone, which
    ends with the evaluation; "auto" or HOST:PORT for one that runs. device: "cpu", "cuda", or "auto" for "cuda" where
    the cluster has GPUs. workers: None for one a GPU, or one a core on CPUs. write: gets lines for people who watch.
    Raises ConfigurationError where there is no Ray, no such cluster or no room in it, and what loading the model
    raises.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError("--ray needs Ray: pip install 'lisa_ros[ray]', or requirements/ray.txt")
    if address == LOCAL:
        os.environ[_CLUSTERS] = "0"
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage data leave the machine
    import ray

    _connect(address, workers)
    try:
        there = ray.cluster_resources()
        on_gpu = device == "cuda" or (device == "auto" and there.get("GPU", 0) >= 1)
        resource = "GPU" if on_gpu else "CPU"
        room = int(there.get(resource, 0))
        if not room:
            raise ConfigurationError(f"the cluster at {address} has no {resource}; give --device cpu or another --ray")
        count = min(workers or room, room, len(scenes))
        write(f"ray {address}: {len(scenes)} scenes, {count} workers on {len(ray.nodes())} machines")
        factory = ray.remote(SceneWorker).options(num_cpus=1, num_gpus=1 if on_gpu else 0)
        yield from _Dispatcher(ray, lambda: factory.remote(load, asking), scenes, write).run(count)
    finally:
        ray.shutdown()


def _connect(address: str, workers: int | None) -> None:
    import ray

    local = {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, **(local if address == LOCAL else {}))
    except (ConnectionError, OSError, ValueError) as error:
        raise ConfigurationError(f"no Ray cluster at {address}: {error}") from error


class _Dispatcher:
    """Gives scenes to actors that have loaded the model, and replaces actors that die.

    A new actor gets a scene only once it is ready: where a machine is gone for good, its replacement waits for room and
    the other actors do the work.
    """

    def __init__(self, ray, start: Callable, scenes: Sequence[SceneJob], write: Callable[[str], None]) -> None:
        self._ray, self._start, self._write = ray, start, write
        self._waiting = deque(scenes)
        self._busy: dict = {}  # what is awaited -> (actor, its scene; None while it loads)
        self._idle: list = []
        self._deaths = Counter()
        self._ever_loaded = False

    def run(self, count: int) -> Iterator[SceneResult]:
        for _ in range(count):
            self._add_actor()
        while self._waiting or any(scene is not None for _, scene in self._busy.values()):
            ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=_PATIENCE)
            if not ready:
                loading = sum(scene is None for _, scene in self._busy.values())
                if loading == len(self._busy):
                    self._write(f"waiting for {loading} workers to be started and to load the model")
                continue
            result = self._take(ready[0])
            if result is not None:
                yield result

    def _take(self, reference) -> SceneResult | None:
        actor, scene = self._busy.pop(reference)
        died = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except died.RayTaskError as error:
            raise error.cause from error  # what loading the model says is wrong, without the other machine's traceback
        except (died.RayActorError, died.WorkerCrashedError, died.NodeDiedError, died.OutOfMemoryError,
                died.ObjectLostError) as error:  # fmt: skip
            return self._after_death(scene, error)
        self._ever_loaded = True
        self._idle.append(actor)
        self._hand_out()
        return result

    def _after_death(self, scene: SceneJob | None, error: Exception) -> SceneResult | None:
        name = scene.name if scene else "its model"
        self._deaths[name] += 1
        last = self._deaths[name] >= ATTEMPTS
        self._write(f"a worker died at {name} (time {self._deaths[name]} of {ATTEMPTS}); another takes over")
        if scene is None and last and not self._ever_loaded:
            raise ConfigurationError(f"{ATTEMPTS} workers died while they loaded the model; the last: {_first(error)}")
        self._add_actor()
        if scene is None:
            return None
        if last:
            return SceneResult(scene.name, error=f"{ATTEMPTS} workers died at it; the last: {_first(error)}")
        self._waiting.appendleft(scene)
        self._hand_out()
        return None

    def _add_actor(self) -> None:
        actor = self._start()
        self._busy[actor.load.remote()] = actor, None

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            actor, scene = self._idle.pop(), self._waiting.popleft()
            self._busy[actor.evaluate.remote(scene)] = actor, scene


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

"""The cache of SAM features: same losses with and without, a limit, and damage that is not believed."""

import pytest
import torch
from small_run import losses, start, train, train_config

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam import SamFeatures
from training.config.sections import CacheConfig
from training.data.feature_cache import FeatureCache, hash_of_image, hash_of_weights, rounded
from training.errors import TrainingError

pytestmark = pytest.mark.unit


def features(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return SamFeatures(
        torch.randn(count, 4, 3, 3, generator=generator), (torch.randn(count, 2, 6, 6, generator=generator),)
    )


def test_round_trip(tmp_path):
    cache, stored = FeatureCache(tmp_path, "e", 1_000_000), features(3)
    cache.put(["a1", "b2", "c3"], stored)
    found = cache.get(["c3", "a1"])
    expected = rounded(stored).select(torch.tensor([2, 0]))
    assert torch.equal(found.embedding, expected.embedding)
    assert torch.equal(found.high_res[0], expected.high_res[0])
    assert cache.get(["a1", "zz"]) is None and cache.get([]) is None
    assert FeatureCache(tmp_path, "other", 1_000_000).get(["a1"]) is None


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cache\.directory .*file cannot be made"):
        FeatureCache(tmp_path / "file", "e", 1000)
    cache = FeatureCache(tmp_path, "e", 1_000_000)
    (tmp_path / "e" / "a1").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot write in cache\.directory"):
        cache.put(["a1"], features(1))


def test_limit_and_damage(tmp_path):
    size = (4 * 9 + 2 * 36) * 2
    cache = FeatureCache(tmp_path, "e", 2 * size)
    cache.put(["a1", "b2", "c3"], features(3))
    assert cache.get(["a1", "b2"]) is not None and cache.get(["c3"]) is None
    path = next((tmp_path / "e").rglob("a1.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    assert cache.get(["a1"]) is None and not path.exists()


def test_names_follow_the_content():
    import numpy as np

    image = np.zeros((4, 6, 3), np.uint8)
    assert hash_of_image(image) == hash_of_image(image.copy()) != hash_of_image(image.reshape(6, 4, 3))
    weights = {"a": torch.zeros(3), "b": torch.ones(2, dtype=torch.bfloat16)}
    assert hash_of_weights(weights) == hash_of_weights(dict(reversed(weights.items())))
    assert hash_of_weights(weights) != hash_of_weights(weights, "bf16")
    assert hash_of_weights(weights) != hash_of_weights({**weights, "a": torch.ones(3)})


def test_training_with_the_cache(tmp_path):
    """A cold and a warm cache give the same losses, those of a run without it but for rounding; nothing is encoded."""
    cached = CacheConfig(tmp_path / "cache")

    def warm():
        from training.model import objective

        def encode(*arguments):
            raise AssertionError("the image encoder ran")

        objective.LisaNetwork.encode_image = encode
        train(train_config(tmp_path / "warm", cache=cached))

    for run, function in (
        ("plain", lambda: train(train_config(tmp_path / "plain"))),
        ("cold", lambda: train(train_config(tmp_path / "cold", cache=cached))),
        ("warm", warm),
    ):
        process = start(function)
        process.join(100)
        assert process.exitcode == 0, run
    assert losses(tmp_path / "cold") == losses(tmp_path / "warm")
    assert losses(tmp_path / "cold") == pytest.approx(losses(tmp_path / "plain"), rel=1e-3)

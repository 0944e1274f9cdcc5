"""Embeddings of masks -> rows of the language model's vocabulary: the two adapters of ELISA."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lisa_ros.errors import CheckpointError, ConfigurationError


class MaskAdapter(nn.Module):
    """What both adapters share: the mean of all embeddings is taken off, the output has learnt mean and deviation.

    Args:
        embedding_dim: Length of a mask's embedding.
        width: Length of a vocabulary row, the language model's hidden size.
        noise: Standard deviation of what is added to the normalised input in training.

    Attributes:
        mean: (embedding_dim,) mean embedding of the training set's masks; a buffer, in a file beside published weights.
    """

    def __init__(self, embedding_dim: int, width: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("mean", torch.zeros(embedding_dim), persistent=False)
        self.input_norm = nn.LayerNorm(embedding_dim)
        self.norm = nn.LayerNorm(width)
        self.mean_emb = nn.Parameter(torch.zeros(width))
        self.std_emb = nn.Parameter(torch.ones(width))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings of masks (k, embedding_dim), of length 1, as AlphaCLIP gives them -> rows (k, width)."""
        normalised = self.input_norm(embeddings - self.mean)
        return self.norm(self._project(normalised)) * self.std_emb + self.mean_emb

    def _project(self, normalised: Tensor) -> Tensor:
        raise NotImplementedError

    def _noisy(self, values: Tensor) -> Tensor:
        return values + torch.randn_like(values) * self.noise if self.training else values


class MlpAdapter(MaskAdapter):
    """Two linear layers; ELISA's final choice.

    Args:
        embedding_dim: See MaskAdapter.
        width: See MaskAdapter.
        expand_factor: The inner layer has this many times `width` units.
        dropout: Share of inner units that training drops.
        noise: See MaskAdapter.
    """

    def __init__(
        self, embedding_dim: int, width: int, *, expand_factor: int = 2, dropout: float = 0.2, noise: float = 1e-6
    ) -> None:
        super().__init__(embedding_dim, width, noise)
        inner = expand_factor * width
        self.mlp = nn.Sequential(
            nn.Linear(embedding_dim, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )

    def _project(self, normalised: Tensor) -> Tensor:
        return self.mlp(self._noisy(normalised))


class QueryAdapter(MaskAdapter):
    """Several linear views of an embedding, read by blocks of learnt queries: ELISA's alternative, the Q-adapter.

    Args:
        embedding_dim: See MaskAdapter.
        width: See MaskAdapter.
        views: Number of linear views.
        heads: Attention heads of each block.
        queries: Learnt queries of each block.
        expand_factor: The inner layers of the blocks have this many times `width` units.
        dropout: Of attention and inner units in training.
        noise: See MaskAdapter; each view has its own.
    """

    def __init__(
        self,
        embedding_dim: int,
        width: int,
        *,
        views: int = 25,
        heads: Sequence[int] = (1,),
        queries: Sequence[int] = (10,),
        expand_factor: int = 2,
        dropout: float = 0.25,
        noise: float = 1e-4,
    ) -> None:
        super().__init__(embedding_dim, width, noise)
        if views < 1 or not heads or len(heads) != len(queries):
            raise ConfigurationError(
                f"a Q-adapter of {views} views with heads {tuple(heads)} and queries {tuple(queries)}: it needs at "
                "least one view, and as many numbers of heads as of queries"
            )
        self.linears = nn.ModuleList(nn.Linear(embedding_dim, width) for _ in range(views))
        self.blocks = nn.ModuleList(
            _QueryBlock(width, *sizes, expand_factor, dropout) for sizes in zip(heads, queries, strict=True)
        )
        self.skips = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in heads)
        self.final_skip = nn.Linear(embedding_dim, width, bias=False)

    def _project(self, normalised: Tensor) -> Tensor:
        total = self.final_skip(normalised)
        states = torch.stack([linear(self._noisy(normalised)) for linear in self.linears], dim=1)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            total = total + skip(states.mean(dim=1))
            states = block(states)
        return total + states.mean(dim=1)


class _QueryBlock(nn.Module):
    def __init__(self, width: int, heads: int, queries: int, expand_factor: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.query = nn.Parameter(torch.randn(1, queries, width))
        inner = expand_factor * width
        self.ffn = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        query = self.query.expand(len(states), -1, -1)
        mixed, _ = self.attention(query, states, states, need_weights=False)
        return self.norm(self.ffn(mixed))


def make_adapter(values: Mapping[str, object], embedding_dim: int, width: int, source: object) -> MaskAdapter:
    """The adapter that constructor arguments in ELISA's published form describe.

    Args:
        values: Of the model's JSON file: `mlp_adapter`, `expand_factor`, `dropout`, `noise_level`, and for a Q-adapter
            `num_linears`, `num_heads`, `num_queries`.
        embedding_dim: Length of a mask's embedding.
        width: Hidden size of the language model.
        source: Of `values`, for messages.

    Returns:
        An adapter with fresh weights.

    Raises:
        CheckpointError: The arguments describe no adapter.
    """
    names = {"expand_factor": "expand_factor", "dropout": "dropout", "noise_level": "noise"}
    if not values.get("mlp_adapter"):
        names |= {"num_linears": "views", "num_heads": "heads", "num_queries": "queries"}
    options = {name: values[key] for key, name in names.items() if key in values}
    try:
        return (MlpAdapter if values.get("mlp_adapter") else QueryAdapter)(embedding_dim, width, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, ConfigurationError) as error:
        raise CheckpointError(f"{source} describes no adapter of ELISA: {error}") from error

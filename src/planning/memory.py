"""Peak memory of a training step on one GPU, by part; needs no torch.

Saved tensors are counted as the code of `src.models` saves them, compared by tests/src/planning with bytes
of live tensors. Legend of comments: n tokens of this process's stream, q its queries (of the tensor-parallel
group), N all tokens of a sample, D hidden size, F feed-forward size, H heads, L text tokens; the residual
stream has 4 bytes, what matrix products make `e` bytes (2 under bf16).
"""

from dataclasses import dataclass, fields

from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload


@dataclass(frozen=True)
class Memory:
    """Bytes by part at the moment when all of them together are most."""

    weights: float
    gradients: float
    optimizer: float
    ema: float
    gathered: (
        float  # weights of FSDP2 groups while they are used, and their gradients before they are reduced
    )
    activations: float  # saved for the backward pass
    temporaries: float  # of the largest operation

    @property
    def total(self) -> float:
        return sum(getattr(self, each.name) for each in fields(self))


def peak_memory(work: Workload, mesh: Mesh, load: RankLoad, tokens_each: int) -> Memory:
    """Return the peak of a step whose micro-batches have `share.samples` samples of `tokens_each` tokens."""
    own = local_params(work, mesh)
    weights, ema = 4.0 * own, 4.0 * own if work.train.ema_decay else 0.0
    block = Block(work, mesh, load.samples, tokens_each)
    saved = block.saved_of_step()
    gathered = gathered_bytes(work, mesh)
    moments = optimizer_bytes(work, mesh)
    accumulates = load.num_micro_batches > 1
    forward = Memory(weights, 4.0 * own * accumulates, moments, ema, gathered, saved, block.temporaries())
    backward = Memory(weights, 4.0 * own, moments, ema, gathered, block.saved(), block.temporaries())
    step = Memory(weights, 4.0 * own, moments, ema, 0.0, 0.0, 0.0)  # the fused optimizer needs no more
    return max(forward, backward, step, key=lambda each: each.total)


def local_params(work: Workload, mesh: Mesh) -> float:
    """Return the number of parameters that one GPU stores."""
    rest = work.table_params + work.root_params + work.text_params
    return (work.block_params / mesh.tensor_parallel + rest) / mesh.num_weight_shards


def optimizer_bytes(work: Workload, mesh: Mesh) -> float:
    """Return the bytes of moments: two numbers a parameter, one for the matrices that Muon steps."""
    if work.train.parallel.offload_optimizer:
        return 0.0
    own = local_params(work, mesh)
    matrices = work.block_params / mesh.tensor_parallel / mesh.num_weight_shards
    return 8.0 * own - (4.0 * matrices if work.train.optimizer == "muon" else 0.0)


def gathered_bytes(work: Workload, mesh: Mesh) -> float:
    """Return the bytes of gathered weights and of gradients before they are reduced.

    FSDP2 gathers the next block while one computes: two blocks in the products' dtype, one block's gradients,
    and the float32 copies of two that are being reduced. The root stays gathered, in float32.
    """
    if mesh.num_weight_shards == 1:
        return 0.0
    c, e = work.transformer, work.element_bytes
    block = (work.block_params / mesh.tensor_parallel + work.table_params) / c.depth
    root = work.root_params + work.text_params
    gradients = e * block + 2 * 4.0 * block
    if not work.train.parallel.reduce_every_micro_batch and work.train.num_micro_batches > 1:
        gradients += 4.0 * block * c.depth
    return 2 * e * block + gradients + 4.0 * root


class Block:
    """Bytes that one block and the layers around all blocks save.

    Args:
        samples: of a micro-batch.
        tokens_each: media tokens of a sample.
    """

    def __init__(self, work: Workload, mesh: Mesh, samples: int, tokens_each: int) -> None:
        self.config, self.mesh, self.work = work.transformer, mesh, work
        self.e, self.samples = work.element_bytes, samples
        self.all = samples * tokens_each
        self.queries = samples * -(-tokens_each // mesh.context_parallel)
        self.stream = samples * -(-tokens_each // mesh.num_peers)
        self.text = samples * work.text_tokens
        self.splits_tokens = mesh.num_peers > 1

    def saved_of_step(self) -> float:
        """Return the bytes that all blocks have saved when the backward pass begins."""
        c = self.config
        kept = c.depth - c.num_checkpointed_blocks
        inputs = 0.0 if c.offload_checkpoints else 4.0 * self.stream * c.hidden_size
        if c.checkpoints_keep != "nothing":
            inputs += self._attention()
        if c.checkpoints_keep == "products":
            inputs += self._products()
        # the first blocks are checkpointed: when one is recomputed, those kept have been used and freed
        return self.around() + inputs * c.num_checkpointed_blocks + self.saved() * max(kept, 1)

    def saved(self) -> float:
        """Return the bytes that one block saves without checkpointing."""
        c, e, tensor = self.config, self.e, self.mesh.tensor_parallel
        n_d, q_d = self.stream * c.hidden_size, self.queries * c.hidden_size
        # residual stream before each branch, and what the gates of two branches multiply
        saved = 4.0 * (3 * n_d + 2 * n_d)
        saved += self._norms()
        # queries, keys, values and result of self-attention; query and result of cross-attention
        saved += e * (3 * q_d + q_d + q_d + q_d) / tensor
        if self.mesh.context_parallel > 1:
            saved += e * 2 * self.all * c.hidden_size / tensor
        if c.qk_norm:
            saved += (2 * q_d + q_d) / tensor * (e if e == 4 else 4)
        saved += 4.0 * self.queries * c.num_heads / tensor * 2  # logarithms of the softmax's sums
        # the feed-forward network: gate and up, or what the activation reads and returns
        saved += e * 2 * self.queries * c.ffn_dim / tensor
        # keys and values of the text, and the text in the products' dtype
        return saved + e * self.text * (2 * c.hidden_size / tensor + c.context_dim * (e < 4))

    def _attention(self) -> float:
        """Return the bytes of the results of a block's two attentions, and of their logarithms of sums."""
        c, tensor = self.config, self.mesh.tensor_parallel
        return 2 * self.queries * (self.e * c.hidden_size + 4.0 * c.num_heads) / tensor

    def _products(self) -> float:
        """Return the bytes of the outputs of one block's matrix products."""
        c, tensor = self.config, self.mesh.tensor_parallel
        q_d = self.queries * c.hidden_size
        # queries, keys, values, the other queries; gate and up; keys and values of the text; three branches
        outputs = (4 * q_d + self.text * 2 * c.hidden_size) / tensor + 3 * q_d
        outputs += self.queries * c.ffn_dim * (2 if c.ffn_kind == "swiglu" else 1) / tensor
        return self.e * outputs

    def _norms(self) -> float:
        """Return the bytes that the three pre-norms save besides the residual stream."""
        c, e = self.config, self.e
        n_d, q_d = self.stream * c.hidden_size, self.queries * c.hidden_size
        plain = c.norm == "layer" or self.splits_tokens
        if not plain:
            return 3 * 4.0 * self.stream
        normed = 2 * 4.0 * n_d  # of the two modulated norms: what the scale multiplies
        inputs = e * q_d * 3  # of the products
        return normed + inputs

    def around(self) -> float:
        """Return the bytes of latents, text and the layers before and after the blocks."""
        c, work = self.config, self.work
        values = c.latent_channels * c.patch[0] * c.patch[1] * c.patch[2]
        latents = 4.0 * self.all * values * 8
        text = 4.0 * self.samples * work.text_dims + 3 * 4.0 * self.text * c.context_dim
        return latents + text + 4.0 * self.stream * c.hidden_size * 2

    def temporaries(self) -> float:
        """Return the bytes that the backward pass of the feed-forward network needs at once."""
        c, e = self.config, self.e
        hidden = e * self.queries * c.ffn_dim / self.mesh.tensor_parallel
        # SwiGLU: gradients of gate and up, and their product once more; an MLP: two gradients
        network = hidden * (3 if c.ffn_kind == "swiglu" else 2) + e * self.queries * c.hidden_size
        norm = 4.0 * 3 * self.stream * c.hidden_size + e * self.queries * c.hidden_size
        return max(network, norm)

"""Sizes of the cases: those of a GPU, and toy sizes for a rehearsal on a CPU."""

from dataclasses import dataclass

from src.models.tae.config import TAEConfig, TilingConfig
from src.models.transformer.config import TransformerConfig

# Dense bf16 (fp16 on the T4) of data sheets, by words of the device's name; as in src/planning/hardware.py.
PEAK_TFLOPS = {
    "b200": 2250.0,
    "h200": 989.0,
    "h100": 989.0,
    "a100": 312.0,
    "l40s": 362.0,
    "4090": 165.0,
    "3090": 71.0,
    "l4": 121.0,
    "t4": 65.0,
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of all cases.

    Args:
        models: by name, smaller first.
        small: a transformer for comparisons with the CPU and between eager and compiled.
        latent: (T, H, W) of one video's latent.
        batch_sizes: tried from the first until memory suffices.
        products: M x K x N of matrix products.
        attention: batch, tokens, heads, head dimension that are timed.
        exact_attention: the same, compared with float64.
        peer: hidden size, depth and tokens of the comparison with other projects' models.
        video: (T, H, W) in pixels for the TAE.
    """

    models: dict[str, TransformerConfig]
    small: TransformerConfig
    tae: TAEConfig
    small_tae: TAEConfig
    latent: tuple[int, int, int]
    num_text: int
    batch_sizes: tuple[int, ...]
    products: tuple[tuple[int, int, int], ...]
    attention: tuple[int, int, int, int]
    exact_attention: tuple[int, int, int, int]
    peer: tuple[int, int, int]
    sampling_steps: int
    video: tuple[int, int, int]
    tiling: TilingConfig
    repeats: int


SMALL = TransformerConfig(
    hidden_size=64, depth=2, num_heads=2, ffn_dim=128, context_dim=32, max_positions=(8, 21, 21)
)
SMALL_TAE = TAEConfig(channels=(16, 32), spatial_down=(2,), temporal_down=(2,), num_blocks=1)


def model(hidden_size: int, depth: int, num_heads: int, ffn_dim: int) -> TransformerConfig:
    """Return a transformer for videos of up to 64 frames at 256 px."""
    return TransformerConfig(
        hidden_size=hidden_size,
        depth=depth,
        num_heads=num_heads,
        ffn_dim=ffn_dim,
        context_dim=hidden_size,
        max_positions=(8, 21, 21),
    )


FULL = Sizes(
    # of configs/video/gpu_80gb.yaml and node_8x80gb.yaml
    models={"400M": model(1152, 18, 9, 3072), "1B": model(1792, 19, 14, 4864)},
    small=SMALL,
    tae=TAEConfig(),
    small_tae=SMALL_TAE,
    latent=(8, 32, 32),  # 64 frames of 256 x 256: 2,048 tokens
    num_text=128,
    batch_sizes=(16, 8, 4, 2, 1),
    products=((8192, 8192, 8192), (32768, 1152, 6144), (32768, 1792, 9728)),
    attention=(4, 8192, 14, 128),  # 256 frames of 256 x 256
    exact_attention=(2, 1024, 4, 128),
    peer=(1152, 18, 4096),
    sampling_steps=10,
    video=(256, 256, 256),
    tiling=TilingConfig(),
    repeats=5,
)
TOY = Sizes(
    models={"400M": SMALL, "1B": SMALL},
    small=SMALL,
    tae=SMALL_TAE,
    small_tae=SMALL_TAE,
    latent=(2, 4, 4),
    num_text=5,
    batch_sizes=(2, 1),
    products=((64, 32, 48),),
    attention=(1, 16, 2, 8),
    exact_attention=(1, 16, 2, 8),
    peer=(128, 3, 256),
    sampling_steps=2,
    video=(8, 16, 16),
    tiling=TilingConfig(frames=4, overlap=2),
    repeats=1,
)
SIZES = {"full": FULL, "toy": TOY}

"""Table of the files to mutate and the tests that must notice: the fast ones of the file's own feature."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src/models", "src/flow", "src/losses")  # all files with code of these, and some others

MODELS, FLOW, LOSSES = "tests/src/models", "tests/src/flow", "tests/src/losses"
TRANSFORMER = (f"{MODELS}/transformer/test_model.py", f"{MODELS}/transformer/test_packing.py")
TAE = (f"{MODELS}/tae/test_model.py", f"{MODELS}/tae/test_layers.py")

TARGETS: dict[str, tuple[str, ...]] = {
    "src/models/config.py": TRANSFORMER,
    "src/models/discriminator.py": (f"{MODELS}/test_discriminator.py",),
    "src/models/nn/attention.py": (
        f"{MODELS}/nn/test_attention.py",
        f"{MODELS}/nn/test_chunked_attention.py",
    ),
    "src/models/nn/attention_layers.py": (f"{MODELS}/nn/test_attention_layers.py", *TRANSFORMER),
    "src/models/nn/chunked_attention.py": (f"{MODELS}/nn/test_chunked_attention.py",),
    "src/models/nn/fused_linear.py": (f"{MODELS}/nn/test_layers.py",),
    "src/models/nn/layers.py": (f"{MODELS}/nn/test_layers.py", *TRANSFORMER),
    "src/models/perceptual_features.py": (f"{MODELS}/test_perceptual_features.py",),
    "src/models/tae/blocks.py": TAE,
    "src/models/tae/config.py": (*TAE, f"{MODELS}/tae/test_tiling.py"),
    "src/models/tae/decoder.py": TAE,
    "src/models/tae/diffusers.py": (f"{MODELS}/tae/test_diffusers.py",),
    "src/models/tae/encoder.py": TAE,
    "src/models/tae/inflate.py": (f"{MODELS}/tae/test_inflate.py",),
    "src/models/tae/layers.py": (*TAE, f"{MODELS}/tae/test_inflate.py"),
    "src/models/tae/model.py": (*TAE, f"{MODELS}/tae/test_tiling.py"),
    "src/models/tae/posterior.py": TAE,
    "src/models/tae/temporal.py": (*TAE, f"{MODELS}/tae/test_inflate.py"),
    "src/models/tae/tiling.py": (f"{MODELS}/tae/test_tiling.py",),
    "src/models/text/byte_encoder.py": (f"{MODELS}/text/test_byte_encoder.py",),
    "src/models/text/config.py": (
        f"{MODELS}/text/test_byte_encoder.py",
        f"{MODELS}/text/test_frozen_encoder.py",
    ),
    "src/models/text/context.py": (
        f"{MODELS}/text/test_byte_encoder.py",
        f"{MODELS}/text/test_frozen_encoder.py",
    ),
    "src/models/text/frozen_encoder.py": (f"{MODELS}/text/test_frozen_encoder.py",),
    "src/models/text/projection.py": (f"{MODELS}/text/test_frozen_encoder.py",),
    "src/models/transformer/adaln.py": (f"{MODELS}/transformer/test_adaln.py", *TRANSFORMER),
    "src/models/transformer/block.py": (*TRANSFORMER, f"{MODELS}/transformer/test_adaln.py"),
    "src/models/transformer/config.py": TRANSFORMER,
    "src/models/transformer/flops.py": ("tests/src/test_model_summary.py",),
    "src/models/transformer/model.py": TRANSFORMER,
    "src/models/transformer/packing.py": (f"{MODELS}/transformer/test_packing.py",),
    "src/models/transformer/patchify.py": (f"{MODELS}/transformer/test_patchify.py", *TRANSFORMER),
    "src/models/transformer/pos_embed.py": (f"{MODELS}/transformer/test_pos_embed.py", *TRANSFORMER),
    "src/flow/config.py": (
        f"{FLOW}/test_schedules.py",
        f"{FLOW}/test_solvers.py",
        f"{FLOW}/test_diffusion.py",
    ),
    "src/flow/diffusion.py": (f"{FLOW}/test_diffusion.py",),
    "src/flow/dopri5.py": (f"{FLOW}/test_solvers.py",),
    "src/flow/guidance.py": (f"{FLOW}/test_solvers.py", f"{FLOW}/test_diffusion.py"),
    "src/flow/loss.py": (f"{FLOW}/test_path.py", f"{FLOW}/test_diffusion.py"),
    "src/flow/noise.py": (f"{FLOW}/test_noise.py",),
    "src/flow/path.py": (f"{FLOW}/test_path.py",),
    "src/flow/sampling.py": (f"{FLOW}/test_solvers.py", f"{FLOW}/test_diffusion.py"),
    "src/flow/schedules.py": (f"{FLOW}/test_schedules.py",),
    "src/flow/solvers.py": (f"{FLOW}/test_solvers.py",),
    "src/flow/timesteps.py": (f"{FLOW}/test_path.py",),
    "src/losses/adversarial.py": (f"{LOSSES}/test_adversarial.py",),
    "src/losses/latent.py": (f"{LOSSES}/test_latent.py",),
    "src/losses/perceptual.py": (f"{LOSSES}/test_perceptual.py",),
    "src/losses/reconstruction.py": (f"{LOSSES}/test_reconstruction.py",),
    "src/losses/video_metrics.py": ("tests/src/training/modules/test_tae.py",),
    "src/streaming/batch_sampler.py": ("tests/src/streaming/test_batch_sampler.py",),
    "src/core/rng.py": (f"{FLOW}/test_noise.py", "tests/src/core/test_rng.py"),
    "src/core/fields.py": ("tests/src/core/test_config.py",),
    "src/runs/run_directory.py": ("tests/src/runs/test_run_directory.py",),
}

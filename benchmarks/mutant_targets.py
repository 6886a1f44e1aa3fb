"""Table of the files to mutate and the tests that must notice: the fast ones of the file's own feature."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (  # all files with code of these, and some others
    *("src/models", "src/flow", "src/losses"),
    *("eval/core", "eval/distribution", "eval/alignment", "eval/quality", "eval/bounce_checker"),
)

MODELS, FLOW, LOSSES = "tests/src/models", "tests/src/flow", "tests/src/losses"
TRANSFORMER = (f"{MODELS}/transformer/test_model.py", f"{MODELS}/transformer/test_packing.py")
TAE = (f"{MODELS}/tae/test_model.py", f"{MODELS}/tae/test_layers.py")

MODEL_TARGETS: dict[str, tuple[str, ...]] = {
    "src/models/codec/config.py": (f"{MODELS}/codec/test_model.py",),
    "src/models/codec/dac.py": (f"{MODELS}/codec/test_model.py",),
    "src/models/codec/descript.py": (f"{MODELS}/codec/test_descript.py",),
    "src/models/codec/discriminators.py": (f"{MODELS}/codec/test_discriminators.py",),
    "src/models/codec/layers.py": (f"{MODELS}/codec/test_model.py",),
    "src/models/codec/model.py": (f"{MODELS}/codec/test_model.py",),
    "src/models/codec/posterior.py": (f"{MODELS}/codec/test_model.py",),
    "src/models/codec/spectral.py": (
        f"{MODELS}/codec/test_model.py",
        f"{MODELS}/codec/test_discriminators.py",
    ),
    "src/models/codec/streaming.py": (f"{MODELS}/codec/test_streaming.py",),
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
    "src/losses/audio.py": (f"{LOSSES}/test_audio.py",),
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

CORE, SETS, QUALITY, CHECKER = (
    f"tests/eval/{name}" for name in ("core", "distribution", "quality", "bounce_checker")
)
READERS = "tests/src/core/media_io"
NETWORKS = ("tests/eval/test_networked.py",)
PACKAGES = ("tests/eval/backbones/test_package_networks.py",)
DIRECTIONS, SETTINGS = "tests/eval/test_directions.py", "tests/eval/test_settings.py"
ENTRIES = "tests/eval/test_entry_points.py"
PARTS_OF_BOUNCE = (f"{CHECKER}/test_parts.py", f"{CHECKER}/test_checker.py")

EVAL_TARGETS: dict[str, tuple[str, ...]] = {
    "eval/core/audio.py": (f"{QUALITY}/test_audio.py", f"{CORE}/test_audio_pass.py"),
    "eval/core/audio_metric.py": (f"{CORE}/test_audio_pass.py", f"{QUALITY}/test_audio.py"),
    "eval/core/audio_pass.py": (f"{CORE}/test_audio_pass.py",),
    "eval/core/axes.py": ("tests/eval/test_catalog.py",),
    "eval/core/checksums.py": (f"{SETS}/test_reference_statistics.py",),
    "eval/core/degradations.py": (f"{CORE}/test_degradations.py",),
    "eval/core/frame_consistency.py": ("tests/eval/alignment/test_identity.py", *NETWORKS),
    "eval/core/frame_metric.py": (f"{QUALITY}/test_low_level.py", DIRECTIONS),
    "eval/core/frame_pairs.py": (f"{CORE}/test_frame_pass.py", SETTINGS),
    "eval/core/frame_pass.py": (f"{CORE}/test_frame_pass.py",),
    "eval/core/frame_source.py": (f"{CORE}/test_frame_pass.py",),
    "eval/core/frame_tasks.py": (f"{CORE}/test_frame_pass.py", SETTINGS),
    "eval/core/intervals.py": (f"{CORE}/test_intervals.py",),
    "eval/core/journal.py": ("tests/eval/test_interrupted_run.py",),
    "eval/core/manifest.py": (f"{CORE}/test_manifest.py",),
    "eval/core/paired_tests.py": (f"{CORE}/test_paired_tests.py",),
    "eval/core/pairs_config.py": (SETTINGS,),
    "eval/core/results.py": (f"{CORE}/test_results.py", "tests/eval/test_run_statistics.py"),
    "eval/core/run_folder.py": ("tests/eval/test_interrupted_run.py",),
    "eval/core/scored_runs.py": (f"{CORE}/test_scored_runs.py",),
    "eval/core/system_pairs.py": (f"{CORE}/test_system_pairs.py",),
    "eval/core/video.py": (f"{CORE}/test_video.py",),
    "eval/distribution/config.py": (f"{SETS}/test_suite.py", SETTINGS),
    "eval/distribution/feature_arrays.py": (f"{SETS}/test_feature_arrays.py", f"{SETS}/test_suite.py"),
    "eval/distribution/frechet.py": (f"{SETS}/test_frechet.py",),
    "eval/distribution/inception_score.py": (f"{SETS}/test_inception_score.py",),
    "eval/distribution/kernel_sums.py": (f"{SETS}/test_kid.py",),
    "eval/distribution/kid.py": (f"{SETS}/test_kid.py",),
    "eval/distribution/matmul.py": (f"{SETS}/test_kid.py", f"{SETS}/test_prdc.py"),
    "eval/distribution/prdc.py": (f"{SETS}/test_prdc.py",),
    "eval/distribution/reference_statistics.py": (f"{SETS}/test_reference_statistics.py",),
    "eval/distribution/suite.py": (f"{SETS}/test_suite.py",),
    "eval/alignment/audio_video.py": (*NETWORKS, DIRECTIONS),
    "eval/alignment/config.py": ("tests/eval/alignment/test_onsets.py", SETTINGS),
    "eval/alignment/edit.py": (*NETWORKS, DIRECTIONS),
    "eval/alignment/identity.py": ("tests/eval/alignment/test_identity.py", *NETWORKS, DIRECTIONS),
    "eval/alignment/ocr.py": (*PACKAGES, DIRECTIONS),
    "eval/alignment/onsets.py": (
        DIRECTIONS,
        "tests/eval/alignment/test_onsets.py",
    ),
    "eval/alignment/text.py": (*NETWORKS, DIRECTIONS),
    "eval/quality/config.py": (SETTINGS,),
    "eval/quality/consistency.py": (DIRECTIONS, *NETWORKS, "tests/eval/backbones/test_extractor.py"),
    "eval/quality/dynamics.py": (DIRECTIONS, *NETWORKS, f"{QUALITY}/test_low_level.py"),
    "eval/quality/fidelity.py": (DIRECTIONS, f"{QUALITY}/test_low_level.py", "tests/eval/test_bad_input.py"),
    "eval/quality/loudness.py": (
        DIRECTIONS,
        f"{QUALITY}/test_audio.py",
    ),
    "eval/quality/low_level.py": (
        DIRECTIONS,
        f"{QUALITY}/test_low_level.py",
    ),
    "eval/quality/niqe.py": (
        DIRECTIONS,
        f"{QUALITY}/test_niqe.py",
    ),
    "eval/quality/perceptual.py": (
        DIRECTIONS,
        f"{QUALITY}/test_perceptual.py",
    ),
    "eval/quality/pitch.py": (*PACKAGES, DIRECTIONS),
    "eval/quality/spectral.py": (
        DIRECTIONS,
        f"{QUALITY}/test_audio.py",
    ),
    "eval/quality/speech.py": (
        DIRECTIONS,
        "tests/eval/quality/test_speech.py",
    ),
    "eval/quality/speech_detection.py": (*PACKAGES, DIRECTIONS),
    "eval/quality/vbench.py": (*NETWORKS, DIRECTIONS),
    "eval/quality/vmaf.py": (
        DIRECTIONS,
        f"{QUALITY}/test_vmaf.py",
    ),
    "eval/bounce_checker/audio.py": (f"{CHECKER}/test_audio.py",),
    "eval/bounce_checker/background.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/camera.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/checker.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/color.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/config.py": (SETTINGS,),
    "eval/bounce_checker/identity.py": (
        DIRECTIONS,
        f"{CHECKER}/test_identity.py",
    ),
    "eval/bounce_checker/metric.py": (
        DIRECTIONS,
        "tests/eval/test_run.py",
    ),
    "eval/bounce_checker/motion.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/objects.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/shape.py": PARTS_OF_BOUNCE,
    "eval/bounce_checker/validate.py": (ENTRIES,),
    "eval/bounce_checker/validate_audio.py": (ENTRIES,),
    "eval/bounce_checker/validate_config.py": (ENTRIES,),
    "eval/bounce_checker/validation.py": (ENTRIES,),
    "eval/compare.py": ("tests/eval/test_compare.py", ENTRIES),
    "eval/catalog.py": ("tests/eval/test_catalog.py",),
    "eval/human/agreement.py": ("tests/eval/human/test_agreement.py",),
    "eval/human/analysis/metric_agreement.py": ("tests/eval/human/test_agreement.py",),
    "eval/human/votes.py": ("tests/eval/human/test_agreement.py",),
    "eval/measurement.py": ("tests/eval/test_interrupted_run.py",),
    "eval/pipeline.py": (f"{SETS}/test_streaming.py", "tests/eval/test_run.py"),
    "eval/reports/latex_tables.py": (
        "tests/eval/reports/test_tables.py",
        "tests/eval/reports/test_plain_text.py",
    ),
    "eval/reports/score_files.py": ("tests/eval/reports/test_tables.py", "tests/eval/test_run.py"),
    "eval/reports/tables.py": ("tests/eval/reports/test_tables.py", ENTRIES),
    "eval/reports/terminal_tables.py": ("tests/eval/reports/test_tables.py",),
    "eval/sanity/coverage.py": ("tests/eval/sanity/test_coverage.py", ENTRIES),
    "src/core/media_io/animation.py": (f"{READERS}/test_image_reader.py",),
    "src/core/media_io/audio_reader.py": (f"{READERS}/test_audio_reader.py",),
    "src/core/media_io/container.py": (f"{READERS}/test_video_reader.py", f"{READERS}/test_times.py"),
    "src/core/media_io/deinterlacing.py": (f"{READERS}/test_video_reader.py",),
    "src/core/media_io/frames.py": (f"{READERS}/test_video_reader.py",),
    "src/core/media_io/image_reader.py": (f"{READERS}/test_image_reader.py",),
    "src/core/media_io/integrity.py": (f"{READERS}/test_damage.py",),
    "src/core/media_io/loudness.py": (f"{QUALITY}/test_audio.py",),
    "src/core/media_io/pixels.py": (f"{READERS}/test_pixels.py",),
    "src/core/media_io/probe.py": (f"{READERS}/test_video_reader.py",),
    "src/core/media_io/timeline.py": (f"{READERS}/test_times.py",),
    "src/core/media_io/tone_mapping.py": (f"{READERS}/test_pixels.py",),
    "src/core/media_io/video_reader.py": (f"{READERS}/test_video_reader.py", f"{READERS}/test_times.py"),
}
"""Statistics, readers and metrics of eval."""

PARTS = {"model": MODEL_TARGETS, "eval": EVAL_TARGETS}
TARGETS = MODEL_TARGETS | EVAL_TARGETS

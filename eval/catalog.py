"""Names of metrics, suites, backbones and network roles, with a line on each: all that `--help` needs.

`eval.registry` and `eval.network_registry` construct what is named here; they import torch, this file
imports neither.
"""

from collections.abc import Iterable

from eval.core.axes import Axis, declared_axis
from eval.core.own_metrics import entry_point_names, is_own_metric
from src.core.suggestions import did_you_mean

METRIC_HELP = {
    "bounce": "subject, motion and camera of a Bounce video against its facts",
    "bounce_onsets": "onsets of the audio against the impacts of a Bounce video",
    "bounce_audio": "hits, materials and ambience of the audio against the facts of a Bounce video",
    "bounce_identity": "the objects of the reference image are in the Bounce video",
    "bounce_physics": "reflection, speed and momentum at the impacts of a Bounce video",
    "vizdoom_audio": "shots and sides of sources of the audio against the facts of a game clip",
    "low_level": "flicker, smoothness, freezing, spatial and temporal information, blur, blockiness",
    "block_motion": "VBench's rule of the dynamic degree over block matching",
    "fidelity": "PSNR, SSIM and MS-SSIM to the reference",
    "vmaf": "VMAF, SSIM and PSNR of YUV to the reference, by ffmpeg",
    "niqe": "NIQE, without a reference",
    "audio": "loudness, peak, clipping, silence, offset, bandwidth of the audio",
    "audio_fidelity": "mel and STFT distances and SI-SDR to the reference audio",
    "speech": "PESQ and STOI to the reference audio",
    "onsets": "onsets of the audio against those of the reference audio",
    "speech_silero": "fraction of the audio that is speech, by silero-vad",
    "f0_crepe": "pitch against the reference audio, by CREPE",
    "ocr_rapidocr": "text that the prompt quotes, read in the frames by RapidOCR",
}
"""Metrics that need no network of the user's."""

FACTS_METRICS = ("bounce", "bounce_onsets", "bounce_audio", "vizdoom_audio")
"""Metrics that need the facts of Bounce videos or game clips in the manifest."""

BACKBONE_METRIC_HELP = {
    "consistency": "VBench's consistency over the frames of each backbone",
    "kl": "KL divergence from the reference, of each backbone that is a classifier",
}
"""Metrics that are computed once for every backbone that they can use."""

NETWORK_METRIC_HELP = {
    "lpips_vgg": "LPIPS to the reference, VGG-16",
    "lpips_alex": "LPIPS to the reference, AlexNet",
    "dists": "DISTS to the reference",
    "clip_score": "CLIP score of prompt and frames",
    "viclip": "ViCLIP's cosine of prompt and video",
    "clap": "CLAP's cosine of prompt and audio",
    "imagebind": "ImageBind's cosine of video and audio",
    "contrastive": "cosine of video and audio, by a contrastive model of src.train",
    "desync": "offset of audio and video, by Synchformer",
    "subject_consistency": "VBench's subject consistency, by DINO",
    "background_consistency": "VBench's background consistency, by CLIP",
    "motion_smoothness": "VBench's motion smoothness, by frame interpolation",
    "dynamic_degree": "VBench's dynamic degree, by RAFT",
    "aesthetic": "LAION's aesthetic score",
    "imaging": "VBench's imaging quality, by MUSIQ",
    "identity_face": "similarity of faces to the reference image",
    "identity_dino": "similarity of frames to the reference image, by DINO",
    "identity_clip": "similarity of frames to the reference image, by CLIP",
    "edit_clip": "direction and output similarity of an edit, by CLIP",
    "edit_viclip": "direction and output similarity of an edit, by ViCLIP",
    "structure": "distance of the patches' self-similarity before and after an edit, by DINO",
}
"""Metrics over networks that the user names by role."""

SET_METRIC_HELP = {
    "diversity": "Vendi score and distance of videos of one prompt, over each backbone",
    "memorization": "similarity to the nearest video of the reference, over each backbone, with their frames",
}
"""Metrics of the features of a set."""

METRIC_AXES = {
    "bounce": Axis("alignment", "overall"),
    "bounce_onsets": Axis("alignment", "diegetic synchronization"),
    "bounce_audio": Axis("alignment", "diegetic correctness"),
    "bounce_identity": Axis("alignment", "identity"),
    "bounce_physics": Axis("quality", "motion naturalness"),
    "vizdoom_audio": Axis("alignment", "diegetic synchronization"),
    "low_level": Axis("quality", "overall"),
    "block_motion": Axis("quality", "motion completeness"),
    "fidelity": Axis("quality", "reconstruction"),
    "vmaf": Axis("quality", "reconstruction"),
    "niqe": Axis("quality", "overall"),
    "audio": Axis("quality", "audio overall"),
    "audio_fidelity": Axis("quality", "audio reconstruction"),
    "speech": Axis("quality", "audio reconstruction"),
    "onsets": Axis("alignment", "diegetic synchronization"),
    "speech_silero": Axis("quality", "audio overall"),
    "f0_crepe": Axis("quality", "audio reconstruction"),
    "ocr_rapidocr": Axis("alignment", "overall"),
    "consistency": Axis("quality", "frame consistency"),
    "kl": Axis("alignment", "overall"),
    "lpips_vgg": Axis("quality", "reconstruction"),
    "lpips_alex": Axis("quality", "reconstruction"),
    "dists": Axis("quality", "reconstruction"),
    "clip_score": Axis("alignment", "overall"),
    "viclip": Axis("alignment", "overall"),
    "clap": Axis("alignment", "overall"),
    "imagebind": Axis("alignment", "diegetic correctness"),
    "contrastive": Axis("alignment", "diegetic correctness"),
    "desync": Axis("alignment", "diegetic synchronization"),
    "subject_consistency": Axis("quality", "frame consistency"),
    "background_consistency": Axis("quality", "frame consistency"),
    "motion_smoothness": Axis("quality", "motion naturalness"),
    "dynamic_degree": Axis("quality", "motion completeness"),
    "aesthetic": Axis("quality", "aesthetics"),
    "imaging": Axis("quality", "overall"),
    "identity_face": Axis("alignment", "identity"),
    "identity_dino": Axis("alignment", "identity"),
    "identity_clip": Axis("alignment", "identity"),
    "edit_clip": Axis("alignment", "text faithfulness"),
    "edit_viclip": Axis("alignment", "text faithfulness"),
    "structure": Axis("alignment", "structure preservation"),
    "diversity": Axis("quality", "diversity"),
    "memorization": Axis("quality", "diversity"),
    "distribution": Axis("quality", "overall"),
}
"""The axis of each metric and the paper's sub-axis; `distribution`: distances between sets."""

_SUB_AXES = {
    ("bounce", "subject"): "subject",
    ("bounce", "motion"): "motion",
    ("bounce", "camera"): "motion",
    ("low_level", "flicker"): "frame consistency",
    ("low_level", "smoothness_blend"): "motion naturalness",
    ("low_level", "change"): "motion completeness",
    ("low_level", "frozen"): "motion completeness",
    ("low_level", "freeze"): "motion completeness",
    ("low_level", "ti"): "motion completeness",
    ("identity_face", "identity_face_consistency"): "face consistency",
    ("distribution", "fad"): "audio overall",
}
"""Sub-axes of values that measure another one than their metric; by prefix of the value's name."""

ALL_METRIC_HELP = {**METRIC_HELP, **BACKBONE_METRIC_HELP, **SET_METRIC_HELP, **NETWORK_METRIC_HELP}
SUITES: dict[str, tuple[str, ...]] = {
    "bounce_av": ("bounce", "bounce_onsets", "bounce_audio", "low_level", "audio"),
    "video": ("low_level", "consistency"),
    "vbench": (
        *("subject_consistency", "background_consistency", "low_level", "motion_smoothness"),
        *("dynamic_degree", "aesthetic", "imaging", "viclip"),
    ),
    "edit": ("edit_clip", "edit_viclip", "structure"),
    "codec": ("fidelity", "low_level"),
    "audio_codec": ("audio_fidelity", "audio"),
    "video_to_audio": ("onsets", "audio"),
}
AUTO = "auto"
"""In place of metrics: those that the samples have something for, by `eval.automatic`."""

PACKAGE_BACKBONE_NAMES = ("efflite0", "efflite0_clip", "aisfx")
"""Backbones whose weights are part of a Python package."""

NETWORK_BACKBONE_NAMES = ("clip", "dino", "inception", "i3d")
"""Backbones whose weights the user names by role."""

BACKBONE_NAMES = (*PACKAGE_BACKBONE_NAMES, *NETWORK_BACKBONE_NAMES)


def expand_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names with suites replaced by their metrics, each metric once.

    Raises:
        ValueError: a name is neither a metric nor a suite, nor has the form of one of the user's own code.
    """
    expanded = [part for name in names for part in SUITES.get(name, (name,))]
    for name in expanded:
        if name not in ALL_METRIC_HELP and not is_own_metric(name):
            hint = did_you_mean(name, [*ALL_METRIC_HELP, *SUITES, *entry_point_names()])
            raise ValueError(f"metrics: {name!r} is neither a metric nor a suite; {hint} (all: --help)")
    return tuple(dict.fromkeys(expanded))


def axis_of(metric: str, score: str = "") -> Axis:
    """Return what a metric, or one of its values, measures.

    The longest prefix counts, for metrics over backbones carry the backbone's name (`kl_aisfx`).

    Raises:
        ValueError: the metric names no axis.
    """
    if own := declared_axis(metric):
        return own
    known = [name for name in METRIC_AXES if metric == name or metric.startswith(name + "_")]
    if not known:
        raise ValueError(f"metric {metric!r} names no axis: add it to METRIC_AXES of eval/catalog.py")
    name = max(known, key=len)
    axis = METRIC_AXES[name]
    for (owner, prefix), sub_axis in _SUB_AXES.items():
        if owner == name and score and (score == prefix or score.startswith(prefix + "_")):
            return Axis(axis.name, sub_axis)
    return axis


def metrics_help() -> str:
    """Return the table of metrics and suites that `--help` shows."""
    width = max(map(len, ALL_METRIC_HELP))
    lines = [f"  {name:<{width}}  {text}" for name, text in ALL_METRIC_HELP.items()]
    suites = [f"  {name:<{width}}  {', '.join(parts)}" for name, parts in SUITES.items()]
    return "\n".join(["Metrics:", *lines, "", "Suites of metrics:", *suites])

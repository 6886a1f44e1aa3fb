"""Names of metrics, suites, backbones and network roles, with a line on each: all that `--help` needs.

`eval.registry` and `eval.network_registry` construct what is named here; they import torch, this file
imports nothing.
"""

from collections.abc import Iterable

METRIC_HELP = {
    "bounce": "subject, motion and camera of a Bounce video against its facts",
    "bounce_onsets": "onsets of the audio against the impacts of a Bounce video",
    "bounce_audio": "hits, materials and ambience of the audio against the facts of a Bounce video",
    "bounce_identity": "the objects of the reference image are in the Bounce video",
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

FACTS_METRICS = ("bounce", "bounce_onsets", "bounce_audio")
"""Metrics that need the facts of Bounce videos in the manifest."""

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

ALL_METRIC_HELP = {**METRIC_HELP, **BACKBONE_METRIC_HELP, **NETWORK_METRIC_HELP}
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
PACKAGE_BACKBONE_NAMES = ("efflite0", "efflite0_clip", "aisfx")
"""Backbones whose weights are part of a Python package."""

NETWORK_BACKBONE_NAMES = ("clip", "dino", "inception", "i3d")
"""Backbones whose weights the user names by role."""

BACKBONE_NAMES = (*PACKAGE_BACKBONE_NAMES, *NETWORK_BACKBONE_NAMES)


def expand_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names with suites replaced by their metrics, each metric once.

    Raises:
        ValueError: a name is neither a metric nor a suite.
    """
    expanded = [part for name in names for part in SUITES.get(name, (name,))]
    for name in expanded:
        if name not in ALL_METRIC_HELP:
            raise ValueError(
                f"metrics: expected some of {', '.join(ALL_METRIC_HELP)} "
                f"or a suite of {', '.join(SUITES)}, got {name}"
            )
    return tuple(dict.fromkeys(expanded))


def metrics_help() -> str:
    """Return the table of metrics and suites that `--help` shows."""
    width = max(map(len, ALL_METRIC_HELP))
    lines = [f"  {name:<{width}}  {text}" for name, text in ALL_METRIC_HELP.items()]
    suites = [f"  {name:<{width}}  {', '.join(parts)}" for name, parts in SUITES.items()]
    return "\n".join(["Metrics:", *lines, "", "Suites of metrics:", *suites])

"""In which direction each value of each metric is better; a wrong sign would praise the worse system."""

import json
from importlib.util import find_spec

import pytest

from eval.alignment import audio_video, edit, identity, onsets, text
from eval.alignment.ocr import OCRMetric
from eval.bounce_checker.audio import BounceAudioMetric
from eval.bounce_checker.identity import BounceIdentity
from eval.bounce_checker.metric import BounceMetric
from eval.bounce_checker.physics import BouncePhysics
from eval.core.results import FRACTION
from eval.quality import vbench
from eval.quality.consistency import Consistency
from eval.quality.dynamics import BlockMotion, DynamicDegree
from eval.quality.fidelity import Fidelity
from eval.quality.loudness import Loudness
from eval.quality.low_level import LowLevelQuality
from eval.quality.niqe import Niqe
from eval.quality.perceptual import Perceptual
from eval.quality.pitch import Pitch
from eval.quality.spectral import AudioFidelity
from eval.quality.speech import Speech
from eval.quality.speech_detection import SpeechFraction
from eval.quality.vmaf import Vmaf
from eval.vizdoom_checker.metric import VizdoomAudioMetric


class Network:
    """In place of a network, for metrics that only name it."""

    name = "net"
    path = __file__

    def describe(self):
        return {"backbone": "net"}

    def __getattr__(self, name):
        return Network()


UP, DOWN, NEITHER = (1,), (-1,), (0,)
METRICS = {
    BounceMetric: {"subject motion camera": UP},
    BounceAudioMetric: {
        "audio_hits audio_materials audio_background hit_precision hit_recall hit_f1 hit_f1_fine": UP,
        "hit_material hit_size text_material text_size": UP, "hit_lag false_hits": DOWN,
        "music_instrument music_tempo_bpm music_key music_mood": UP,
    },
    VizdoomAudioMetric: {
        "shot_precision shot_recall shot_f1 shot_weapon audio_side": UP, "shot_false": DOWN,
    },
    BounceIdentity: {"identity identity_shape identity_color": UP},
    BouncePhysics: {
        "impacts_natural": UP, "reflection_error speed_error momentum_error path_error": DOWN,
    },
    BlockMotion: {"dynamic_degree_blocks flow_blocks": NEITHER},
    LowLevelQuality: {
        "flicker smoothness_blend": UP, "frozen freeze blur blocks": DOWN, "change si ti": NEITHER,
    },
    Fidelity: {"psnr psnr_video ssim ms_ssim": UP},
    Vmaf: {"vmaf vmaf_neg ssim_yuv psnr_yuv": UP},
    Niqe: {"niqe": DOWN},
    Loudness: {"lufs peak_db": NEITHER, "clipped silent offset": DOWN, "bandwidth_hz": UP},
    AudioFidelity: {"mel stft": DOWN, "si_sdr": UP},
    Speech: {"pesq stoi": UP},
    SpeechFraction: {"speech_silero": NEITHER},
    Pitch: {"f0_cents_crepe": DOWN, "f0_accuracy_crepe voicing_crepe": UP},
    OCRMetric: {"ocr_rapidocr ocr_words_rapidocr": UP},
    onsets.BounceOnsets: {
        "onset_precision onset_recall onset_f1": UP, "onset_lag onset_shift onset_false": DOWN,
        "onset_count": NEITHER,
    },
    text.ClipScore: {"clip_score": UP, "clip_score_truncated": DOWN},
    text.ViCLIPScore: {"viclip": UP, "viclip_truncated": DOWN},
    text.CLAPScore: {"clap": UP, "clap_truncated": DOWN},
    audio_video.ImageBind: {"imagebind": UP},
    audio_video.Contrastive: {"contrastive": UP},
    audio_video.DeSync: {"desync desync_expected": DOWN, "desync_near": UP},
    edit.EditDirection: {"kind_dir kind_out": UP, "kind_edit_truncated": DOWN},
    edit.EditStructure: {"structure_dino_tokens": DOWN},
    identity.Identity: {
        "identity_kind_best identity_kind_worst identity_kind_mean identity_kind_consistency": UP,
        "identity_kind_found": UP,
    },
    Perceptual: {"kind": DOWN},
    Consistency: {"consistency_net": UP},
    DynamicDegree: {"dynamic_degree flow": NEITHER},
    vbench.Aesthetic: {"aesthetic": UP},
    vbench.Imaging: {"imaging": UP},
    vbench.MotionSmoothness: {"motion_smoothness": UP},
}  # fmt: skip
ARGUMENTS = {
    text.ClipScore: (Network(), 4),
    text.ViCLIPScore: (Network(),),
    text.CLAPScore: (Network(),),
    audio_video.ImageBind: (Network(),),
    audio_video.Contrastive: (Network(),),
    audio_video.DeSync: (Network(),),
    edit.EditStructure: (Network(), 4),
    DynamicDegree: (Network(),),
    vbench.Aesthetic: (Network(), Network(), 4),
    vbench.Imaging: (Network(), 4),
    vbench.MotionSmoothness: (Network(),),
    edit.EditDirection: ("kind", Network(), 4),
    identity.Identity: ("kind", Network(), 4),
    Perceptual: ("kind", Network()),
    Consistency: (Network(), None),
}


@pytest.mark.parametrize("kind", METRICS)
def test_directions_and_descriptions(kind, monkeypatch):
    if kind is Speech and find_spec("pesq") is None:  # it only looks whether its packages are there
        monkeypatch.setattr("importlib.util.find_spec", lambda name: Network())
    try:
        metric = kind(*ARGUMENTS.get(kind, ()))
    except ValueError as error:
        pytest.skip(str(error))
    scores, described = metric.scores, metric.describe()
    assert described["backbone"] is None or isinstance(described["backbone"], str)
    assert len(described) >= 2 or described["backbone"] == "net"
    json.dumps(described)
    expected = {name: better for names, (better,) in METRICS[kind].items() for name in names.split()}
    assert {name: score.better for name, score in scores.items()} == expected
    assert all(score.unit in ("", FRACTION, "dB", "dBFS", "LUFS", "Hz", "s", "cents", "levels", "deg")
               for score in scores.values())  # fmt: skip

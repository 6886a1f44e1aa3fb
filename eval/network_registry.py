"""Metrics and backbones that need networks of the user's, by name, and how they are made."""

from collections.abc import Callable
from dataclasses import dataclass, field

from eval.alignment.audio_video import DeSync, ImageBind
from eval.alignment.edit import EditDirection, EditStructure
from eval.alignment.identity import Face, Identity, Whole
from eval.alignment.text import ClipScore, SoundText, VideoText
from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Network, Networks
from eval.backbones.clip_clap import Clap, Clip
from eval.backbones.exported_programs import Towers
from eval.backbones.extractor import Extractor
from eval.backbones.frame_networks import ClipFrames, ClipsConfig, Dino, DinoFrames, I3d, Inception
from eval.core.results import Metric
from eval.quality.consistency import Consistency
from eval.quality.dynamics import DynamicDegree
from eval.quality.perceptual import Perceptual
from eval.quality.vbench import Aesthetic, Imaging, MotionSmoothness


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What networked metrics are made from. `num_frames`: of a film, evenly; 0 for all."""

    networks: Networks
    cache: FeatureCache
    num_frames: int = 16
    clips: ClipsConfig = field(default_factory=ClipsConfig)

    def file(self, role: str, user: str) -> Network:
        return self.networks.get(role, user)

    def clip(self, user: str, role: str = "clip") -> Clip:
        network = self.file(role, user)
        return self.networks.once(("model", role), lambda: Clip(network))

    def dino(self, user: str) -> Dino:
        network = self.file("dino", user)
        return self.networks.once(("model", "dino"), lambda: Dino(network))

    def towers(self, user: str, role: str, *needed: str) -> Towers:
        network = self.file(role, user)
        return self.networks.once(("model", role, needed), lambda: Towers(network, needed))


Make = Callable[[Setup, str], Metric]
NETWORKED: dict[str, Make] = {
    "lpips_vgg": lambda s, name: Perceptual(name, s.file("vgg16", name)),
    "lpips_alex": lambda s, name: Perceptual(name, s.file("alexnet", name)),
    "dists": lambda s, name: Perceptual(name, s.file("vgg16", name)),
    "clip_score": lambda s, name: ClipScore(s.clip(name), s.num_frames),
    "viclip": lambda s, name: VideoText(s.towers(name, "viclip", "video", "text")),
    "clap": lambda s, name: SoundText(Clap(s.file("clap", name))),
    "imagebind": lambda s, name: ImageBind(s.towers(name, "imagebind", "video", "sound")),
    "desync": lambda s, name: DeSync(s.towers(name, "synchformer", "sync")),
    # consistency compares neighbours, so all frames count whatever num_frames says (VBench)
    "subject_consistency": lambda s, name: Consistency(DinoFrames(s.dino(name), 0), s.cache, name),
    "background_consistency": lambda s, name: Consistency(ClipFrames(s.clip(name), 0), s.cache, name),
    "motion_smoothness": lambda s, name: MotionSmoothness(s.file("interpolation", name)),
    "dynamic_degree": lambda s, name: DynamicDegree(s.file("raft", name)),
    "aesthetic": lambda s, name: Aesthetic(s.clip(name, "clip_l14"), s.file("aesthetic", name), s.num_frames),
    "imaging": lambda s, name: Imaging(s.file("musiq", name), s.num_frames),
    "identity_face": lambda s, name: Identity("face", Face(s.towers(name, "face", "image")), s.num_frames),
    "identity_dino": lambda s, name: Identity("dino", Whole(s.dino(name)), s.num_frames),
    "identity_clip": lambda s, name: Identity("clip", Whole(s.clip(name)), s.num_frames),
    "edit_clip": lambda s, name: EditDirection("clip", s.clip(name), s.num_frames),
    "edit_viclip": lambda s, name: EditDirection(
        "viclip", s.towers(name, "viclip", "video", "text"), s.num_frames
    ),
    "structure": lambda s, name: EditStructure(s.dino(name), s.num_frames),
}
NETWORK_BACKBONES: dict[str, Callable[[Setup, str], Extractor]] = {
    "clip": lambda s, name: ClipFrames(s.clip(name), s.num_frames),
    "dino": lambda s, name: DinoFrames(s.dino(name), s.num_frames),
    "inception": lambda s, name: Inception(s.file("inception", name), s.num_frames),
    "i3d": lambda s, name: I3d(s.file("i3d", name), s.clips),
}

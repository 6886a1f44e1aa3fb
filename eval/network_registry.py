"""Metrics and backbones over networks that the user names by role, and their construction."""

from collections.abc import Callable
from dataclasses import dataclass, field

from eval.alignment.audio_video import Contrastive, DeSync, ImageBind
from eval.alignment.config import SyncConfig
from eval.alignment.edit import EditDirection, EditStructure
from eval.alignment.identity import FaceEmbedder, Identity, ImageEmbedder
from eval.alignment.text import CLAPScore, ClipScore, ViCLIPScore
from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Network, Networks
from eval.backbones.clip_clap import CLAP, CLIP
from eval.backbones.config import ClipsConfig
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.extractor import Extractor
from eval.backbones.frame_networks import I3D, ClipFrames, Dino, DinoFrames, Inception
from eval.core.pairs_config import PairsConfig
from eval.core.results import Metric
from eval.quality.consistency import Consistency
from eval.quality.dynamics import DynamicDegree
from eval.quality.perceptual import Perceptual
from eval.quality.vbench import Aesthetic, Imaging, MotionSmoothness


@dataclass(frozen=True, kw_only=True)
class NetworkFactory:
    """Constructs networks once and shares them. `num_frames`: evenly spaced frames of a video; 0 for all."""

    networks: Networks
    cache: FeatureCache
    num_frames: int = 16
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)

    def file(self, role: str, user: str) -> Network:
        return self.networks.get(role, user)

    def clip(self, user: str, role: str = "clip") -> CLIP:
        network = self.file(role, user)
        return self.networks.once(("model", role), lambda: CLIP(network))

    def dino(self, user: str) -> Dino:
        network = self.file("dino", user)
        return self.networks.once(("model", "dino"), lambda: Dino(network))

    def programs(self, user: str, role: str, *needed: str) -> ExportedPrograms:
        network = self.file(role, user)
        return self.networks.once(("model", role, needed), lambda: ExportedPrograms(network, needed))


NETWORK_METRICS: dict[str, Callable[[NetworkFactory, str], Metric]] = {
    "lpips_vgg": lambda s, name: Perceptual(name, s.file("vgg16", name), s.pairs),
    "lpips_alex": lambda s, name: Perceptual(name, s.file("alexnet", name), s.pairs),
    "dists": lambda s, name: Perceptual(name, s.file("vgg16", name), s.pairs),
    "clip_score": lambda s, name: ClipScore(s.clip(name), s.num_frames),
    "viclip": lambda s, name: ViCLIPScore(s.programs(name, "viclip", "video", "text")),
    "clap": lambda s, name: CLAPScore(CLAP(s.file("clap", name))),
    "imagebind": lambda s, name: ImageBind(s.programs(name, "imagebind", "video", "audio")),
    "contrastive": lambda s, name: Contrastive(s.programs(name, "contrastive", "video", "audio")),
    "desync": lambda s, name: DeSync(s.programs(name, "synchformer", "sync"), s.sync),
    # consistency compares neighboring frames, so all are used, regardless of num_frames (VBench)
    "subject_consistency": lambda s, name: Consistency(DinoFrames(s.dino(name), 0), s.cache, name),
    "background_consistency": lambda s, name: Consistency(ClipFrames(s.clip(name), 0), s.cache, name),
    "motion_smoothness": lambda s, name: MotionSmoothness(s.file("interpolation", name)),
    "dynamic_degree": lambda s, name: DynamicDegree(s.file("raft", name)),
    "aesthetic": lambda s, name: Aesthetic(s.clip(name, "clip_l14"), s.file("aesthetic", name), s.num_frames),
    "imaging": lambda s, name: Imaging(s.file("musiq", name), s.num_frames),
    "identity_face": lambda s, name: Identity(
        "face", FaceEmbedder(s.programs(name, "face", "image")), s.num_frames
    ),
    "identity_dino": lambda s, name: Identity("dino", ImageEmbedder(s.dino(name)), s.num_frames),
    "identity_clip": lambda s, name: Identity("clip", ImageEmbedder(s.clip(name)), s.num_frames),
    "edit_clip": lambda s, name: EditDirection("clip", s.clip(name), s.num_frames),
    "edit_viclip": lambda s, name: EditDirection(
        "viclip", s.programs(name, "viclip", "video", "text"), s.num_frames
    ),
    "structure": lambda s, name: EditStructure(s.dino(name), s.num_frames),
}
NETWORK_BACKBONES: dict[str, Callable[[NetworkFactory, str], Extractor]] = {
    "clip": lambda s, name: ClipFrames(s.clip(name), s.num_frames),
    "dino": lambda s, name: DinoFrames(s.dino(name), s.num_frames),
    "inception": lambda s, name: Inception(s.file("inception", name), s.num_frames),
    "i3d": lambda s, name: I3D(s.file("i3d", name), s.clips),
}

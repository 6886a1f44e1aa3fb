"""Every networked metric with tiny networks on disk whose answers are known."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.alignment.text import ViCLIPScore
from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Networks
from eval.backbones.config import WeightsConfig
from eval.core.audio import write_audio
from eval.core.frame_metric import measure_arrays
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import read_video, write_video
from eval.network_registry import NETWORK_BACKBONES, NETWORK_METRICS, NetworkFactory
from eval.quality.dynamics import BlockMatching, BlockMotion, dynamic_degree_scores, top_flow
from eval.quality.low_level import LowLevelQuality
from eval.quality.vbench import _to_uint8_range
from tests.fixtures import network_checkpoints
from tests.fixtures.videos import waves

RED, BLUE, GRAY = (220, 10, 10), (10, 10, 220), (128, 128, 128)


def plain(color, num=6, side=32):
    return np.full((num, side, side, 3), color, np.uint8)


def setup(tmp_path, num_frames=16, **paths):
    weights = {role: WeightsConfig(path=str(path)) for role, path in paths.items()}
    return NetworkFactory(
        networks=Networks(weights), cache=FeatureCache(tmp_path / "cache"), num_frames=num_frames
    )


def item(tmp_path, *, fps=8, **media):
    """A sample whose videos are given as frames, whose sounds as samples at 1000 Hz."""
    folder, texts = Path(tempfile.mkdtemp(dir=tmp_path)), {}
    for key, value in media.items():
        if isinstance(value, str):
            texts[key] = value
        elif value.ndim == 4:
            texts[key] = f"{key}.mp4"
            write_video(folder / texts[key], value, fps, crf=0)
        else:
            texts[key] = f"{key}.wav"
            write_audio(folder / texts[key], value[None].astype(np.float32), 1000)
    return Item(Sample(**{"id": "a", "prompt": "", **texts}), folder)


def values(name, factory, sample):
    metric = NETWORK_METRICS[name](factory, name)
    assert "weights_sha256" in str(metric.describe())
    found = metric.measure(sample).values
    assert set(found) <= set(metric.scores)
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return network_checkpoints.save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    return network_checkpoints.save_dino(tmp_path_factory.mktemp("dino"))


def test_clip_score_is_the_mean_over_frames_and_counts_cut_texts(tmp_path, clip):
    factory = setup(tmp_path, num_frames=3, clip=clip)
    video = waves(0)
    sample = item(tmp_path, video=video, prompt="a red circle")
    network = factory.clip("test")
    decoded = sample.video.frames_THWC[[0, 2, 5]]
    cosines = network.embed_frames(decoded) @ network.embed_text("a red circle")[0]
    found = values("clip_score", factory, sample)
    assert found["clip_score"] == pytest.approx(np.maximum(100 * cosines, 0).mean(), abs=1e-4)
    assert found["clip_score_truncated"] == 0
    opposite = values("clip_score", factory, item(tmp_path, video=video, prompt="blue"))["clip_score"]
    other = network.embed_frames(decoded) @ network.embed_text("blue")[0]
    assert opposite == pytest.approx(np.maximum(100 * other, 0).mean(), abs=1e-4)
    assert abs(cosines).min() > 0.01 or abs(cosines).max() < 0.99
    assert (
        values("clip_score", factory, item(tmp_path, video=video, prompt="red " * 30))["clip_score_truncated"]
        == 1
    )
    with pytest.raises(ValueError, match="has no prompt"):
        values("clip_score", factory, item(tmp_path, video=video))


def test_viclip_and_imagebind_in_a_space_of_colors(tmp_path):
    folder = network_checkpoints.save_joint_programs(tmp_path / "programs")
    factory = setup(tmp_path, viclip=folder, imagebind=folder)
    right = values("viclip", factory, item(tmp_path, video=plain(RED), prompt="the red circle"))
    wrong = values("viclip", factory, item(tmp_path, video=plain(RED), prompt="the blue circle"))
    assert right["viclip"] > 0.99 > 0.1 > wrong["viclip"]
    cut = values("viclip", factory, item(tmp_path, video=plain(RED), prompt="red a a a a a a a a blue"))
    assert cut["viclip_truncated"] == 1
    assert cut["viclip"] == pytest.approx(right["viclip"], abs=1e-5)
    programs = ViCLIPScore(factory.programs("test", "viclip", "video", "text")).programs
    assert programs._tokenize("red a a a a a a")[0][0].tolist() == [1, 5, 3, 3, 3, 18]  # the end is kept
    loud, soft = np.full(800, 0.9), np.full(800, 0.01)
    near, far = (
        values("imagebind", factory, item(tmp_path, video=plain(RED), audio=audio))["imagebind"]
        for audio in (loud, soft)
    )
    assert near > 0.99 > 0.1 > far
    with pytest.raises(ValueError, match="Colors: expected at least 4 frames, got 3"):
        values("viclip", factory, item(tmp_path, video=plain(RED, 3), prompt="red"))


def test_contracts_that_do_not_say_what_they_must(tmp_path):
    folder = network_checkpoints.save_joint_programs(tmp_path / "programs")
    with pytest.raises(ValueError, match=r"contract\.json has no program 'image'"):
        NETWORK_METRICS["identity_face"](setup(tmp_path, face=folder), "identity_face")
    video = {"program": "video.pt", "num_frames": 4, **network_checkpoints.PIXELS}
    for contract, message in (
        (
            {"model": "M", "video": {**video, "frame": 4}},
            "video.frame is unknown; expected one of fps, mean",
        ),
        ({"model": "M", "video": {"program": "video.pt"}}, "missing 4 required"),
        ({"model": "M", "smell": video}, "smell"),
        ({"video": video}, "model"),
        ({"model": "M", "video": {**video, "program": "v.pt"}}, "no such file: v.pt"),
    ):
        network_checkpoints.save_contract(folder, contract)
        with pytest.raises(ValueError, match=message):
            NETWORK_METRICS["viclip"](setup(tmp_path, viclip=folder), "viclip")


def test_desync_reads_the_offset_of_both_windows(tmp_path):
    factory = setup(tmp_path, synchformer=network_checkpoints.save_sync(tmp_path / "sync"))
    for late_s, expected, near in (((0, 0), 0, 1), ((0.4, 0.4), 0.4, 0), ((-0.2, 0.4), 0.3, 0.5)):
        video, audio = plain((0, 0, 0), 20, 16), np.zeros(2000)
        for flash, late in zip((5, 14), late_s, strict=True):
            video[flash] = 255
            audio[round(1000 * (flash / 10 + late))] = 0.9
        found = values("desync", factory, item(tmp_path, video=video, audio=audio, fps=10))
        assert found["desync"] == pytest.approx(expected, abs=1e-6)
        assert found["desync_near"] == near
        assert found["desync_expected"] == pytest.approx(expected, abs=0.01)
    with pytest.raises(ValueError, match=r"needs 1 s of video and audio, got 0\.60"):
        values("desync", factory, item(tmp_path, video=video[:6], audio=audio, fps=10))
    # a window's length suffices, for both windows are then the same; a frame less does not
    video, audio = plain((0, 0, 0), 10, 16), np.zeros(1000)
    video[5], audio[700] = 255, 0.9
    assert values("desync", factory, item(tmp_path, video=video, audio=audio, fps=10))["desync"] == (
        pytest.approx(0.2)
    )
    with pytest.raises(ValueError, match=r"needs 1 s of video and audio, got 0\.90"):
        values("desync", factory, item(tmp_path, video=video[:9], audio=audio, fps=10))


def test_identity_finds_the_face_and_its_best_and_worst_frame(tmp_path):
    def face(color, at, num=1):
        video = plain((0, 0, 0), num)
        video[:, at : at + 12, at : at + 12] = color
        return video

    yellow, red, dark = (250, 250, 20), (250, 60, 20), (0, 0, 0)
    video = np.concatenate([face(yellow, 4), face((250, 160, 20), 12), plain(dark, 1), face(yellow, 8)])
    factory = setup(tmp_path, face=network_checkpoints.save_face(tmp_path / "face"))
    found = values("identity_face", factory, item(tmp_path, video=video, reference=face(yellow, 16)))
    assert found["identity_face_found"] == 0.75
    assert found["identity_face_best"] > 0.999
    assert found["identity_face_worst"] < found["identity_face_mean"] < found["identity_face_best"]
    cosine = np.dot([250, 160, 20], yellow) / np.linalg.norm([250, 160, 20]) / np.linalg.norm(yellow)
    assert found["identity_face_worst"] == pytest.approx(cosine, abs=0.01)
    assert found["identity_face_consistency"] == pytest.approx((cosine + (cosine + 1) / 2 + 0) / 2, abs=0.1)
    other = values("identity_face", factory, item(tmp_path, video=video, reference=face((250, 120, 250), 9)))
    assert other["identity_face_mean"] < found["identity_face_mean"]
    with pytest.raises(ValueError, match="no face found in the reference"):
        values("identity_face", factory, item(tmp_path, video=video, reference=plain(dark, 1)))
    absent = values("identity_face", factory, item(tmp_path, video=plain(dark), reference=face(red, 9)))
    assert absent == {"identity_face_found": 0.0}


def test_identity_of_full_images_and_vbenchs_consistency(tmp_path, clip, dino):
    factory = setup(tmp_path, num_frames=2, clip=clip, dino=dino)
    video = np.concatenate([waves(0, 1).repeat(2, 0), waves(3, 3)])
    sample = item(tmp_path, video=video, reference=video[:1])
    for kind in ("clip", "dino"):
        found = values(f"identity_{kind}", factory, sample)
        assert found[f"identity_{kind}_best"] == pytest.approx(1, abs=1e-5)
        assert found[f"identity_{kind}_worst"] < 1 - 1e-6
    still = item(tmp_path, video=video[:1].repeat(4, 0))
    for name in ("subject_consistency", "background_consistency"):
        assert values(name, factory, still)[name] == pytest.approx(1, abs=1e-5)
        assert values(name, factory, sample)[name] < 1 - 1e-6
        assert NETWORK_METRICS[name](factory, name).describe()["frames"] == "all"


def test_edits_go_where_the_captions_go(tmp_path, clip, dino):
    programs = network_checkpoints.save_joint_programs(tmp_path / "programs")
    factory = setup(tmp_path, clip=clip, dino=dino, viclip=programs)
    captions = {"source_caption": "a red circle", "output_caption": "a blue circle"}
    right = item(tmp_path, source=plain(RED), video=plain(BLUE), **captions)
    found = values("edit_viclip", factory, right)
    assert found["viclip_dir"] > 0.99
    assert found["viclip_out"] > 0.99
    wrong = item(tmp_path, source=plain(BLUE), video=plain(RED), **captions)
    assert values("edit_viclip", factory, wrong)["viclip_dir"] < -0.99
    same = item(tmp_path, source=plain(RED), video=plain(RED), **captions)
    assert values("edit_viclip", factory, same)["viclip_dir"] == pytest.approx(0, abs=1e-6)
    there, back = (values("edit_clip", factory, each) for each in (right, wrong))
    assert there["clip_dir"] == pytest.approx(-back["clip_dir"], abs=1e-5)
    assert there["clip_dir"] != 0
    assert values("structure", factory, same)["structure_dino_tokens"] == 0
    moved = item(tmp_path, source=waves(0), video=waves(4), **captions)
    assert values("structure", factory, moved)["structure_dino_tokens"] > 0
    with pytest.raises(ValueError, match="sample has no `output_caption`"):
        values("edit_clip", factory, item(tmp_path, source=plain(RED), video=plain(RED), source_caption="a"))
    with pytest.raises(ValueError, match="differ in frames: 4, 6"):
        values("structure", factory, item(tmp_path, source=plain(RED, 4), video=plain(RED), **captions))


def test_imaging_aesthetic_and_smoothness(tmp_path, clip):
    torch.manual_seed(0)
    head = {"weight": torch.randn(1, 16), "bias": torch.tensor([5.0])}
    torch.save(head, tmp_path / "head.pth")
    factory = setup(
        tmp_path,
        clip_l14=clip,
        aesthetic=tmp_path / "head.pth",
        musiq=save_dynamic(network_checkpoints.Brightness(), tmp_path / "musiq.pt2", 1),
        interpolation=network_checkpoints.save_script(network_checkpoints.Middle(), tmp_path / "middle.pt"),
    )
    video = waves(0)
    sample = item(tmp_path, video=video)
    decoded = sample.video.frames_THWC
    assert values("imaging", factory, sample)["imaging"] == pytest.approx(decoded.mean() / 255, abs=1e-4)
    smooth = values("motion_smoothness", factory, sample)["motion_smoothness"]
    blended = measure_arrays(LowLevelQuality(), decoded, fps=8).values["smoothness_blend"]
    assert smooth == pytest.approx(blended, abs=0.51 / 255)
    rows = factory.clip("test", "clip_l14").embed_frames(decoded)
    expected = (rows @ head["weight"][0].numpy() + 5).mean() / 10
    assert values("aesthetic", factory, sample)["aesthetic"] == pytest.approx(expected, abs=1e-5)
    from_beyond = _to_uint8_range(torch.tensor([-0.5, 0.2, 0.5, 1.5]).expand(1, 3, 2, 4))
    assert from_beyond[0, :, 0].tolist() == [0, 51, 128, 255]
    half = network_checkpoints.save_script(torch.nn.AvgPool2d(2), tmp_path / "half.pt")
    with pytest.raises(ValueError, match="interpolation: failed on frames of"):  # takes one frame only
        values("motion_smoothness", setup(tmp_path, interpolation=half), sample)
    smaller = network_checkpoints.save_script(Smaller(), tmp_path / "smaller.pt")
    with pytest.raises(ValueError, match=r"motion_smoothness: the network returned shape \[\d+, \d+, 3\]"):
        values("motion_smoothness", setup(tmp_path, interpolation=smaller), sample)
    torch.save({"weight": torch.randn(1, 768), "bias": torch.zeros(1)}, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"768 of the aesthetic head vs 16"):
        values("aesthetic", setup(tmp_path, clip_l14=clip, aesthetic=tmp_path / "head.pth"), sample)


class Smaller(torch.nn.Module):
    """Return half of a frame between two others."""

    def forward(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        return (before + after)[:, :, ::2, ::2] / 2


def save_dynamic(module, path, inputs):
    """Save as an exported program for any size."""
    side = [torch.export.Dim.DYNAMIC] * 2
    shapes = tuple({2: side[0], 3: side[1]} for _ in range(inputs))
    example = tuple(torch.rand(1, 3, 40, 48) for _ in range(inputs))
    torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), path)
    return path


def test_dynamic_degree_by_raft_and_by_blocks(tmp_path):
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    factory = setup(tmp_path, raft=tmp_path / "raft.pth")
    sample = item(tmp_path, video=waves(0, 3, 36), fps=8)
    found = values("dynamic_degree", factory, sample)
    assert np.isfinite(found["flow"])
    metric = NETWORK_METRICS["dynamic_degree"](factory, "dynamic_degree")
    assert metric.flow(*np.zeros((2, 30, 50, 3), np.uint8)).shape == (30, 50, 2)
    torch.save({"a": torch.zeros(1)}, tmp_path / "raft.pth")
    with pytest.raises(ValueError, match="neither torchvision's raft_large nor raft_small"):
        values("dynamic_degree", setup(tmp_path, raft=tmp_path / "raft.pth"), sample)
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 256, (30, 40, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    video = np.stack([scene[8:72, 4 * t : 4 * t + 96] for t in range(9)])
    matching = BlockMatching(64, 96)
    shifts = np.stack([matching.push(frame) for frame in video][1:])
    assert shifts.shape == (8, 24, 2)
    assert np.median(shifts, (0, 1)).tolist() == [-4, 0]
    moving, still = (
        BlockMotion().measure(item(tmp_path, video=each, fps=8)).values
        for each in (video, video[:1].repeat(9, 0))
    )
    assert moving["dynamic_degree_blocks"] == 1
    assert moving["flow_blocks"] >= 4 / 64
    assert still == {"dynamic_degree_blocks": 0, "flow_blocks": 0}


def test_the_rule_of_the_dynamic_degree():
    flow = np.zeros((10, 10, 2))
    flow[0, :5] = (3, 4)
    assert top_flow(flow) == 5
    flow[0, :4] = 0
    assert top_flow(flow) == 1
    for lengths, moves in (([6.1] * 4 + [0] * 12, 1), ([6.1] * 3 + [6.0] * 13, 0)):  # in round(17 / 4) pairs
        assert dynamic_degree_scores(lengths, 256, "d", "f").values["d"] == moves
    assert dynamic_degree_scores([0.0], 256, "d", "f").values["d"] == 0  # two frames do not move by default


def test_fvd_uses_the_clips_of_its_description(tmp_path):
    path = network_checkpoints.save_script(network_checkpoints.I3dLike(), tmp_path / "i3d.pt")
    video = np.arange(0, 240, 8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 24, 32, 3), np.uint8)
    write_video(tmp_path / "a.mp4", video, 8, crf=0)
    decoded = read_video(tmp_path / "a.mp4").frames_THWC[..., 0].mean((1, 2)) / 127.5 - 1
    factory = setup(tmp_path, i3d=path)
    extractor = NETWORK_BACKBONES["i3d"](factory, "i3d")
    row = extractor.extract(tmp_path / "a.mp4")["features"]
    assert row.shape == (1, 400)
    np.testing.assert_allclose(row[0, :16], decoded[7:23], atol=0.01)
    assert extractor.distance == "fvd"
    assert extractor.describe()["preprocessing"]["num_frames"] == 16
    clips = type(factory.clips)(num_frames=10, fps=4, num_clips=2)
    two = NETWORK_BACKBONES["i3d"](
        NetworkFactory(networks=factory.networks, cache=factory.cache, clips=clips), "i3d"
    ).extract(tmp_path / "a.mp4")["features"]
    assert two.shape == (2, 400)
    np.testing.assert_allclose(two[1, :10], decoded[10:30:2], atol=0.01)
    write_video(tmp_path / "b.mp4", video[:15], 8)
    with pytest.raises(ValueError, match="expected at least 16 frames, got 15"):
        extractor.extract(tmp_path / "b.mp4")
    with pytest.raises(ValueError, match="num_frames must be at least 10, got 6"):
        type(factory.clips)(num_frames=6)
    other = network_checkpoints.save_script(network_checkpoints.I3dLike(dim=60), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="returned 60 features, expected 400 of i3d"):
        NETWORK_BACKBONES["i3d"](setup(tmp_path, i3d=other), "i3d").extract(tmp_path / "a.mp4")


def test_inception_is_fed_as_clean_fid_feeds_it(tmp_path):
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    torch.manual_seed(0)
    path = network_checkpoints.save_script(
        network_checkpoints.InceptionLike(), tmp_path / "inception-2015-12-05.pt"
    )
    write_video(tmp_path / "a.mp4", waves(0, 2, 40), 8, crf=0)
    factory = setup(tmp_path, inception=path)
    extractor = NETWORK_BACKBONES["inception"](factory, "inception")
    ours = extractor.extract(tmp_path / "a.mp4")["features"]
    resize = build_resizer("clean")
    images = np.stack([resize(f) for f in read_video(tmp_path / "a.mp4").frames_THWC]).clip(0, 255)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        reference = InceptionV3W(str(tmp_path), download=False)
    with torch.inference_mode():
        theirs = reference(torch.tensor(images).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert extractor.distance == "fid"
    other = network_checkpoints.save_script(network_checkpoints.Middle(), tmp_path / "middle.pt")
    with pytest.raises(ValueError, match="is not clean-fid's Inception"):
        NETWORK_BACKBONES["inception"](setup(tmp_path, inception=other), "inception").extract(
            tmp_path / "a.mp4"
        )

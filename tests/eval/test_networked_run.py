"""A whole run with networks by path: in one process and in two, with the network of the machine blocked."""

import json
import socket

import numpy as np
import pytest

from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Networks
from eval.backbones.config import ClipsConfig, WeightsConfig
from eval.config import EvalConfig
from eval.core.audio import write_audio
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.network_registry import NETWORK_BACKBONES, NetworkFactory
from eval.run import main
from eval.scoring import score
from src.core.errors import UserError
from tests.fixtures import network_checkpoints
from tests.fixtures.videos import waves

METRICS = ("clip_score", "clap", "viclip", "subject_consistency", "imaging", "identity_clip", "consistency")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    for kind, seeds in (("generated", range(5)), ("real", range(10, 15))):
        samples = []
        for seed in seeds:
            name = f"{kind}{seed}"
            write_video(root / f"{name}.mp4", waves(seed, num=12), 8)
            rng = np.random.default_rng(seed)
            write_audio(root / f"{name}.wav", rng.normal(0, 0.1, (1, 9000)).astype(np.float32), 8000)
            media = {"video": f"{name}.mp4", "audio": f"{name}.wav", "reference": "generated0.mp4"}
            samples.append(Sample(id=name, prompt="a red circle moves left", **media))
        write_manifest(root / f"{kind}.jsonl", samples)
    network_checkpoints.save_clip(root / "clip")
    network_checkpoints.save_clap(root / "clap")
    network_checkpoints.save_dino(root / "dino")
    network_checkpoints.save_joint_programs(root / "viclip")
    network_checkpoints.save_script(network_checkpoints.Brightness(), root / "musiq.pt")
    network_checkpoints.save_script(network_checkpoints.I3dLike(), root / "i3d.pt")
    network_checkpoints.save_script(network_checkpoints.InceptionLike(), root / "inception.pt")
    return root


def config(folder, out, **settings):
    roles = ("clip", "clap", "dino", "viclip", "musiq.pt", "i3d.pt", "inception.pt")
    return EvalConfig(
        manifest=str(folder / "generated.jsonl"),
        reference=str(folder / "real.jsonl"),
        out=str(folder / out),
        metrics=METRICS,
        backbones=("clip", "i3d", "inception"),
        weights={role.split(".")[0]: WeightsConfig(path=str(folder / role)) for role in roles},
        num_frames=4,
        clips=ClipsConfig(num_frames=10, num_clips=2),
        sheet_rows=0,
        html_videos=0,
        **settings,
    )


@pytest.fixture(scope="module")
def results(folder):
    def refuse(*_):
        raise AssertionError("accessed the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        score(config(folder, "one"))
    return folder / "one"


def records(out):
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def test_every_number_names_its_weights(results):
    found = {record["score"]: record for record in records(results)}
    for name in ("clip_score", "clap", "viclip", "subject_consistency", "imaging", "identity_clip_best"):
        assert "weights_sha256" in json.dumps(found[name]), name
        assert found[name]["num_scored"] == 5
    assert {"consistency_clip", "consistency_inception", "kid_clip"} <= set(found)
    frechet = {name for name in found if name.split("_")[0] in ("fd", "fid", "fvd") and "inf" not in name}
    assert frechet == {"fd_clip", "fid_inception", "fvd_i3d"}
    clips = found["fvd_i3d"]["measured"]["preprocessing"]
    assert (clips["num_frames"], clips["num_clips"], clips["size"]) == (10, 2, 224)
    text = (results / "table.md").read_text()
    assert "fid_inception \u2193" in text
    assert "clip_score \u2191" in text


def test_statistics_of_the_reference_stand_for_it(folder, results, tmp_path):
    one = config(folder, "one")
    setup = NetworkFactory(
        networks=Networks(one.weights), cache=FeatureCache(tmp_path / "cache"), num_frames=4
    )
    extractor = NETWORK_BACKBONES["inception"](setup, "inception")
    real = np.concatenate([extractor.extract(folder / f"real{s}.mp4")["features"] for s in range(10, 15)])
    np.savez(tmp_path / "real.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    main(
        [
            f"manifest={folder}/generated.jsonl", f"out={tmp_path}/out", f"cache={results}/features",
            "sheet_rows=0", "html_videos=0", "metrics=[]", "backbones=[inception]", "num_frames=4",
            f"weights.inception.path={folder}/inception.pt", f"statistics.inception.path={tmp_path}/real.npz",
        ]
    )  # fmt: skip
    (found,) = records(tmp_path / "out")
    (expected,) = (each for each in records(results) if each["score"] == "fid_inception")
    assert found["score"] == "fid_inception"
    assert found["mean"] == pytest.approx(expected["mean"], rel=1e-6)
    assert any("against real.npz (sha256 " in note for note in found["notes"])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["statistics"]["inception"]["file"] == "real.npz"


@pytest.mark.slow
def test_processes_change_nothing(folder, results):
    score(config(folder, "two", num_workers=2))
    for name in ("results.jsonl", "table.csv", "table.md"):
        assert (folder / "two" / name).read_bytes() == (results / name).read_bytes()


def test_what_is_not_given_is_reported_in_one_line(folder, tmp_path):
    common = [f"manifest={folder}/generated.jsonl", f"out={tmp_path}", "sheet_rows=0", "html_videos=0"]
    for argv, message in (
        (["metrics=[clip_score]"], r"^clip_score: needs weights.clip.path=\.\.\., a folder of"),
        (["backbones=[i3d]"], r"^i3d: needs weights.i3d.path=\.\.\., a TorchScript I3D"),
        (["metrics=[vbench]"], r"^subject_consistency: needs weights.dino.path="),
        (["metrics=[clip_score]", f"weights.clip.path={tmp_path}/none"], "no such folder"),
        (["metrics=[clip_score]", f"weights.clap.path={folder}/clap"], "needs weights.clip.path"),
        (["metrics=[clip_score]", f"weights.clop.path={folder}/clip"], "'clop' is not a role"),
        (["metrics=[clip_score]", f"weights.clip.path={folder}/dino"], "has model type vit"),
        (
            ["metrics=[imaging]", f"weights.musiq.path={folder}/musiq.pt", "weights.musiq.sha256=ff"],
            "expected ff",
        ),
        (["backbones=[i3d]", f"local.i3d.path={folder}/i3d.pt"], "choose another name"),
        (["statistics.i3d.path=a.npz"], "statistics: 'i3d' is not a backbone of this run"),
        (
            ["backbones=[i3d]", "statistics.i3d.path=a.npz", "reference=b.jsonl"],
            "statistics: `reference` gives the same distances",
        ),
    ):
        with pytest.raises(UserError, match=message) as caught:
            main([*common, *argv])
        assert "\n" not in str(caught.value)

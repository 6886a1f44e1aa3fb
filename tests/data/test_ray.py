"""Preparation, curation and latent encoding on a Ray cluster of two raylets, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.streaming.schema.dataset_index import read_info
from tests.fixtures.toy_runs import write_toy_tae
from tests.fixtures.video_files import write_video

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
STARTER = """
import json, sys, time
from ray.cluster_utils import Cluster
memory = {"num_cpus": 1, "object_store_memory": 80 << 20}
cluster = Cluster(initialize_head=True, head_node_args=memory | {"include_dashboard": False})
other = cluster.add_node(**memory)
cluster.wait_for_nodes()
raylets = [node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, other)]
stores = [node.plasma_store_socket_name for node in (cluster.head_node, other)]
print(json.dumps({"address": cluster.address, "raylets": raylets, "stores": stores}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[dict[str, Any]]:
    """Two raylets on this machine; a process of its own, since Ray warns and forks."""
    pytest.importorskip("ray")
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        env=os.environ | {"RAY_worker_niceness": "0"},  # Ray's 15 starves them where others compute, too
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("{"))
    yield json.loads(line)
    process.communicate("", timeout=60)


def command(module: str, *arguments: str, address: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | ({"RAY_ADDRESS": address} if address else {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def hashes(root: Path) -> dict[str, bytes]:
    """Every chunk and index, and the list of rejected inputs."""
    names = [
        *root.glob("*/*.bin"),
        *root.glob("*/index.json"),
        root / "dataset.json",
        root / "rejected.jsonl",
    ]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in names}


def kill_in_the_middle(
    raylet: int, parts: Path, count: int, process: subprocess.Popen[str], pattern: str = "0*"
) -> int:
    """Kill a raylet once some parts are done; return how many there were."""
    deadline = time.monotonic() + 240
    while len(list(parts.glob(pattern))) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done = len(list(parts.glob(pattern)))
    os.kill(raylet, signal.SIGKILL)
    return done


def test_a_killed_raylet_changes_no_byte(tmp_path: Path, cluster: dict[str, Any]) -> None:
    assert len(set(cluster["stores"])) == 2
    settings = ["part_size=8", "world.v.num_videos=240", "world.v.num_val_videos=8", "world.v.num_frames=16"]
    settings += ["world.v.height=32", "world.v.width=32", "num_workers=0"]
    finish(command("data.prepare", f"out={tmp_path / 'local'}", *settings))
    process = command(
        "data.prepare", f"out={tmp_path / 'ray'}", *settings, "engine=ray", address=cluster["address"]
    )
    done = kill_in_the_middle(cluster["raylets"][1], tmp_path / "ray" / "train" / ".parts", 3, process)
    finish(process)
    assert 3 <= done < 30
    for split in ("train", "val"):
        assert hashes(tmp_path / "ray" / split) == hashes(tmp_path / "local" / split)
    encode(tmp_path, cluster)


def test_curation_gives_the_same_rows_when_a_raylet_is_killed(
    tmp_path: Path, cluster: dict[str, Any]
) -> None:
    (tmp_path / "pool").mkdir()
    for i in range(6):
        write_video(tmp_path / "pool" / f"{i}.mp4", 40, 144, 192, fps=16)
    settings = ["configs/curation/small.yaml", f"path={tmp_path / 'pool'}", "unit_size=1", "num_workers=0"]
    settings.append("steps.slideshow.ranges.slideshow_score.max=1")  # these patterns move as one
    finish(command("data.curate", *settings, f"out={tmp_path / 'local'}"))
    on_ray = [f"out={tmp_path / 'ray'}", "engine=ray"]
    process = command("data.curate", *settings, *on_ray, address=cluster["address"])
    scores = tmp_path / "ray" / "scores"
    done = kill_in_the_middle(cluster["raylets"][1], scores, 1, process, "[!.]*.parquet")
    finish(process)
    assert 1 <= done < 6
    for pattern in ("scores/*.parquet", "kept.jsonl", "funnel.json"):
        local, ray = (
            {p.name: p.read_bytes() for p in (tmp_path / name).glob(pattern)} for name in ("local", "ray")
        )
        assert local
        assert ray == local


def encode(folder: Path, cluster: dict[str, Any]) -> None:
    """Encode the prepared set here and on what is left of the cluster, with an untrained autoencoder."""
    write_toy_tae(folder / "tae")
    settings = [
        "configs/tae/tiny_latents.yaml",
        f"tae={folder / 'tae'}",
        f"data={folder / 'local'}",
        "batch_size=8",
    ]
    finish(command("src.train", f"run_dir={folder / 'latents'}", *settings))
    process = command(
        "src.train", f"run_dir={folder / 'on_ray'}", *settings, "engine=ray", address=cluster["address"]
    )
    finish(process)
    for split in ("train", "val"):
        assert hashes(folder / "on_ray" / split) == hashes(folder / "latents" / split)
        assert read_info(folder / "on_ray" / split).kind == "latents"

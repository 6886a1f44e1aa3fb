"""Plans of every stage of the paper on every size of cluster, and what refuses a plan."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from src import plan
from src.core import config
from src.core.errors import UserError
from src.planning.hardware import GPUS, Cluster
from src.planning.memory import local_params, peak_memory
from src.planning.mesh import Mesh, RankLoad, meshes
from src.planning.search import Plan, best_plan, fewest_checkpointed, fits_somewhere, plan_mesh
from src.planning.step_time import step_time
from src.planning.workload import Workload, workload
from src.registry import find_experiment
from src.streaming.rank_slices import check_slices, slice_of
from src.streaming.schema.bucket import Bucket, DataError

PAPER = Path(__file__).resolve().parents[3] / "configs" / "paper"
STAGES = ("t2i_256", "joint_256", "joint_256_large", "joint_768", "sft")
AUDIO = ("audio", "audio_300m", "audio_3b", "audio_9b", "audio_finetune")
AUTOENCODERS = ("tae", "codec")
WORLDS = (8, 64, 256, 512, 1536, 6144)
H100 = Cluster("h100", GPUS["h100"], 8)


@cache
def work_of(name: str, *more: str) -> Workload:
    files = [PAPER / f"{part}.yaml" for part in (name, *more)]
    experiment = find_experiment(config.read_kind(files, ()))
    return workload(config.build(experiment.config, config.read(files, (), experiment.config)))


@pytest.mark.parametrize("name", STAGES + AUDIO)
def test_every_stage_of_the_paper_is_planned_or_refused_with_a_change_that_fits(name: str) -> None:
    work, planned = work_of(name), 0
    for world in WORLDS:
        cluster = replace(H100, num_gpus=world)
        best, refusal = None, ""
        try:
            best = best_plan(work, cluster)
        except UserError as error:
            refusal = str(error)
        if best is None:
            change = re.search(r"fits: (gpus|gpu|transformer\.num_checkpointed_blocks)=(\w+)$", refusal)
            assert change, refusal
            assert "\n" not in refusal
            if change[1] == "gpus":
                assert fits_somewhere(work, replace(cluster, num_gpus=int(change[2])))
            continue
        planned += 1
        assert best.mesh.num_gpus == world
        assert best.memory.total <= cluster.usable_bytes
        for batch in work.batches:  # every process has a sample of every batch
            assert len(slice_of(batch.num_samples, best.mesh.num_data_ranks, 0)) >= 1
    assert planned >= 3


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_batch_of_an_autoencoder_is_shared_or_refused_with_one_that_can_be(
    name: str, world: int
) -> None:
    experiment = find_experiment(config.read_kind([PAPER / f"{name}.yaml"], ()))
    stage = config.build(
        experiment.config, config.read([PAPER / f"{name}.yaml"], ("dataset=x",), experiment.config)
    )
    for key, stream in stage.data.streams.items():
        if stream.batch_size >= world:
            check_slices(f"data.streams.{key}", stream.batch_size, world)
            continue
        with pytest.raises(DataError, match=rf"data\.streams\.{key}\.batch_size={world}"):
            check_slices(f"data.streams.{key}", stream.batch_size, world)


def test_the_papers_own_meshes_are_feasible() -> None:
    for name, gpus, mesh in (
        ("t2i_256", 1536, Mesh(1, 1536, 1, 1)),
        ("joint_256", 3072, Mesh(1, 768, 1, 4)),
        ("joint_256_large", 6144, Mesh(1, 1536, 1, 4)),
        ("joint_768", 6144, Mesh(1, 768, 2, 4)),
    ):
        assert isinstance(plan_mesh(work_of(name), mesh, replace(H100, num_gpus=gpus)), Plan), name


def test_meshes_fill_the_cluster_and_cut_what_can_be_cut() -> None:
    config_30b = work_of("joint_768").transformer
    found = list(meshes(64, 8, config_30b))
    assert len(set(found)) == len(found)
    assert all(mesh.num_gpus == 64 for mesh in found)
    assert {mesh.tensor_parallel for mesh in found} == {1, 2, 4, 8}
    assert {mesh.tensor_parallel for mesh in meshes(64, 8, replace(config_30b, num_heads=2))} == {1, 2}
    assert {mesh.tensor_parallel for mesh in meshes(8, 4, config_30b)} == {1, 2, 4}


def test_memory_by_part_is_what_the_mesh_leaves() -> None:
    work, load = work_of("joint_768"), RankLoad(1, 1, 1)
    tokens = Bucket.parse("256x768x768").num_tokens((8, 16, 16))
    uncut = local_params(work, Mesh(1, 1, 1, 1))
    assert uncut == work.num_params == pytest.approx(29.35e9, rel=0.02)
    assert local_params(work, Mesh(4, 32, 1, 1)) == uncut / 32
    assert local_params(work, Mesh(1, 8, 4, 1)) == uncut / 32  # FSDP2 shards over the context group too
    for one, two in (
        ((1, 64, 1, 1), (1, 64, 2, 1)),
        ((1, 64, 1, 1), (1, 64, 1, 2)),
        ((1, 64, 2, 1), (1, 64, 2, 4)),
    ):
        a, b = (peak_memory(work, Mesh(*mesh), load, tokens) for mesh in (one, two))
        assert 0.9 < b.activations / a.activations * Mesh(*two).num_peers / Mesh(*one).num_peers < 2.5, (
            one,
            two,
        )
    accumulated = peak_memory(work, Mesh(1, 64, 1, 1), RankLoad(2, 1, 2), tokens)
    assert accumulated.gradients == 4.0 * uncut / 64


def test_time_follows_from_the_hardware() -> None:
    work, tokens = work_of("joint_768"), 73_728
    mesh, cluster = Mesh(1, 8, 2, 4), replace(H100, num_gpus=64)
    time = step_time(work, mesh, cluster, RankLoad(1, 1, 1), tokens)
    half = replace(cluster, gpu=replace(cluster.gpu, matmul_efficiency=0.34))
    assert step_time(work, mesh, half, RankLoad(1, 1, 1), tokens).products == pytest.approx(2 * time.products)
    slow = replace(cluster, gpu=replace(cluster.gpu, link_gb_per_s=225.0))
    assert step_time(work, mesh, slow, RankLoad(1, 1, 1), tokens).tensor_parallel == pytest.approx(
        2 * time.tensor_parallel
    )
    assert step_time(work, Mesh(1, 64, 1, 1), cluster, RankLoad(1, 1, 1), tokens).tensor_parallel == 0
    # 3.3e16 FLOPs a video without recomputation (the paper's own number), 4/3 of its blocks with it
    exact = (time.products * 0.68 + time.attention * 0.42) * 989e12 * 8
    assert exact == pytest.approx(4.4e16, rel=0.1)


def test_the_command_prints_meshes_parts_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    files = [str(PAPER / "t2i_256.yaml"), str(PAPER / "video_1b.yaml")]
    plan.main([*files, "gpus=8", "gpu=a100_80gb", "data.streams.images.batch_size=512"])
    out = capsys.readouterr().out
    for words in (
        "paper/t2i_256 on 8 a100_80gb",
        "MFU",
        "activations",
        "tensor parallel",
        "best: ",
        "times as long",
    ):
        assert words in out
    with pytest.raises(
        UserError, match=r"on 1 t4: no mesh fits 13 GB; 1 x 1 x 1 x 1 needs least, .* fits: gpus="
    ):
        plan.main([*files, "gpus=1", "gpu=t4"])
    with pytest.raises(UserError, match=r"every mesh leaves processes without a sample .* fits: gpus="):
        plan.main([*files, "gpus=512", "data.streams.images.batch_size=2", "transformer.num_heads=3"])
    with pytest.raises(UserError, match=r"gpu must be one of .*, got 'h1000'|gpu.*h1000"):
        plan.main([*files, "gpu=h1000"])
    with pytest.raises(UserError, match=r"plans are of kinds .*, got average"):
        plan.main([str(PAPER / "average.yaml")])


def test_fewer_checkpointed_blocks_are_named_where_they_fit() -> None:
    work = work_of("joint_768")
    best = best_plan(work, replace(H100, num_gpus=6144))
    fewer = fewest_checkpointed(work, best)
    assert fewer is not None
    assert fewer.num_checkpointed < best.num_checkpointed
    assert best.memory.total < fewer.memory.total <= best.cluster.usable_bytes
    assert fewer.time.total < best.time.total


def test_a_group_between_nodes_has_a_network_card_for_each_of_its_gpus_there() -> None:
    cluster = replace(H100, num_gpus=64)
    assert cluster.link_bytes_per_s(8, 1) == 0.8 * 450e9
    assert cluster.link_bytes_per_s(64, 1) == 0.8 * 8 * 50e9
    assert cluster.link_bytes_per_s(16, 4) == 0.8 * 2 * 50e9
    assert cluster.link_bytes_per_s(8, 8) == 0.8 * 50e9

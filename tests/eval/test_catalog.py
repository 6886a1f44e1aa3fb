"""The names in help texts are those that can be constructed, and help needs no torch."""

import json
import subprocess
import sys

import pytest

from eval import catalog
from eval.core.axes import AXES, Axis
from eval.network_registry import NETWORK_BACKBONES, NETWORK_METRICS
from eval.registry import BACKBONES, METRICS, SET_METRICS, MetricSettings


def test_catalog_lists_what_the_registries_construct():
    assert list(catalog.METRIC_HELP) == list(METRICS)
    assert list(catalog.NETWORK_METRIC_HELP) == list(NETWORK_METRICS)
    assert list(catalog.SET_METRIC_HELP) == list(SET_METRICS)
    assert list(BACKBONES) == list(catalog.PACKAGE_BACKBONE_NAMES)
    assert list(NETWORK_BACKBONES) == list(catalog.NETWORK_BACKBONE_NAMES)
    for suite in catalog.SUITES:
        assert set(catalog.expand_metrics([suite])) <= set(catalog.ALL_METRIC_HELP)


def test_every_metric_names_its_axis():
    assert set(catalog.METRIC_AXES) == {*catalog.ALL_METRIC_HELP, "distribution"}
    for name in catalog.ALL_METRIC_HELP:
        axis = catalog.axis_of(name)
        assert axis.sub_axis in AXES[axis.name]
    with pytest.raises(ValueError, match="'sharpness' names no axis"):
        catalog.axis_of("sharpness")
    with pytest.raises(ValueError, match="got 'quality', 'identity'"):
        Axis("quality", "identity")


def test_values_and_backbones_have_the_axis_of_their_metric_or_their_own():
    assert catalog.axis_of("kl_aisfx", "kl_aisfx") == catalog.axis_of("kl")
    assert catalog.axis_of("audio_fidelity") != catalog.axis_of("audio")
    assert catalog.axis_of("structure_dino_tokens") == Axis("alignment", "structure preservation")
    assert catalog.axis_of("bounce", "camera") == Axis("alignment", "motion")
    assert catalog.axis_of("low_level", "flicker") == Axis("quality", "frame consistency")
    assert catalog.axis_of("low_level", "frozen").sub_axis == "motion completeness"
    assert catalog.axis_of("low_level", "blur").sub_axis == "overall"
    assert catalog.axis_of("distribution_aisfx", "fad_inf_aisfx") == Axis("quality", "audio overall")
    assert catalog.axis_of("distribution_i3d", "fvd_i3d") == Axis("quality", "overall")


def test_each_sub_axis_of_a_value_is_of_a_value_that_exists():
    known = {name: METRICS[name](MetricSettings()).scores for name in ("bounce", "low_level")}
    for metric, prefix in catalog._SUB_AXES:
        if metric in known:
            assert any(name == prefix or name.startswith(prefix + "_") for name in known[metric]), prefix


def test_a_misspelt_metric_has_a_suggestion():
    with pytest.raises(
        ValueError, match=r"'fidelty' is neither a metric nor a suite; did you mean fidelity\?"
    ):
        catalog.expand_metrics(["fidelty"])
    assert catalog.expand_metrics(["codec", "fidelity"]) == ("fidelity", "low_level")


def test_help_names_every_metric_and_imports_neither_torch_nor_scipy():
    code = "import json, sys\nfrom eval.run import main\nmain(['--help'])\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    heavy = {"torch", "torchvision", "scipy", "matplotlib", "av", "PIL"}
    assert not heavy & set(json.loads(modules))
    for name, line in catalog.ALL_METRIC_HELP.items():
        assert any(row.split() == [name, *line.split()] for row in text), name

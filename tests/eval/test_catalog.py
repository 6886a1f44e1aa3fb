"""The names in help texts are those that can be constructed, and help needs no torch."""

import json
import subprocess
import sys

from eval import catalog
from eval.network_registry import NETWORK_BACKBONES, NETWORK_METRICS
from eval.registry import BACKBONES, METRICS


def test_catalog_lists_what_the_registries_construct():
    assert list(catalog.METRIC_HELP) == list(METRICS)
    assert list(catalog.NETWORK_METRIC_HELP) == list(NETWORK_METRICS)
    assert list(BACKBONES) == list(catalog.PACKAGE_BACKBONE_NAMES)
    assert list(NETWORK_BACKBONES) == list(catalog.NETWORK_BACKBONE_NAMES)
    for suite in catalog.SUITES:
        assert set(catalog.expand_metrics([suite])) <= set(catalog.ALL_METRIC_HELP)


def test_help_names_every_metric_and_imports_neither_torch_nor_scipy():
    code = "import json, sys\nfrom eval.run import main\nmain(['--help'])\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    heavy = {"torch", "torchvision", "scipy", "matplotlib", "av", "PIL"}
    assert not heavy & set(json.loads(modules))
    for name, line in catalog.ALL_METRIC_HELP.items():
        assert any(row.split() == [name, *line.split()] for row in text), name

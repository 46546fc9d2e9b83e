"""The metrics page: complete, own registry, no series that lie."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.obs.declaring import Closed
from bridge.obs.metrics import Metrics


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def ours(metrics):
    return {name for name in families(metrics) if name.startswith("exmail_bridge_")}


def test_two_can_live_in_one_process():
    """Nothing is registered globally: a second set of metrics counts on its own."""
    first, second = Metrics(), Metrics()
    first.pushes["mail"].inc()
    assert 'exmail_bridge_pushes_total{type="mail"} 1.0' in first.render().decode()
    assert 'exmail_bridge_pushes_total{type="mail"} 0.0' in second.render().decode()


def test_a_part_that_does_not_run_is_not_shown():
    """An edge shows no ``upstream_connected 0``, a worker no ``edge_connections 0``; the attributes work anyway."""
    worker, edge = Metrics(edge=False), Metrics(worker=False, signon=False)
    common = {f"exmail_bridge_{name}" for name in ("build_info", "ready", "unready", "redis_reachable")}
    assert ours(worker) & ours(edge) == common
    assert ours(worker) | ours(Metrics(worker=False)) == ours(Metrics())
    signon = Metrics(worker=False, edge=False, signon=True)
    # Either asks the OA who somebody is.
    asked = {"exmail_bridge_office_questions", "exmail_bridge_office_question_seconds"}
    assert ours(signon) & ours(edge) == common | asked
    assert {"exmail_bridge_redis_writable"} == {name for name in ours(signon) & ours(worker) if "writable" in name}
    assert "exmail_bridge_provider_calls" in ours(signon) & ours(worker)
    edge.upstream_connected.set(1)
    edge.commits["published"].inc()
    assert "exmail_bridge_upstream_connected" not in ours(edge)


def test_names_and_help_are_for_operators():
    """Every family has our prefix or is the process's; each help is a sentence; nothing ends in ``_created``."""
    for name, family in families(Metrics(version="1.2.3")).items():
        assert re.match(r"exmail_bridge_|process_|python_", name)
        if name.startswith("exmail_bridge_"):
            assert family.documentation.endswith(".")
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_every_value_of_every_label_is_there_from_the_start():
    """A series that appears with its first error cannot be alerted on. The version alone is no closed set."""
    metrics = Metrics()
    page = families(metrics)
    for name, closed in vars(metrics).items():
        if not isinstance(closed, Closed):
            continue
        samples = [sample for sample in page[f"exmail_bridge_{name}"].samples if "le" not in sample.labels]
        assert samples, name
        assert {sample.value for sample in samples} == {0.0}, name
    labelled = {name for name in ours(metrics) if any(set(s.labels) - {"le"} for s in page[name].samples)}
    closed_sets = {f"exmail_bridge_{name}" for name, value in vars(metrics).items() if isinstance(value, Closed)}
    assert labelled == closed_sets | {"exmail_bridge_build_info"}
    assert len(page["exmail_bridge_directory_syncs"].samples) == 12
    assert len(page["exmail_bridge_provider_calls"].samples) == 30
    assert {sample.labels["code"] for sample in page["exmail_bridge_edge_closes"].samples} >= {"1006", "3009", "other"}


def test_nothing_else_can_be_counted():
    """A value outside of the set is no new series: there is none to count it in."""
    with pytest.raises(KeyError):
        Metrics().documents_dropped["no-object"]


def test_the_version_is_told():
    """``build_info`` is 1 with the version as label."""
    assert 'exmail_bridge_build_info{version="1.2.3"} 1.0' in Metrics(version="1.2.3").render().decode()

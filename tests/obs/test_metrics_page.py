"""The metrics page: complete, own registry, no series that lie."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from bridge.obs.metrics import Metrics


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def ours(metrics):
    return {name for name in families(metrics) if name.startswith("exmail_bridge_")}


def test_two_can_live_in_one_process():
    """Nothing is registered globally: a second set of metrics counts on its own."""
    first, second = Metrics(), Metrics()
    first.pushes.labels("mail").inc()
    assert 'exmail_bridge_pushes_total{type="mail"} 1.0' in first.render().decode()
    assert 'exmail_bridge_pushes_total{type="mail"} 0.0' in second.render().decode()


def test_a_part_that_does_not_run_is_not_shown():
    """An edge shows no ``upstream_connected 0``, a worker no ``edge_connections 0``; the attributes work anyway."""
    worker, edge = Metrics(edge=False), Metrics(worker=False, signon=False)
    assert ours(worker) & ours(edge) == {"exmail_bridge_build_info"}
    assert ours(worker) | ours(Metrics(worker=False)) == ours(Metrics())
    signon = Metrics(worker=False, edge=False, signon=True)
    assert ours(signon) & ours(edge) == {"exmail_bridge_build_info"}
    assert "exmail_bridge_provider_calls" in ours(signon) & ours(worker)
    edge.upstream_connected.set(1)
    edge.commits.labels("published").inc()
    assert "exmail_bridge_upstream_connected" not in ours(edge)


def test_names_and_help_are_for_operators():
    """Every family has our prefix or is the process's; each help is a sentence; nothing ends in ``_created``."""
    for name, family in families(Metrics(version="1.2.3")).items():
        assert re.match(r"exmail_bridge_|process_|python_", name)
        if name.startswith("exmail_bridge_"):
            assert family.documentation.endswith(".")
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_closed_label_sets_start_at_zero():
    """A series that appears with its first error cannot be alerted on: closed sets are there from the start."""
    page = families(Metrics())
    assert {sample.labels["outcome"] for sample in page["exmail_bridge_listen_sessions"].samples} == {
        *("ended", "refused", "silent", "away", "shutdown")
    }
    assert len(page["exmail_bridge_directory_syncs"].samples) == 12
    assert {sample.labels["code"] for sample in page["exmail_bridge_edge_closes"].samples} >= {"1006", "3009", "other"}


def test_the_version_is_told():
    """``build_info`` is 1 with the version as label."""
    assert 'exmail_bridge_build_info{version="1.2.3"} 1.0' in Metrics(version="1.2.3").render().decode()

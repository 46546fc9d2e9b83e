"""Whether somebody would be told."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

ALERTS: Final = {
    "prometheus-away": Text(
        en=Words(
            "Prometheus at {url} gives no answer of its own ({error})",
            "Nobody is told of anything while it is away.",
            "See whether it runs, and whether this is its address.",
        ),
        zh=Words(
            "{url} 处的 Prometheus 没有给出应有的回答（{error}）",
            "它不在时，什么事都不会有人收到告警。",
            "看它是否在运行，地址是否正确。",
        ),
    ),
    "alerts-missing": Text(
        en=Words(
            "Prometheus at {url} lacks {count} alerts of this release: {names}",
            "What they watch fails without a word.",
            "Load deploy/prometheus/rules.yml of this release (rule_files), and reload Prometheus.",
        ),
        zh=Words(
            "{url} 处的 Prometheus 缺少本版本的 {count} 条告警：{names}",
            "它们所看守的东西坏了也没有声音。",
            "加载本版本的 deploy/prometheus/rules.yml（rule_files），并让 Prometheus 重新加载。",
        ),
    ),
    "nothing-measured": Text(
        en=Words(
            "Prometheus at {url} has no metrics of the bridge",
            "Alerts on what is not measured never fire, apart from the one that says so.",
            "Scrape the admin ports of worker, edge and sign-on, as deploy/prometheus/prometheus.yml does.",
        ),
        zh=Words(
            "{url} 处的 Prometheus 没有 bridge 的指标",
            "没有采集到的东西不会触发告警，除了“采集不到”这一条。",
            "采集 worker、edge 和 sign-on 的管理端口，照 deploy/prometheus/prometheus.yml。",
        ),
    ),
    "nobody-told": Text(
        en=Words(
            "Prometheus at {url} knows no Alertmanager",
            "Alerts fire there, and nobody is called.",
            "Name an Alertmanager under alerting in its file, with a route to whoever is on duty.",
        ),
        zh=Words(
            "{url} 处的 Prometheus 没有可用的 Alertmanager",
            "告警触发了，却没有人被叫到。",
            "在它的配置文件 alerting 一节写上 Alertmanager，并路由给值班的人。",
        ),
    ),
    "alerts-fire": Text(
        en=Words(
            "these alerts fire now: {names}",
            "Something is wrong, or was a moment ago.",
            "Each has a section in operations.md.",
        ),
        zh=Words(
            "这些告警正在触发：{names}",
            "现在有问题，或刚刚有过。",
            "operations.zh-CN.md 里每条都有一节。",
        ),
    ),
}

"""This machine: settings, files, names, certificates, clocks; and who of the bridge runs."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

HERE: Final = {
    "settings-wrong": Text(
        en=Words(
            "{program}: {problem}",
            "With this the program does not start.",
            "Correct the setting or the file; config reference explains each.",
        ),
        zh=Words(
            "{program}：{problem}",
            "这样程序无法启动。",
            "改正这项设置或文件；config reference 逐项说明。",
        ),
    ),
    "secret-open": Text(
        en=Words(
            "{file} has mode {mode}",
            "Everybody on this host can read this secret, or change it.",
            "chmod 600, owned by root; the service gets a copy of its own.",
        ),
        zh=Words(
            "{file} 的权限是 {mode}",
            "本机上任何人都能读到或改动这个密钥。",
            "chmod 600，属主 root；服务会得到自己的一份副本。",
        ),
    ),
    "name-unknown": Text(
        en=Words(
            "{problem}",
            "What is not found cannot be called.",
            "Correct the name, or the name servers of this host (/etc/resolv.conf).",
        ),
        zh=Words(
            "{problem}",
            "解析不到的主机无法访问。",
            "改正主机名，或检查本机的域名服务器（/etc/resolv.conf）。",
        ),
    ),
    "host-unreachable": Text(
        en=Words(
            "{setting}: no connection to {host}: {error}",
            "The program that calls it gets no answer either.",
            "Look at firewall, proxy (BRIDGE_EGRESS_PROXY) and routes, and whether anything listens there.",
        ),
        zh=Words(
            "{setting}：连接不上 {host}：{error}",
            "要访问它的程序同样得不到回答。",
            "检查防火墙、代理（BRIDGE_EGRESS_PROXY）和路由，以及那里是否有服务在监听。",
        ),
    ),
    "tls-fails": Text(
        en=Words(
            "{setting}: no TLS with {host}: {error}",
            "Nothing that is called there is answered.",
            "See whether that port speaks TLS at all, and which versions.",
        ),
        zh=Words(
            "{setting}：与 {host} 无法建立 TLS：{error}",
            "对它的任何访问都得不到回答。",
            "看看该端口是否支持 TLS，以及支持哪些版本。",
        ),
    ),
    "certificate-expired": Text(
        en=Words(
            "{setting}: the certificate of {host} has expired",
            "Browsers and programs refuse it.",
            "Renew it, and have the server read it again.",
        ),
        zh=Words(
            "{setting}：{host} 的证书已过期",
            "浏览器和程序都会拒绝它。",
            "更换证书，并让服务器重新读取。",
        ),
    ),
    "certificate-refused": Text(
        en=Words(
            "{setting}: the certificate of {host} convinces nobody here: {error}",
            "Programs on this host refuse the connection.",
            "A company's own authority goes into BRIDGE_EGRESS_CA_FILE; a wrong name or a missing link of the chain is "
            "mended at the server.",
        ),
        zh=Words(
            "{setting}：{host} 的证书在这里不被信任：{error}",
            "本机上的程序会拒绝连接。",
            "公司自己的 CA 写进 BRIDGE_EGRESS_CA_FILE；名称不符或缺少中间证书要在服务器上解决。",
        ),
    ),
    "certificate-ends": Text(
        en=Words(
            "{setting}: the certificate of {host} ends in {days} days",
            "From that day on it is refused.",
            "Renew it now; find out why that did not happen by itself.",
        ),
        zh=Words(
            "{setting}：{host} 的证书还有 {days} 天到期",
            "到期后会被拒绝。",
            "现在就更换，并查明为什么没有自动续期。",
        ),
    ),
    "clock-redis": Text(
        en=Words(
            "this machine's clock minus Redis's is {seconds} s",
            "Tokens are judged by the edge's clock, ages by Redis's: people are refused, or stay too long.",
            "Have both hosts set by NTP: chronyc tracking, timedatectl.",
        ),
        zh=Words(
            "本机时钟减去 Redis 的时钟是 {seconds} 秒",
            "令牌按 edge 的时钟判断，事件的新旧按 Redis 的时钟：有人会被误拒，有人会留得太久。",
            "两台主机都用 NTP 校时：chronyc tracking、timedatectl。",
        ),
    ),
    "clock-provider": Text(
        en=Words(
            "this machine's clock minus the provider's is {seconds} s",
            "The provider's clock is right: tokens of the OA are refused as expired here, or accepted for too long.",
            "Have this host set by NTP: chronyc tracking, timedatectl.",
        ),
        zh=Words(
            "本机时钟减去服务商的时钟是 {seconds} 秒",
            "服务商的时钟是准的：OA 签的令牌会在这里被当作过期而拒绝，或被接受得太久。",
            "让本机用 NTP 校时：chronyc tracking、timedatectl。",
        ),
    ),
    "no-leader": Text(
        en=Words(
            "no worker leads",
            "No mail is announced.",
            "Start a worker, or read the log of one that runs: journalctl -u exmail-bridge-worker@1 -n 50.",
        ),
        zh=Words(
            "没有 worker 在主持",
            "没有任何新邮件提醒。",
            "启动 worker；如果它在运行，看它的日志：journalctl -u exmail-bridge-worker@1 -n 50。",
        ),
    ),
    "leader-silent": Text(
        en=Words(
            "the leader does not answer: {error}",
            "It holds the lease and is busy or hangs; nobody else can lead meanwhile.",
            "See its log; restart it if nothing moves. A standby takes over when the lease runs out.",
        ),
        zh=Words(
            "主持的 worker 没有回答：{error}",
            "它占着租约却很忙或已卡住；期间别人无法主持。",
            "看它的日志；没有进展就重启它。租约到期后备用的 worker 会接手。",
        ),
    ),
    "backlog": Text(
        en=Words(
            "{pushes} pushes wait to be committed, the oldest for {seconds} s",
            "People hear of their mails late.",
            "See what the check of Redis says.",
        ),
        zh=Words(
            "{pushes} 条推送等着写入，最早的已等 {seconds} 秒",
            "大家收到的提醒会晚。",
            "先看 Redis 一项的结果。",
        ),
    ),
    "upstream": Text(
        en=Words(
            "the listen connection is {state}: {error}",
            "No mail is announced until it stands again.",
            "See what the check of the provider says, and events system --since 1h.",
        ),
        zh=Words(
            "监听连接处于 {state}：{error}",
            "恢复之前没有新邮件提醒。",
            "先看服务商一项的结果，再看 events system --since 1h。",
        ),
    ),
    "no-standby": Text(
        en=Words(
            "no worker stands by",
            "If the leader's host fails, no mail is announced until somebody starts another worker.",
            "Run a second worker, on another host: one leads, the other takes over within the lease.",
        ),
        zh=Words(
            "没有备用的 worker",
            "主持者所在的主机一旦出故障，在有人启动另一个 worker 之前都没有提醒。",
            "在另一台主机上再运行一个 worker：一个主持，另一个在租约时间内接手。",
        ),
    ),
    "no-edge": Text(
        en=Words(
            "no edge listens on Redis",
            "Browsers are told nothing.",
            "Start an edge, or read its log: journalctl -u exmail-bridge-edge -n 50.",
        ),
        zh=Words(
            "没有 edge 连在 Redis 上",
            "浏览器收不到任何消息。",
            "启动 edge，或看它的日志：journalctl -u exmail-bridge-edge -n 50。",
        ),
    ),
    "edge-silent": Text(
        en=Words(
            "{answered} of {asked} edges answered",
            "One hangs, or is of an older release; its browsers may be told nothing.",
            "status names those that answered; restart the other.",
        ),
        zh=Words(
            "{asked} 个 edge 中只有 {answered} 个回答",
            "有一个卡住了或版本太旧；连着它的浏览器可能收不到消息。",
            "status 会列出回答了的；重启另外那个。",
        ),
    ),
    "versions-differ": Text(
        en=Words(
            "different releases run beside each other: {versions}",
            "That is meant for the minutes of an upgrade only.",
            "Restart what still is of the older release.",
        ),
        zh=Words(
            "不同版本同时在运行：{versions}",
            "这只应出现在升级的几分钟里。",
            "重启仍是旧版本的程序。",
        ),
    ),
}

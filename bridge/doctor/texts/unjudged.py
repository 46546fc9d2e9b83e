"""Questions that could not be asked, and why."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

UNJUDGED: Final = {
    "no-secret": Text(
        en=Words(
            "{program} has no {setting} here",
            "Without it nobody can tell whether this program's way works.",
            "Run the doctor as root on the host of the unit, or give it the setting; --for leaves programs out.",
        ),
        zh=Words(
            "{program} 在这里没有 {setting}",
            "没有它就无法判断这个程序是否走得通。",
            "请在该服务所在的主机上以 root 运行，或给出这项设置；用 --for 可以只检查部分程序。",
        ),
    ),
    "secret-closed": Text(
        en=Words(
            "{program}: {problem}",
            "The service can read this file, whoever runs the doctor cannot; nothing that depends on it is judged.",
            "Run the doctor as root.",
        ),
        zh=Words(
            "{program}：{problem}",
            "服务能读这个文件，运行 doctor 的用户却不能；凡依赖它的都无法判断。",
            "请以 root 运行 doctor。",
        ),
    ),
    "program-left-out": Text(
        en=Words(
            "no settings of {program}",
            "This check needs them.",
            "Leave --for away, or name this program too; if its settings are wrong, mend those first.",
        ),
        zh=Words(
            "没有 {program} 的设置",
            "这项检查需要它。",
            "去掉 --for，或把这个程序也写上；如果是它的设置有错，请先改正。",
        ),
    ),
    "needs-redis": Text(
        en=Words(
            "Redis does not answer this question: {error}",
            "What only Redis knows is not judged.",
            "See what the check of Redis says; with least rights, give the doctor the Redis user operator.",
        ),
        zh=Words(
            "Redis 没有回答这个问题：{error}",
            "只有 Redis 知道的事情无法判断。",
            "先看 Redis 一项的结果；启用最小权限时，请让 doctor 使用 Redis 用户 operator。",
        ),
    ),
    "provider-without-date": Text(
        en=Words(
            "the provider did not say what time it is ({error})",
            "This machine's clock is compared with Redis's only.",
            "See what the check of the provider says.",
        ),
        zh=Words(
            "服务商没有给出它的时间（{error}）",
            "本机时钟只与 Redis 的时钟作了比较。",
            "先看服务商一项的结果。",
        ),
    ),
    "no-public-url": Text(
        en=Words(
            "BRIDGE_EDGE_PUBLIC_URL is not set",
            "The way through the proxy cannot be tried, and most faults are there; "
            "only an edge on this host is asked, straight.",
            "Set it to the address at which browsers find the edge.",
        ),
        zh=Words(
            "没有设置 BRIDGE_EDGE_PUBLIC_URL",
            "无法试走经过代理的那一段，而大多数故障都在那里；只能直接询问本机的 edge。",
            "把它设为浏览器访问 edge 的地址。",
        ),
    ),
    "round-without-edge": Text(
        en=Words(
            "no edge is connected to Redis",
            "Nobody could admit the test event's reader.",
            "See what the check of leadership says.",
        ),
        zh=Words(
            "没有 edge 连着 Redis",
            "没有谁能放行测试事件的接收者。",
            "先看“主持”一项的结果。",
        ),
    ),
    "round-without-leader": Text(
        en=Words(
            "no worker published the test event: {error}",
            "The connections at the public URL were tried, the way of an event was not.",
            "See what the check of leadership says.",
        ),
        zh=Words(
            "没有 worker 发布测试事件：{error}",
            "公网地址的连接试过了，事件走的路没有试。",
            "先看“主持”一项的结果。",
        ),
    ),
    "address-from-inside": Text(
        en=Words(
            "the doctor itself comes from {address}, which is trusted",
            "Whether the edge sees browsers or the proxy cannot be told from here.",
            "Run the doctor on another machine, with --for edge, to have that judged.",
        ),
        zh=Words(
            "doctor 自己来自受信任的地址 {address}",
            "从这里看不出 edge 看到的是浏览器还是代理。",
            "要判断这一点，请在另一台机器上用 --for edge 运行 doctor。",
        ),
    ),
    "tokens-from-elsewhere": Text(
        en=Words(
            "no secret is set here that tokens are signed with",
            "Tokens, and the path of the cookie, were not tried.",
            "Try a token of the OA: token --check TOKEN.",
        ),
        zh=Words(
            "这里没有签令牌用的密钥",
            "令牌和 cookie 的路径没有试。",
            "用 OA 的令牌试：token --check TOKEN。",
        ),
    ),
    "no-prometheus": Text(
        en=Words(
            "no --prometheus was given",
            "Whether anybody would be told is not judged.",
            "Give the URL of Prometheus: --prometheus http://127.0.0.1:9090.",
        ),
        zh=Words(
            "没有给出 --prometheus",
            "出了事会不会有人收到告警，没有判断。",
            "给出 Prometheus 的地址：--prometheus http://127.0.0.1:9090。",
        ),
    ),
    "no-passwords": Text(
        en=Words(
            "no --passwords was given",
            "Each program's own start was tried; the rights of the other users of Redis were not.",
            "Give the directory that make-users reads, with the file admin in it: --passwords DIR.",
        ),
        zh=Words(
            "没有给出 --passwords",
            "已按各程序自己的用户试过启动；Redis 其他用户的权限没有检查。",
            "给出 make-users 读取的目录（其中要有 admin 文件）：--passwords DIR。",
        ),
    ),
    "passwords-closed": Text(
        en=Words(
            "the users of Redis cannot be judged: {error}",
            "Their rights were not tried.",
            "Run the doctor as root, with the directory that make-users reads, and the file admin in it.",
        ),
        zh=Words(
            "无法判断 Redis 的用户：{error}",
            "没有检查他们的权限。",
            "以 root 运行，并给出 make-users 读取的目录，其中要有 admin 文件。",
        ),
    ),
    "no-answer-in-time": Text(
        en=Words(
            "{check}: not done within {seconds} s",
            "What it had not asked by then is not judged.",
            "Something hangs: mend what the other checks found, then try again with a longer --within.",
        ),
        zh=Words(
            "{check}：{seconds} 秒内没有做完",
            "到那时还没有问到的都没有判断。",
            "有东西卡住了：先处理其他检查发现的问题，再用更长的 --within 重试。",
        ),
    ),
    "check-broke": Text(
        en=Words(
            "{check}: ended by an error of its own, {error}",
            "This is a defect of the doctor and says nothing of your installation.",
            "Report it with the version and this line.",
        ),
        zh=Words(
            "{check}：因自身错误 {error} 而中止",
            "这是 doctor 的缺陷，不说明安装有问题。",
            "请连同版本号和这一行报告给我们。",
        ),
    ),
}

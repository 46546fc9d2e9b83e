"""The provider, and whose credentials they are."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

PROVIDER: Final = {
    "provider-refuses": Text(
        en=Words(
            "the provider refuses client id and key: {error}",
            "A cached token hides this for up to a day; when it ends, no mail is announced.",
            "Compare both with 工具箱 → 开放协议 in the Exmail console, and put the key into its file.",
        ),
        zh=Words(
            "服务商拒绝 client id 和密钥：{error}",
            "缓存的令牌最多能掩盖一天；它一到期，就不再有提醒。",
            "与企业邮箱管理后台“工具箱 → 开放协议”核对，把密钥写进它的文件。",
        ),
    ),
    "provider-successor": Text(
        en=Words(
            "{id} belongs to the newer API (api.exmail.qq.com), not to this one",
            "The two APIs have credentials of their own; with these there is no listen connection.",
            "Take client id and key of 开放协议, or set the bridge up for the newer API.",
        ),
        zh=Words(
            "{id} 属于新版接口（api.exmail.qq.com），不属于这一个",
            "两套接口的凭据各不相同；用这一套无法监听。",
            "改用“开放协议”的 client id 和密钥，或按新版接口配置。",
        ),
    ),
    "provider-address": Text(
        en=Words(
            "{error}",
            "Every call is refused, listen too.",
            "Put the address that the company shows to the internet on the allow-list, for every site that may lead.",
        ),
        zh=Words(
            "{error}",
            "所有调用都被拒绝，监听也一样。",
            "把公司对外的公网地址加入白名单，凡可能主持的站点都要加。",
        ),
    ),
    "provider-token": Text(
        en=Words(
            "the provider gives a token and refuses it at once: {error}",
            "Somebody else fetches tokens with the same client id, and each ends the other's.",
            "Find the second program with this client id; each needs one of its own.",
        ),
        zh=Words(
            "服务商刚发的令牌马上被拒绝：{error}",
            "有别的程序用同一个 client id 取令牌，互相使对方失效。",
            "找出使用这个 client id 的另一个程序；各用各的。",
        ),
    ),
    "provider-busy": Text(
        en=Words(
            "the provider says that it is busy: {error}",
            "The worker waits and tries again by itself.",
            "Try again later; if it stays, ask the provider about limits of this client id.",
        ),
        zh=Words(
            "服务商说它正忙：{error}",
            "worker 会自己等待并重试。",
            "稍后再试；一直如此就向服务商询问这个 client id 的限额。",
        ),
    ),
    "provider-away": Text(
        en=Words(
            "the provider does not answer: {error}",
            "No mail is announced.",
            "From this host: curl -v the two provider URLs; look at firewall and BRIDGE_EGRESS_PROXY (port 12211).",
        ),
        zh=Words(
            "服务商没有回答：{error}",
            "没有新邮件提醒。",
            "在本机用 curl -v 试两个服务商地址；检查防火墙和 BRIDGE_EGRESS_PROXY（12211 端口）。",
        ),
    ),
    "provider-odd": Text(
        en=Words(
            "the provider answers what the protocol does not have: {error}",
            "Perhaps a proxy or a maintenance page answers in its place.",
            "Look at what answers there: curl -v the two provider URLs.",
        ),
        zh=Words(
            "服务商的回答不符合协议：{error}",
            "也许是代理或维护页面在替它回答。",
            "用 curl -v 试两个服务商地址，看看是谁在回答。",
        ),
    ),
    "namespace-of-another": Text(
        en=Words(
            "{error}",
            "A worker with this client id neither leads nor stands by.",
            "Correct client id or namespace; adopt gives the namespace to a new client id.",
        ),
        zh=Words(
            "{error}",
            "用这个 client id 的 worker 既不能主持也不能备用。",
            "改正 client id 或命名空间；adopt 会把命名空间交给新的 client id。",
        ),
    ),
}

"""The way through the public URL."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

WAY: Final = {
    "public-unreachable": Text(
        en=Words(
            "{url} gives no answer: {error}",
            "No browser gets in.",
            "See whether the proxy runs and listens there, and whether its certificate is right.",
        ),
        zh=Words(
            "{url} 没有回答：{error}",
            "没有浏览器能连上。",
            "看代理是否在运行、是否监听这个地址，证书是否正确。",
        ),
    ),
    "public-not-ours": Text(
        en=Words(
            "{url} is answered by something that is not the edge (status {status}, {kind})",
            "Pages get no script and no connection.",
            "Compare the path in BRIDGE_EDGE_PUBLIC_URL with the proxy's location; deploy/proxy/nginx.conf has both.",
        ),
        zh=Words(
            "回答 {url} 的不是 edge（状态码 {status}，{kind}）",
            "页面既拿不到脚本，也连不上。",
            "核对 BRIDGE_EDGE_PUBLIC_URL 里的路径与代理的 location；deploy/proxy/nginx.conf 两者都有。",
        ),
    ),
    "proxy-without-edge": Text(
        en=Words(
            "the proxy at {url} reaches no edge (status {status})",
            "No browser gets in.",
            "See whether the edge runs, and at which address: BRIDGE_EDGE_LISTEN and the proxy's upstream.",
        ),
        zh=Words(
            "{url} 处的代理连不上 edge（状态码 {status}）",
            "没有浏览器能连上。",
            "看 edge 是否在运行、监听哪个地址：BRIDGE_EDGE_LISTEN 与代理的 upstream。",
        ),
    ),
    "upgrade-stripped": Text(
        en=Words(
            "WebSocket at {url} is refused (status {status}): the handshake does not reach the edge whole",
            "Browsers fall back to event streams, six of which stop a page over HTTP/1.1.",
            "In the proxy: proxy_http_version 1.1, the headers Upgrade and Connection, as in deploy/proxy/nginx.conf.",
        ),
        zh=Words(
            "{url} 的 WebSocket 被拒绝（状态码 {status}）：握手没有完整到达 edge",
            "浏览器会退回事件流；在 HTTP/1.1 上六条事件流就会卡住页面。",
            "在代理上设置 proxy_http_version 1.1 以及 Upgrade 和 Connection 头，照 deploy/proxy/nginx.conf。",
        ),
    ),
    "sse-buffered": Text(
        en=Words(
            "the event stream at {url} does not come through as it is written ({transport})",
            "Browsers on event streams hear of their mails minutes later, or never.",
            "In the proxy: proxy_buffering off, gzip off, and no proxy_ignore_headers X-Accel-Buffering.",
        ),
        zh=Words(
            "{url} 的事件流没有随写随到（{transport}）",
            "使用事件流的浏览器要几分钟后才收到提醒，甚至收不到。",
            "在代理上设置 proxy_buffering off、gzip off，并且不要用 proxy_ignore_headers X-Accel-Buffering。",
        ),
    ),
    "line-mute": Text(
        en=Words(
            "a connection over {transport} at {url} is opened, and nothing comes",
            "Browsers wait for nothing.",
            "Ask the edge without the proxy; if it answers there, the proxy holds frames back.",
        ),
        zh=Words(
            "{url} 的 {transport} 连接能建立，但什么也收不到",
            "浏览器会一直空等。",
            "绕过代理直接问 edge；如果那样有回答，就是代理扣住了数据。",
        ),
    ),
    "line-refused": Text(
        en=Words(
            "the edge at {url} refuses a connection over {transport} with {why}",
            "3013: it is full; 3009: Redis did not tell it of us, so it is of an older release or of another bridge.",
            "client.md explains the codes; status names the edges.",
        ),
        zh=Words(
            "{url} 的 edge 以 {why} 拒绝 {transport} 连接",
            "3013：已满；3009：这个 edge 没有从 Redis 得知我们，可能版本太旧，或属于另一个 bridge。",
            "代码见 client.md；status 列出各个 edge。",
        ),
    ),
    "line-ended": Text(
        en=Words(
            "the connection over {transport} at {url} ended at once ({why})",
            "Browsers come back again and again.",
            "Look at the proxy's log, and at close codes in client.md.",
        ),
        zh=Words(
            "{url} 的 {transport} 连接马上就断了（{why}）",
            "浏览器会不停地重连。",
            "看代理的日志，关闭代码见 client.md。",
        ),
    ),
    "event-refused": Text(
        en=Words(
            "the leader could not publish the test event: {error}",
            "Its user of Redis may lack one right only; then mails are published all the same.",
            "Make the ACL file anew with deploy/redis/make-users, and ACL LOAD it.",
        ),
        zh=Words(
            "主持的 worker 发不出测试事件：{error}",
            "可能只是它的 Redis 用户缺这一项权限，邮件提醒照常发布。",
            "用 deploy/redis/make-users 重新生成 ACL 文件并执行 ACL LOAD。",
        ),
    ),
    "event-lost": Text(
        en=Words(
            "the worker published an event, and it did not come over {transport} at {url}",
            "Neither do mails.",
            "See feed gaps and deaf edges in status and metrics; ask each edge without the proxy.",
        ),
        zh=Words(
            "worker 发布了事件，但 {url} 的 {transport} 没有收到",
            "邮件提醒也一样收不到。",
            "看 status 和指标里的遗漏与失聪的 edge；绕过代理逐个问 edge。",
        ),
    ),
    "idle-cut": Text(
        en=Words(
            "a quiet connection over {transport} did not last {seconds} s, or heard no heartbeat",
            "Something between cuts what is idle for less than a heartbeat, 25 s: badges stop, browsers come back.",
            "Raise the idle time of proxies, balancers and firewalls to 120 s: proxy_read_timeout and its like.",
        ),
        zh=Words(
            "安静的 {transport} 连接没能保持 {seconds} 秒，或没有收到心跳",
            "中间有设备把空闲不到 25 秒（心跳间隔）的连接切断；未读数停住，浏览器反复重连。",
            "把代理、负载均衡和防火墙的空闲时间调到 120 秒：proxy_read_timeout 之类。",
        ),
    ),
    "address-of-proxy": Text(
        en=Words(
            "the edge takes the proxy, {address}, for every browser",
            "Limits for each address hit everybody at once, and Origin rules see the wrong host.",
            "Put the proxy's address into BRIDGE_EDGE_TRUSTED_PROXIES, and have it send X-Forwarded-For.",
        ),
        zh=Words(
            "edge 把代理 {address} 当成了所有浏览器",
            "按地址的限额会同时落在所有人头上，来源检查看到的也是错的主机。",
            "把代理的地址写进 BRIDGE_EDGE_TRUSTED_PROXIES，并让它发送 X-Forwarded-For。",
        ),
    ),
    "address-forged": Text(
        en=Words(
            "the edge believed us that we come from {address}",
            "Whoever sends that header escapes limits for each address.",
            "The proxy must append to X-Forwarded-For what it sees ($proxy_add_x_forwarded_for), and "
            "BRIDGE_EDGE_TRUSTED_PROXIES name proxies only.",
        ),
        zh=Words(
            "我们自称来自 {address}，edge 就信了",
            "谁发送这个头，谁就能绕过按地址的限额。",
            "代理必须把自己看到的地址追加到 X-Forwarded-For（$proxy_add_x_forwarded_for），"
            "BRIDGE_EDGE_TRUSTED_PROXIES 只写代理。",
        ),
    ),
    "token-refused": Text(
        en=Words(
            "the edge at {url} refuses a token that was signed with the secret that is set here",
            "The edge runs with another secret, or the proxy takes Authorization away; tokens of the OA may fail too.",
            "Restart the edge after a change of the secret; compare BRIDGE_EDGE_JWT_SECRET, _AUDIENCE and _ISSUER.",
        ),
        zh=Words(
            "{url} 的 edge 拒绝了用这里设置的密钥签的令牌",
            "edge 用的是另一个密钥，或代理去掉了 Authorization；OA 签的令牌可能同样失败。",
            "换密钥后重启 edge；核对 BRIDGE_EDGE_JWT_SECRET、_AUDIENCE 和 _ISSUER。",
        ),
    ),
    "logout-fails": Text(
        en=Words(
            "POST {url}logout is answered with {status}",
            "Who signs out of the OA stays connected here.",
            "Let the proxy pass POST below the public path.",
        ),
        zh=Words(
            "POST {url}logout 得到 {status}",
            "从 OA 退出登录的人在这里仍然连着。",
            "让代理放行公网路径下的 POST。",
        ),
    ),
    "cookie-path": Text(
        en=Words(
            "the edge's cookie comes through with the path {path}, and browsers need {expected}",
            "Signing out does not clear the cookie, and a cookie of another path is not sent.",
            "Remove proxy_cookie_path, and set BRIDGE_EDGE_PUBLIC_URL to what browsers see.",
        ),
        zh=Words(
            "edge 的 cookie 到浏览器时路径是 {path}，应为 {expected}",
            "退出登录清不掉 cookie，路径不符的 cookie 也不会被发送。",
            "去掉 proxy_cookie_path，并把 BRIDGE_EDGE_PUBLIC_URL 设为浏览器看到的地址。",
        ),
    ),
}

"""Which URLs of Redis are accepted, what they mean, and what is said about the others."""

from __future__ import annotations

import pytest

from bridge.journal.connect import Places, RedisAddress, places_in
from bridge.journal.route import Node
from bridge.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("url", "places"),
    [
        (
            "redis+sentinel://h1:26380,h2/mymaster/3",
            Places("sentinel", "redis", [Node("h1", 26380), Node("h2", 26379)], "mymaster", "3", ""),
        ),
        (
            "rediss+sentinel://[::1]:1,h2,[fe80::2]/my%20master?ssl_check_hostname=no",
            Places(
                "sentinel",
                "rediss",
                [Node("::1", 1), Node("h2", 26379), Node("fe80::2", 26379)],
                "my master",
                "",
                "?ssl_check_hostname=no",
            ),
        ),
        (
            "redis+cluster://h1:7000,[::1]",
            Places("cluster", "redis", [Node("h1", 7000), Node("::1", 6379)], "", "", ""),
        ),
        ("rediss+cluster://h1/0", Places("cluster", "rediss", [Node("h1", 6379)], "", "", "")),
        ("redis://h1:6379/0", None),
        ("unix:///run/valkey.sock", None),
    ],
)
def test_a_list_of_hosts_is_read_in_its_order(url: str, places: Places | None):
    """Ports have defaults, IPv6 hosts stand in brackets, the query goes on to every connection."""
    assert load_settings({"BRIDGE_REDIS_URL": url}).redis.url == url
    assert places_in(url) == places


def test_connections_take_database_and_tls_from_the_url():
    """The node is found when a connection is dialled; everything else is as with one server."""
    address = RedisAddress("redis+sentinel://h1/mymaster/3", "me", lambda: "hush")
    assert address.client().connection_pool.connection_kwargs["db"] == 3
    secure = RedisAddress("rediss+cluster://h1?ssl_check_hostname=no", namespace="exmail").connection()
    assert "SSL" in type(secure).__name__
    assert "hush" not in repr(address)


def test_user_and_password_are_taken_out_of_a_list():
    """They stand once, before the first host, and go to the data servers."""
    settings = load_settings({"BRIDGE_REDIS_URL": "redis+sentinel://me:hu%2Fsh@h1:26379,[::1]:26379/mymaster/0"})
    assert settings.redis.url == "redis+sentinel://h1:26379,[::1]:26379/mymaster/0"
    assert (settings.redis.username, settings.redis.password()) == ("me", "hu/sh")
    assert not settings.redis.sentinel_password


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://h:26379", "must name the master after the sentinels"),
        ("redis+sentinel://h:26379/", "must name the master after the sentinels"),
        ("redis+sentinel://h/mymaster/x", "must name the master after the sentinels"),
        ("redis+sentinel:///mymaster/0", "must name a host"),
        ("redis+sentinel://h1,,h3/mymaster", "host 2 of 3 is no host:port"),
        ("redis+sentinel://h1:26379,h2:99999/mymaster", "host 2 of 2 is no host:port"),
        ("redis+sentinel://u:hush@h1,::1:26379/m", "host 2 of 2 is no host:port; it must look like redis+sentinel"),
        ("redis+cluster://h1,[hush]", "host 2 of 2 is no host:port"),
        ("redis+cluster://h1:6379/1", "a cluster has database 0 only"),
        ("redis://h1:6379,h2:6379/0", "names several hosts; redis+sentinel:// and redis+cluster:// take a list"),
        ("redis+sentinle://h1/m", "must begin with redis://"),
        ("h1:6379", "must begin with redis://"),
        ("redis+cluster://u:hu#sh@h1", "write %23"),
        ("redis+cluster://h1?password=hush", "use BRIDGE_REDIS_PASSWORD"),
        ("rediss://h1?ssl_ca_cert=/etc/ssl/hush.pem", "unknown option 'ssl_ca_cert'; there are ssl_ca_certs, "),
        ("redis://h1?ssl_ca_certs=/etc/hosts", "holds ssl_ca_certs without TLS; it must begin with rediss"),
        ("rediss://h1?ssl_ca_certs=corp.pem", "ssl_ca_certs must be a whole path"),
        (
            "rediss+cluster://h1?ssl_ca_certs=/nowhere/corp.pem",
            "ssl_ca_certs cannot be read (No such file or directory)",
        ),
        ("rediss://h1?ssl_ca_certs=/etc/hosts", "ssl_ca_certs holds no PEM certificate"),
        ("rediss://h1?ssl_keyfile=", "ssl_keyfile names no file"),
    ],
)
def test_a_bad_url_is_one_line_that_says_what_is_wrong(url: str, why: str):
    """The line never shows the URL, which may hold a password in a place where nobody looks for one."""
    with pytest.raises(SettingsError) as wrong:
        load_settings({"BRIDGE_REDIS_URL": url})
    (problem,) = wrong.value.problems
    assert problem.startswith("BRIDGE_REDIS_URL: ")
    assert why in problem
    assert "hush" not in problem

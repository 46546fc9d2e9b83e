"""Settings: layers, checks, and that secrets stay secret."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bridge.settings import Address, Secret, SettingsError, SettingsFileError, load_settings, require_for, show
from bridge.settings.values import secret_text

SECRET = "a-secret-of-more-than-thirty-two-bytes"


def problems_of(environ, path=None):
    with pytest.raises(SettingsError) as refused:
        load_settings(environ, path)
    return refused.value.problems


@pytest.fixture
def config(tmp_path):
    def write(text, name="bridge.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_defaults_are_the_contract():
    """Without file and environment every default of the contract is in force."""
    settings = load_settings({})
    assert settings.namespace == "exmail"
    assert settings.redis.url == "redis://127.0.0.1:6379/0"
    assert settings.provider.api_url == "http://openapi.exmail.qq.com:12211"
    assert settings.provider.listen_silence_s == 45
    assert (settings.worker.lease_s, settings.worker.backlog, settings.worker.newcount_rate) == (10, 10000, 20)
    assert settings.edge.listen == Address("127.0.0.1", 8080)
    assert settings.edge.jwt_claim == "sub"
    assert [str(network) for network in settings.edge.trusted_proxies] == ["127.0.0.0/8", "::1/128"]
    assert settings.directory.fields == ("alias", "name", "parties", "slaves", "status")
    assert (settings.history.events, settings.history.seconds, settings.events.max) == (200, 86400, 200000)
    assert set(settings.sources.values()) == {"default"}


def test_environment_wins_over_file_over_default(config):
    """Defaults give way to the file, the file to the environment, and each source is told."""
    path = config(
        'namespace = "filed"\n[worker]\nlease = 20\nbacklog = 5\n[edge]\nallowed_origins = ["https://a.b", "https://c.d:444"]\n'
    )
    settings = load_settings({"BRIDGE_WORKER_LEASE": "30"}, path)
    assert (settings.namespace, settings.worker.lease_s, settings.worker.backlog) == ("filed", 30, 5)
    assert settings.edge.allowed_origins == ("https://a.b", "https://c.d:444")
    assert settings.sources["BRIDGE_WORKER_LEASE"] == "environment"
    assert settings.sources["BRIDGE_WORKER_BACKLOG"] == str(path)
    assert settings.sources["BRIDGE_PRIVACY"] == "default"


def test_bridge_config_names_the_file(config):
    """``BRIDGE_CONFIG`` is read like ``--config``, which wins over it; either must exist."""
    named, given = config('namespace = "named"'), config('namespace = "given"', "given.toml")
    assert load_settings({"BRIDGE_CONFIG": str(named)}).namespace == "named"
    assert load_settings({"BRIDGE_CONFIG": str(named)}, given).namespace == "given"
    assert problems_of({"BRIDGE_CONFIG": "/nonexistent.toml"}) == (
        "cannot read /nonexistent.toml: No such file or directory",
    )


def test_an_empty_variable_counts_as_not_set():
    """Compose cannot leave a variable out: ``X=`` is the default."""
    settings = load_settings({"BRIDGE_WORKER_LEASE": "", "BRIDGE_EDGE_JWT_SECRET": "", "BRIDGE_WHATEVER": ""})
    assert settings.worker.lease_s == 10
    assert not settings.edge.jwt_secrets


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("BRIDGE_REDIS_ULR", "BRIDGE_REDIS_URL"),
        ("BRIDGE_EDGE_JWT_SECERT_FILE", "BRIDGE_EDGE_JWT_SECRET"),
        ("BRIDGE_EDGE_LISTENN", "BRIDGE_EDGE_LISTEN"),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest(name, nearest):
    """A misspelt variable is an error that names what was probably meant."""
    assert problems_of({name: "1"}) == (f"{name} is not a setting; did you mean {nearest}?",)


def test_unknown_key_is_refused_with_the_nearest(config):
    """So is a misspelt key, with its table."""
    path = config("[redis]\nulr = 'x'\n[wroker]\nlease = 3\n")
    assert problems_of({}, path) == (
        f"{path}: [redis] ulr is not a setting; did you mean [redis] url?",
        f"{path}: [wroker] lease is not a setting; did you mean [worker] lease?",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRIDGE_SERVICE_HOST", "10.0.0.1"),
        ("BRIDGE_EDGE_SERVICE_HOST", "10.0.0.1"),
        ("BRIDGE_EDGE_SERVICE_PORT", "80"),
        ("BRIDGE_EDGE_SERVICE_PORT_HTTP", "80"),
        ("BRIDGE_EDGE_PORT", "tcp://10.0.0.1:80"),
        ("BRIDGE_EDGE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("BRIDGE_TEST_ANYTHING", "1"),
    ],
)
def test_injected_variables_are_passed_over(name, value):
    """What Kubernetes and Docker inject for services named like us, and our tests' own, is no setting."""
    assert load_settings({name: value}) is not None


def test_a_person_who_sets_a_port_is_told():
    """``BRIDGE_EDGE_PORT=8080`` was not injected: injected ports are URLs."""
    assert problems_of({"BRIDGE_EDGE_PORT": "8080"})[0].startswith("BRIDGE_EDGE_PORT is not a setting; did you mean")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("BRIDGE_NAMESPACE", "Exmail", "must look like"),
        ("BRIDGE_WORKER_LEASE", "10s", "must be a number from 1 to 300, not '10s'"),
        ("BRIDGE_WORKER_BACKLOG", "1.5", "must be a whole number"),
        ("BRIDGE_EDGE_LISTEN", "8080", "must be host:port"),
        ("BRIDGE_EDGE_LISTEN", "127.0.0.1:70000", "must be host:port"),
        ("BRIDGE_EDGE_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 is no address or network"),
        ("BRIDGE_EDGE_ALLOWED_ORIGINS", "*", "must name each origin"),
        ("BRIDGE_EDGE_ALLOWED_ORIGINS", "https://a.b/path", "is no origin"),
        ("BRIDGE_PROVIDER_API_URL", "ftp://a", "must be an http:// or https://"),
        ("BRIDGE_PRIVACY", "some", "must be one of full, subject, sender, count"),
        ("BRIDGE_DIRECTORY_FIELDS", "alias,phone", "phone is no field"),
        ("BRIDGE_DIRECTORY_FIELDS", "name", "must hold alias"),
        ("BRIDGE_EDGE_COOKIE", "a b", "must look like"),
        ("BRIDGE_LOG_LEVEL", "loud", "must be one of"),
        ("BRIDGE_REDIS_URL", "http://h", "must begin with redis://, rediss:// or unix://"),
        ("BRIDGE_REDIS_URL", "unix://run/x", "must name the socket by its whole path"),
        ("BRIDGE_REDIS_URL", "redis://h/0?password=hush", "use BRIDGE_REDIS_PASSWORD"),
        ("BRIDGE_EDGE_JWT_SECRET", "hush", "secret 1 has 4 bytes; HS256 needs 32 or more"),
        ("BRIDGE_EDGE_JWT_SECRET", f"{SECRET}\nbase64:hush!", "secret 2 begins with base64: but is not base64"),
        ("BRIDGE_EDGE_JWT_SECRET_FILE", "/nonexistent", "cannot read /nonexistent: No such file"),
        ("BRIDGE_REDIS_URL_FILE", "/x", "only secrets are read from files"),
    ],
)
def test_a_wrong_value_is_one_clear_line(name, value, why):
    """Each wrong value gives one line that begins with its variable and never shows a secret."""
    (problem,) = problems_of({name: value})
    assert problem.startswith(name)
    assert why in problem
    assert "hush" not in problem
    assert "\n" not in problem


def test_all_problems_are_told_at_once():
    """An operator mends everything in one go; the one line of an error counts the rest."""
    with pytest.raises(SettingsError, match=r"^BRIDGE_WORKER_LEASE: .* \(and 1 more: `config check` lists them\)$"):
        load_settings({"BRIDGE_WORKER_LEASE": "x", "BRIDGE_PRIVACY": "x"})


def test_unreadable_toml_is_one_line_with_its_place(config):
    """Broken TOML names file, line and column."""
    path = config("[redis\n")
    (problem,) = problems_of({}, path)
    assert problem.startswith(f"{path}: ")
    assert "line 1" in problem


def test_a_file_of_windows_is_read_as_any_other(tmp_path):
    """A byte order mark and its line ends are an editor's."""
    path = tmp_path / "bridge.toml"
    path.write_bytes(b'\xef\xbb\xbfnamespace = "corp"\r\n[worker]\r\nlease = 20\r\n')
    settings = load_settings({}, path)
    assert (settings.namespace, settings.worker.lease_s) == ("corp", 20)


def test_secret_file_is_read_again_at_each_call(tmp_path):
    """A secret in a file is a function: what an operator puts there later is what the next call gives."""
    file = tmp_path / "secret"
    file.write_text("first\n")
    settings = load_settings({"BRIDGE_PROVIDER_CLIENT_SECRET_FILE": str(file)})
    assert settings.provider.client_secret() == "first"
    file.write_text("second\r\n")
    assert settings.provider.client_secret() == "second"


@pytest.mark.parametrize(
    "spoil", [Path.unlink, lambda file: file.write_text(""), lambda file: file.write_bytes(b"\xff")]
)
def test_a_secret_file_that_goes_bad_keeps_the_last_good_value(tmp_path, caplog, spoil):
    """Unreadable, empty or no text: said once, then each minute while it lasts; the secret is in no line."""
    file = tmp_path / "secret"
    file.write_text("hush-1")
    now = [0.0]
    secret = Secret("BRIDGE_REDIS_PASSWORD", secret_text, file, clock=lambda: now[0])
    assert secret() == "hush-1"
    caplog.set_level("INFO")
    spoil(file)
    for seconds in (1, 30, 60, 61, 62, 120, 121):
        now[0] = seconds
        assert secret() == "hush-1"
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert all(record.error.startswith("BRIDGE_REDIS_PASSWORD") for record in caplog.records)
    file.write_text("hush-2")
    assert [secret(), secret()] == ["hush-2"] * 2
    assert caplog.messages[3:] == ["secret file can be used again"]
    assert "hush" not in caplog.text


def test_only_files_of_secrets_may_heal(tmp_path):
    """Where nothing else is wrong the error says so, of all of them; the settings' own text does not mend itself."""
    (tmp_path / "empty").touch()
    files = {
        "BRIDGE_REDIS_PASSWORD_FILE": str(tmp_path / "none"),
        "BRIDGE_EDGE_JWT_SECRET_FILE": str(tmp_path / "empty"),
    }
    with pytest.raises(SettingsFileError) as error:
        load_settings(files)
    assert len(error.value.problems) == 2
    for wrong in ({"BRIDGE_EDGE_JWKS_KEEP": "?"}, {"BRIDGE_PROVIDER_CLIENT_SECRET": "\n"}):
        with pytest.raises(SettingsError) as error:
            load_settings(files | wrong)
        assert not isinstance(error.value, SettingsFileError)
        assert len(error.value.problems) == 3


def test_secret_file_in_the_toml_is_beside_it(config, tmp_path):
    """``client_secret_file`` may be relative to the TOML file; setting both forms is refused."""
    (tmp_path / "secret").write_text("from-file")
    path = config("[provider]\nclient_secret_file = 'secret'\n")
    assert load_settings({}, path).provider.client_secret() == "from-file"
    assert load_settings({"BRIDGE_PROVIDER_CLIENT_SECRET": "env"}, path).provider.client_secret() == "env"
    lines = ["client_secret = 'a'", "client_secret_file = 'secret'"]
    for order in (lines, lines[::-1]):
        (problem,) = problems_of({}, config("\n".join(["[provider]", *order])))
        assert problem.endswith("set one of them")


def test_no_proxy_may_be_trusted():
    """An empty variable counts as not set, so there is a word for nobody."""
    assert load_settings({"BRIDGE_EDGE_TRUSTED_PROXIES": "none"}).edge.trusted_proxies == ()
    assert len(problems_of({"BRIDGE_EDGE_TRUSTED_PROXIES": "none, loopback"})) == 1


def test_jwt_secrets_are_one_a_line():
    """Several secrets verify; ``base64:`` gives bytes; the text's own UTF-8 counts otherwise."""
    raw = bytes(range(32))
    encoded = base64.b64encode(raw).decode()
    settings = load_settings({"BRIDGE_EDGE_JWT_SECRET": f"{SECRET}\n\n  base64:{encoded}\r\n" + "密" * 11})
    assert settings.edge.jwt_secrets() == (SECRET.encode(), raw, ("密" * 11).encode())


def test_no_secret_in_repr_or_show():
    """Neither ``repr`` nor ``config show`` holds a secret, one within the Redis URL included."""
    settings = load_settings(
        {
            "BRIDGE_REDIS_URL": "redis://user:p%40ss-hush@h:6380/2",
            "BRIDGE_PROVIDER_CLIENT_SECRET": "client-hush",
            "BRIDGE_EDGE_JWT_SECRET": f"{SECRET}-hush",
        }
    )
    assert "hush" not in repr(settings) + show(settings)
    assert (settings.redis.url, settings.redis.username) == ("redis://h:6380/2", "user")
    assert settings.redis.password() == "p@ss-hush"


def test_explicit_password_wins_over_the_one_in_the_url():
    """``BRIDGE_REDIS_PASSWORD`` beside a URL with a password is the one that counts."""
    settings = load_settings({"BRIDGE_REDIS_URL": "redis://:old@h", "BRIDGE_REDIS_PASSWORD": "new"})
    assert settings.redis.password() == "new"


def test_an_unset_secret_is_false_and_says_so_when_called():
    """Rooms may hold a secret that is not there; using it is an error that names the variable."""
    secret = load_settings({}).provider.client_secret
    assert not secret
    with pytest.raises(SettingsError, match="BRIDGE_PROVIDER_CLIENT_SECRET is not set"):
        secret()


def test_worker_needs_the_client():
    """``worker`` names everything it lacks at once."""
    with pytest.raises(SettingsError) as refused:
        require_for(load_settings({}), "worker")
    assert [problem.split()[0] for problem in refused.value.problems] == [
        "BRIDGE_PROVIDER_CLIENT_ID",
        "BRIDGE_PROVIDER_CLIENT_SECRET",
    ]
    require_for(load_settings({"BRIDGE_PROVIDER_CLIENT_ID": "a", "BRIDGE_PROVIDER_CLIENT_SECRET": "b"}), "worker")


def test_edge_needs_exactly_one_way_to_verify():
    """Neither or both of JWT secret and JWKS: the edge does not start."""
    both = {"BRIDGE_EDGE_JWT_SECRET": SECRET, "BRIDGE_EDGE_JWKS_URL": "https://oa.corp.com/jwks"}
    for environ, how in (({}, "neither is set"), (both, "both are set")):
        with pytest.raises(SettingsError, match=how):
            require_for(load_settings(environ), "edge")
    for name, value in both.items():
        require_for(load_settings({name: value}), "edge")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[::1]:0", Address("::1", 0)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("edge.lan:8080", Address("edge.lan", 8080)),
    ],
)
def test_addresses_read_back_as_written(text, address):
    """Host and port are split, IPv6 brackets dropped, and ``str`` gives the text again."""
    listen = load_settings({"BRIDGE_EDGE_LISTEN": text}).edge.listen
    assert listen == address
    assert str(listen) == text


def test_origins_are_compared_as_browsers_write_them():
    """Case and default ports do not make an origin another one."""
    origins = load_settings(
        {"BRIDGE_EDGE_ALLOWED_ORIGINS": "https://OA.corp.com:443/, http://a:8080"}
    ).edge.allowed_origins
    assert origins == ("https://oa.corp.com", "http://a:8080")

/*
 * The tab's end of what all tabs of a browser share: a link whose frames the worker sends, which has the connection.
 * Where that cannot be (no SharedWorker, another origin, a policy, a worker that does not answer or is of another
 * release), the tab is told to connect apart.
 */

const GREETING_DUE_MS = 8000;

/* Makes links to the worker; null where this connection is one of its own. */
function sharer(settings, base) {
  const ours = base.slice(0, base.indexOf('/', 8)) === `${location.protocol}//${location.host}`;
  // A page with tickets says whose they are, or nobody knows whether two of them are one person's.
  const known = settings.ticket ? settings.session : true;
  if (settings.shared === false || !ours || !known || typeof SharedWorker !== 'function') return null;
  return (after, calls) => sharedLink(settings, base, after, calls);
}

let policy = null;

/* Where a page's policy wants the addresses of scripts vouched for, this one is. */
function trusted(url) {
  if (!policy && window.trustedTypes) {
    policy = trustedTypes.createPolicy('exmail-bridge', { createScriptURL: (each) => each });
  }
  return policy ? policy.createScriptURL(url) : url;
}

function sharedLink(settings, base, after, calls) {
  const worker = new SharedWorker(trusted(`${base}client.worker.js?v=${VERSION}`), `exmail-bridge ${base} ${VERSION}`);
  const port = worker.port;
  const due = setTimeout(calls.apart, GREETING_DUE_MS, 'now');
  const close = () => {
    clearTimeout(due);
    worker.onerror = port.onmessage = null;
    port.postMessage({ leave: true });
    port.close();
  };

  async function answer(want, to) {
    try {
      const got = await settings[want]();
      port.postMessage({ to, got: typeof got === 'string' ? got : null });
    } catch (error) {
      const { status, message, statusText } = error || {};
      port.postMessage({ to, refused: { status, message: String(message || statusText || status || error) } });
    }
  }

  worker.onerror = () => calls.apart('ever');
  port.onmessage = ({ data }) => {
    calls.heard();
    if (data.hello) {
      clearTimeout(due);
      if (data.hello !== PROTOCOL) calls.apart('ever');
    } else if (data.ping) port.postMessage({ alive: true });
    else if (data.frame) calls.frame(data.frame);
    else if (data.state) calls.state(data.state, data.detail);
    else if (data.nobody) calls.nobody();
    else if (data.announce) {
      port.postMessage({ announced: data.announce.id });
      calls.announce(data.announce);
    }
    else if (data.apart) calls.apart('now');
    else if (data.ended) calls.ended(data.ended.code, data.ended.reason);
    else if (data.want) answer(data.want, data.question);
  };
  const { mailbox, transport, session } = settings;
  const whose = settings.ticket ? session : null;
  const can = { refreshes: !!settings.refresh, notifies: !!settings.notify };
  port.postMessage({ open: Object.assign({ base, mailbox, transport, session: whose, after }, can) });
  return { close, say: (what) => port.postMessage({ [what]: true }) };
}

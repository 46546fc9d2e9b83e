/* What a tab and the worker both need of the edge's protocol: codes, places in the stream, clocks, and one connection. */

const BACK_OFF_FIRST_MS = 500;
const BACK_OFF_LIMIT_MS = 30000;
const CREDENTIAL_LIMIT_MS = 600000; // somebody must sign in first
const HINT_LIMIT_MS = 3600000;
const STEADY_MS = 30000; // a connection that lasted so long was a good one
const ANSWER_DUE_MS = 20000; // a ticket; then handshake; then the first frame
const ANSWER_DUE_LIMIT_MS = 160000; // a slow line may need longer, and does not say so
const SILENCE_MS = 60000; // two heartbeats and their delay
const PING_MS = 10000; // what the worker lets each tab hear, and a tab answers
const PING_SILENCE_MS = 35000; // a worker that is not heard for so long was ended
const STALE_MS = 30000; // a page that comes to the front does not wait for the second one
const LOOK_MS = 5000;
const ERROR_ALONE_MS = 100;
const RENEW_LIMIT_MS = 43200000; // a timer that is to run for weeks overflows
const RENEW_AGAIN_MS = 30000;
const POSITIONS_MOST = 41; // twice the mailboxes of a token: those of another time are the first ones
const PROTOCOL = 3; // of tab and worker: a page of another release may have started the one that is found

const LOST = 1006; // the code that browsers give to a connection that just ended
const EXPIRED = 3005;
const NO_CREDENTIAL = 3009;
const BUSY = 3013;
const INVALID_TOKEN = 3500;
const KICKED = 3503;

const ALL = '*'; // every mailbox of a token

function staysClosed(code) {
  return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
}

function wantsCredential(code) {
  return code === NO_CREDENTIAL || code === EXPIRED || code === INVALID_TOKEN;
}

/* A place in the stream, '<epoch>-<seq>'; null where it does not look like that: then it is only kept. */
function place(position) {
  const parts = /^([a-z0-9]+)-([0-9]+)$/.exec(position || '');
  return parts && { epoch: parts[1], seq: Number(parts[2]) };
}

/* How many events lie from one position, or the one of several that has its epoch, to the next; null where none has. */
function distance(from, to) {
  const next = place(to);
  const last = next && new RegExp(`(?:^|,)${next.epoch}-([0-9]+)(?:,|$)`).exec(from || '');
  return last ? next.seq - Number(last[1]) : null;
}

/* Positions of several mailboxes, with the next one of a mailbox in the place of its last. */
function advanced(positions, last, next) {
  const parts = (positions || '').split(',');
  let kept = '';
  for (let index = Math.max(0, parts.length - POSITIONS_MOST); index < parts.length; index += 1) {
    const each = parts[index];
    if (each && distance(last, each) === null && distance(next, each) === null) kept += `${each},`;
  }
  return kept + next;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    return null;
  }
}

/* The address of something of the edge; what is empty is left out. */
function addressOf(base, path, names) {
  let url = base + path;
  let mark = '?';
  for (const name in names) {
    if (!names[name] || !Object.prototype.hasOwnProperty.call(names, name)) continue;
    url += `${mark}${name}=${encodeURIComponent(names[name])}`;
    mark = '&';
  }
  return url;
}

/* Milliseconds that have passed, by the larger step of two clocks: one can be set back, one may stand still in sleep. */
function stopwatch() {
  // Not by `performance` where there is a page: it may be a variable of the page's.
  const steady = typeof document === 'undefined' ? () => performance.now() : () => document.createEvent('Event').timeStamp;
  const read = () => ({ wall: Date.now(), steady: steady() });
  let last = read();
  let passed = 0;
  return () => {
    const now = read();
    passed += Math.max(0, now.wall - last.wall || 0, now.steady - last.steady || 0);
    last = now;
    return passed;
  };
}

const BrowsersPromise = (async () => undefined)().constructor;

function within(ms, promise, otherwise) {
  return new BrowsersPromise((resolve, reject) => {
    setTimeout(() => reject(new Error(otherwise)), ms);
    promise.then(resolve, reject);
  });
}

let permission = ''; // what the browser said of this page and private networks

/*
 * Why there is no connection, with what else can be known: Chromium lets the page of a public address reach a bridge of a
 * private one by permission only, and what it has refused looks like what is not there.
 */
function because(reason, url) {
  return permission && url.split('/')[2] !== location.host ? `${reason}, local-network ${permission}` : reason;
}

async function lookAtPermission() {
  try {
    permission = (await navigator.permissions.query({ name: 'local-network' })).state;
  } catch (error) {
    /* no browser that has such a permission */
  }
}

/* A link is one connection. It calls frame(text) and, once, ended(code, reason); nothing after close(). */
function webSocketLink(url, { opened, frame, ended }) {
  lookAtPermission();
  const socket = new WebSocket(url.replace(/^http/, 'ws'));
  let timer = 0;
  let reason = 'never opened';
  socket.onopen = () => {
    reason = '';
    if (opened) opened();
  };
  socket.onmessage = (message) => frame(message.data);
  socket.onclose = (close) => ended(close.code, close.reason || (reason && because(reason, url)));
  socket.onerror = () => {
    // A socket that the page's Content-Security-Policy forbids has no close in Chromium.
    timer = setTimeout(ended, ERROR_ALONE_MS, LOST, 'refused by the browser');
  };
  return {
    close() {
      clearTimeout(timer);
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    },
  };
}

function eventSourceLink(url, { opened, frame, ended }, withCredentials) {
  lookAtPermission();
  const source = new EventSource(url, { withCredentials });
  const close = () => {
    source.onopen = source.onmessage = source.onerror = null;
    source.close();
  };
  source.onopen = opened;
  source.onmessage = (message) => frame(message.data);
  source.onerror = () => {
    // Its own reconnect would repeat a spent ticket, and never comes after an answer other than 200.
    close();
    ended(LOST, because('event stream ended', url));
  };
  return { close };
}

/*
 * Exmail bridge, browser client: one connection, nothing missed over reconnects, the unread badge.
 *
 *   const mail = ExmailBridge.connect({ title: true, badge: '#unread' });
 *   mail.on('mail', (data) => toast(data.sender, data.mail_subject));   // foreign text: use textContent
 *
 * Its manual is docs/client.md. No build, no dependency; needs a browser of 2018 or later; works on plain http.
 * It believes no page: Map, Set, URL, Promise, performance and Array.from may be the page's own, arrays may have other
 * methods, the clock may be set, elements may come and go.
 */
(function () {
  'use strict';

  const BACK_OFF_FIRST_MS = 500;
  const BACK_OFF_LIMIT_MS = 30000;
  const CREDENTIAL_LIMIT_MS = 600000; // somebody must sign in first
  const HINT_LIMIT_MS = 3600000;
  const STEADY_MS = 30000; // a connection that lasted so long was a good one
  const ANSWER_DUE_MS = 20000; // a ticket; then handshake; then the first frame
  const ANSWER_DUE_LIMIT_MS = 160000; // a slow line may need longer, and does not say so
  const SILENCE_MS = 60000; // two heartbeats and their delay
  const STALE_MS = 30000; // a page that comes to the front does not wait for the second one
  const LOOK_MS = 5000;
  const ERROR_ALONE_MS = 100;
  const BLOCKED_TRIES = 2;
  const BLOCKED_TRIES_AFTER_SUCCESS = 6; // WebSocket worked here before: it is rather the edge that is away
  const BESIDE_FIRST_MS = 30000;
  const BESIDE_LIMIT_MS = 1800000;
  const MOST_PREFIXES = 100;

  const LOST = 1006; // the code that browsers give to a connection that just ended
  const EXPIRED = 3005;
  const NO_CREDENTIAL = 3009;
  const BUSY = 3013;
  const INVALID_TOKEN = 3500;
  const KICKED = 3503;

  const NAMES = ['mail', 'unread', 'missed', 'snapshot', 'upstream', 'event', 'heartbeat', 'state'];
  const TRANSPORTS = ['auto', 'websocket', 'sse'];
  const HERE = document.currentScript && document.currentScript.src;
  const BrowsersPromise = (async () => undefined)().constructor;
  const pageTitle = (window.ExmailBridge && window.ExmailBridge.pageTitle) || countedTitle(); // loaded twice: one title
  const inUse = []; // what the open connections of this page keep in sessionStorage, and how each is ended

  function staysClosed(code) {
    return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
  }

  function wantsCredential(code) {
    return code === NO_CREDENTIAL || code === EXPIRED || code === INVALID_TOKEN;
  }

  /* Absolute, with a slash at the end. By a link, because `URL` may be a variable of the page. */
  function baseUrl(url) {
    const ours = /\/client\.js([?#]|$)/.test(HERE || '');
    const link = document.createElement('a');
    link.href = url || (HERE || '/').replace(/[?#].*$/, '').replace(/[^/]*$/, '');
    if (!/^https?:$/.test(link.protocol)) throw new TypeError(`ExmailBridge: url is no address of an edge: ${url}`);
    const base = link.href.replace(/[?#].*$/, '').replace(/\/?$/, '/');
    if (!url && !ours) console.warn(`ExmailBridge: in a bundle or a module the option url is needed; taken is ${base}`);
    return base;
  }

  /* A place in the stream, '<epoch>-<seq>'; null where it does not look like that: then it is only kept. */
  function place(position) {
    const parts = /^([a-z0-9]+)-([0-9]+)$/.exec(position || '');
    return parts && { epoch: parts[1], seq: Number(parts[2]) };
  }

  /* How many events lie from one position to the next; null where they cannot be compared. */
  function distance(from, to) {
    const [last, next] = [place(from), place(to)];
    return last && next && last.epoch === next.epoch ? next.seq - last.seq : null;
  }

  /* Milliseconds that have passed, by the larger step of two clocks: one can be set back, one may stand still in sleep. */
  function stopwatch() {
    const read = () => ({ wall: Date.now(), steady: document.createEvent('Event').timeStamp });
    let last = read();
    let passed = 0;
    return () => {
      const now = read();
      passed += Math.max(0, now.wall - last.wall || 0, now.steady - last.steady || 0);
      last = now;
      return passed;
    };
  }

  /* A link is one connection. It calls frame(text) and, once, ended(code, reason); nothing after close(). */
  function webSocketLink(url, { opened, frame, ended }) {
    const socket = new WebSocket(url.replace(/^http/, 'ws'));
    let timer = 0;
    socket.onopen = opened;
    socket.onmessage = (message) => frame(message.data);
    socket.onclose = (close) => ended(close.code, close.reason);
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
      ended(LOST, 'event stream ended');
    };
    return { close };
  }

  /* Which frame of which frame of the tab this is; '' for the top page. sessionStorage is one for all of them. */
  function framePath() {
    let path = '';
    for (let frame = window, depth = 0; frame && frame !== window.top && depth < 9; depth += 1) {
      const outer = frame.parent || {}; // a variable of the page, perhaps
      let index = 0;
      while (index < outer.length && outer[index] !== frame) index += 1;
      path = `/${index}${path}`;
      frame = outer;
    }
    return path;
  }

  function memory(storage, base, mailbox) {
    let key = storage === true ? `exmail-bridge ${base} ${mailbox || ''}` : storage;
    if (key) key += framePath();
    for (let index = 0; key && index < inUse.length; index += 1) {
      if (inUse[index].key !== key) continue;
      key += '+'; // another connection of this page keeps its own there
      index = -1;
    }
    const attempted = (act) => {
      try {
        return key ? act(window.sessionStorage) : null;
      } catch (error) {
        return null; // refused by the browser's settings, or full: then the next page just begins anew
      }
    };
    return {
      key,
      read: () => attempted((kept) => kept.getItem(key)),
      write: (position) => attempted((kept) => (position ? kept.setItem(key, position) : kept.removeItem(key))),
    };
  }

  /* The counts of all connections of a page before its title: "(3) Inbox". */
  function countedTitle() {
    const counts = []; // one a connection: {mailbox, count}
    const ours = []; // prefixes that were written: a script may save the title and write it back later
    let written = null;
    let bare = '';

    function total() {
      const byMailbox = Object.create(null); // two connections of one mailbox are one count
      let sum = 0;
      for (let index = 0; index < counts.length; index += 1) byMailbox[counts[index].mailbox] = counts[index].count;
      for (const mailbox in byMailbox) sum += byMailbox[mailbox];
      return sum;
    }

    function stripped(title) {
      for (let index = 0; index < ours.length; index += 1) {
        if (title === ours[index]) return '';
        if (title.slice(0, ours[index].length + 1) === `${ours[index]} `) return title.slice(ours[index].length + 1);
      }
      return title;
    }

    return function show(connection, mailbox, count) {
      for (let index = counts.length - 1; index >= 0; index -= 1) {
        if (counts[index].connection === connection) counts.splice(index, 1);
      }
      if (count > 0) counts.push({ connection, mailbox, count });
      const sum = total();
      if (!sum && !ours.length) return;
      if (document.title !== written) bare = stripped(document.title);
      const prefix = sum ? `(${sum})` : '';
      if (prefix && ours.indexOf(prefix) < 0) ours.push(prefix);
      if (ours.length > MOST_PREFIXES) ours.shift();
      const wanted = prefix && bare ? `${prefix} ${bare}` : prefix || bare;
      if (document.title !== wanted) document.title = wanted;
      written = document.title;
    };
  }

  function within(ms, promise, otherwise) {
    return new BrowsersPromise((resolve, reject) => {
      setTimeout(() => reject(new Error(otherwise)), ms);
      promise.then(resolve, reject);
    });
  }

  function checked(options) {
    const settings = Object.assign({}, options);
    settings.transport = settings.transport || 'auto';
    if (TRANSPORTS.indexOf(settings.transport) < 0) {
      throw new TypeError(`ExmailBridge: there is no transport ${settings.transport}`);
    }
    if (settings.ticket != null && typeof settings.ticket !== 'function') {
      throw new TypeError('ExmailBridge: ticket is a function that gets one');
    }
    const target = settings.badge;
    if (typeof target === 'string') document.querySelector(target); // says now what is wrong with it
    else if (target != null && target.nodeType !== 1) throw new TypeError('ExmailBridge: badge is an element or a selector');
    return settings;
  }

  function connect(options) {
    const settings = checked(options);
    const base = baseUrl(settings.url);
    const stored = memory(settings.storage, base, settings.mailbox);
    const handlers = Object.create(null);
    for (let index = 0; index < NAMES.length; index += 1) handlers[NAMES[index]] = [];
    const clock = stopwatch();
    const connection = { key: stored.key, base, leave };

    let state = 'connecting';
    let position = settings.after || stored.read();
    let unread = null;
    let asOf = null;
    let mailbox = null;
    let upstream = null;

    let link = null;
    let attempt = 0; // numbers the connections: what an older one still says is not heard
    let transport = null;
    let spoke = false; // this connection has brought a frame
    let openedAt = null; // this connection has brought its snapshot then
    let heardAt = 0;
    let answerDueMs = ANSWER_DUE_MS;
    let failures = 0; // since a connection was a good one
    let blocked = 0; // WebSockets in a row that never brought a frame, whoever stands in the way
    let webSocketWorked = false;
    let beside = null; // a WebSocket that is tried while an event stream serves
    let besideMs = BESIDE_FIRST_MS;
    let besideAt = 0; // by our clock, over however many streams; 0: none was planned yet
    let besideTimer = 0;
    let notBefore = 0; // the edge asked for patience until then
    let timer = 0;
    let watchdog = 0;
    let repaired = null;

    /* Calls the handlers; not those of a state that is past, and after close() none. */
    function emit(name, ...values) {
      const calls = handlers[name].slice();
      for (let index = 0; index < calls.length; index += 1) {
        if (name === 'state' ? values[0] !== state : state === 'closed') return;
        try {
          if (calls[index].on) calls[index].handler(...values);
        } catch (error) {
          setTimeout(() => {
            throw error;
          });
        }
      }
    }

    function become(next, detail) {
      state = next;
      emit('state', next, Object.assign({ transport }, detail));
    }

    function show() {
      const count = state === 'closed' ? null : unread;
      if (settings.title) pageTitle(connection, `${base} ${mailbox}`, count);
      const element = typeof settings.badge === 'string' ? document.querySelector(settings.badge) : settings.badge;
      const text = count > 0 ? String(count) : '';
      if (element && element.textContent !== text) element.textContent = text;
    }

    // -- one connection after another

    function triesBeforeSse() {
      return webSocketWorked ? BLOCKED_TRIES_AFTER_SUCCESS : BLOCKED_TRIES;
    }

    function choose() {
      if (settings.transport !== 'auto') return settings.transport;
      return window.WebSocket && blocked < triesBeforeSse() ? 'websocket' : 'sse';
    }

    /* The same function, for as long as nothing else was begun, or ended: by a handler, perhaps. */
    function current(act) {
      const mine = attempt;
      return (...values) => (mine === attempt ? act(...values) : undefined);
    }

    function drop() {
      clearTimeout(timer);
      clearTimeout(besideTimer);
      attempt += 1;
      if (link) link.close();
      if (beside) beside.close();
      link = beside = null;
    }

    function begin() {
      drop();
      spoke = false;
      openedAt = null;
      heardAt = clock();
      transport = choose();
      const dialAfter = current((ticket) => dial(ticket));
      const withoutTicket = current((error) => {
        const nobody = error && (error.status === 401 || error.status === 403);
        const why = (error && (error.message || error.statusText || error.status)) || error;
        lost(nobody ? NO_CREDENTIAL : 0, `no ticket: ${why}`);
      });
      const go = current(() => askTicket().then(dialAfter, withoutTicket));
      become('connecting');
      go();
    }

    async function askTicket() {
      if (!settings.ticket) return null;
      const ticket = await settings.ticket();
      // Without a ticket the browser's cookie would decide, and it may be another person's.
      if (typeof ticket !== 'string' || !ticket.trim()) throw Object.assign(new Error('it is no text'), { status: 401 });
      return ticket.trim();
    }

    /* The address of something of this mailbox; what is empty is left out. */
    function address(path, names) {
      let url = base + path;
      let mark = '?';
      for (const name in Object.assign(names, { mailbox: settings.mailbox })) {
        if (!names[name] || !Object.prototype.hasOwnProperty.call(names, name)) continue;
        url += `${mark}${name}=${encodeURIComponent(names[name])}`;
        mark = '&';
      }
      return url;
    }

    function linkTo(kind, ticket, calls) {
      const url = address(kind === 'sse' ? 'events' : 'ws', { after: position, ticket });
      return kind === 'sse' ? eventSourceLink(url, calls, !ticket) : webSocketLink(url, calls);
    }

    function dial(ticket) {
      heardAt = clock();
      const opened = current(() => {
        heardAt = clock();
      });
      try {
        link = linkTo(transport, ticket, { opened, frame: current(receive), ended: current(lost) });
      } catch (error) {
        link = { close() {} };
        lost(LOST, error.message);
      }
    }

    function lost(code, reason, retryMs) {
      const dialled = link !== null;
      drop();
      if (openedAt !== null && clock() - openedAt > STEADY_MS) {
        failures = 0;
        if (transport === 'websocket') {
          besideMs = BESIDE_FIRST_MS;
          besideAt = 0;
        }
      }
      const waitAndReturn = current(() => comeBack(code, reason, retryMs, dialled));
      const end = current(() => finish(code, reason));
      // With a fresh ticket even an invalid token may be a good one.
      const ends = staysClosed(code) && !(code === INVALID_TOKEN && settings.ticket);
      if (ends || (wantsCredential(code) && (openedAt === null || code === NO_CREDENTIAL))) knowNothing();
      if (ends) end();
      else waitAndReturn();
    }

    function comeBack(code, reason, retryMs, dialled) {
      // A proxy may say "busy" in the edge's place, and that is no reason against WebSocket.
      if (transport === 'sse' && openedAt === null && (!spoke || code === BUSY)) blocked = triesBeforeSse() - 1;
      if (transport === 'websocket' && dialled && !spoke && code < 3000) blocked += 1;
      const limit = wantsCredential(code) ? CREDENTIAL_LIMIT_MS : BACK_OFF_LIMIT_MS;
      // Who has no credential is asked to wait for one; a ticket is there in a moment.
      const asked = settings.ticket && wantsCredential(code) ? 0 : Math.min(Number(retryMs) || 0, HINT_LIMIT_MS);
      const delay = Math.max(asked, Math.random() * Math.min(limit, BACK_OFF_FIRST_MS * 2 ** failures));
      failures += 1;
      notBefore = clock() + asked;
      timer = setTimeout(begin, delay);
      become('waiting', { code, reason, retry_ms: Math.round(delay) });
    }

    function look() {
      const silentMs = clock() - heardAt;
      if (state === 'connecting' && silentMs > answerDueMs) {
        if (link) answerDueMs = Math.min(answerDueMs * 2, ANSWER_DUE_LIMIT_MS);
        lost(LOST, 'no answer');
      } else if (state === 'open' && silentMs > SILENCE_MS) lost(LOST, 'silence');
    }

    /* While an event stream serves, dial a WebSocket beside it now and then: with its snapshot it takes over. */
    function lookForWebSocket() {
      if (settings.transport !== 'auto' || transport !== 'sse' || !window.WebSocket) return;
      besideAt = besideAt || clock() + besideMs;
      besideTimer = setTimeout(current(dialBeside), Math.max(0, besideAt - clock()));
    }

    function dialBeside() {
      besideMs = Math.min(besideMs * 2, BESIDE_LIMIT_MS);
      besideAt = clock() + besideMs;
      let trying = true;
      const giveUp = current(() => {
        if (!trying) return;
        trying = false;
        clearTimeout(besideTimer);
        if (beside) beside.close();
        beside = null;
        lookForWebSocket();
      });
      const frame = current((text) => {
        if (trying && (parsed(text) || {}).type !== 'exmail.snapshot') {
          giveUp();
          return;
        }
        if (trying) takeOver();
        trying = false;
        receive(text);
      });
      const ended = current((code, reason) => (trying ? giveUp() : lost(code, reason)));
      const dialled = current((ticket) => {
        if (trying) beside = linkTo('websocket', ticket, { opened: null, frame, ended });
      });
      besideTimer = setTimeout(giveUp, answerDueMs);
      askTicket().then(dialled).catch(giveUp);
    }

    function takeOver() {
      clearTimeout(besideTimer);
      link.close();
      link = beside;
      beside = null;
      transport = 'websocket';
      openedAt = null;
    }

    // -- what the page goes through

    function comeSoon() {
      drop();
      timer = setTimeout(begin, Math.max(0, notBefore - clock()));
    }

    function seen() {
      if (document.visibilityState !== 'visible') return;
      if (state === 'waiting' || (state === 'open' && clock() - heardAt > STALE_MS)) comeSoon();
    }

    function left() {
      // An open connection keeps a page out of the browser's back/forward cache.
      drop();
      become('waiting', { reason: 'page left' });
    }

    function returned(event) {
      if (!event.persisted) return;
      position = stored.read() || position; // what another page of this tab has announced meanwhile is announced
      comeSoon();
    }

    function start() {
      inUse.push(connection);
      document.addEventListener('visibilitychange', seen);
      window.addEventListener('online', comeSoon);
      window.addEventListener('pagehide', left);
      window.addEventListener('pageshow', returned);
      watchdog = setInterval(look, LOOK_MS);
    }

    function finish(code, reason) {
      drop();
      if (code === KICKED) forget();
      if (state === 'closed') return;
      inUse.splice(inUse.indexOf(connection), 1);
      document.removeEventListener('visibilitychange', seen);
      window.removeEventListener('online', comeSoon);
      window.removeEventListener('pagehide', left);
      window.removeEventListener('pageshow', returned);
      clearInterval(watchdog);
      state = 'closed';
      show();
      become('closed', { code, reason });
    }

    /* Nobody is proved to sit here: there is no count. */
    function knowNothing() {
      asOf = null;
      if (unread === null) return;
      unread = null;
      show();
      emit('unread', null);
    }

    function forget() {
      keep(null);
      knowNothing();
      mailbox = null;
    }

    // -- a person signs out

    function leave() {
      forget();
      finish(1000, 'signed out');
    }

    async function logout() {
      const answer = settings.ticket ? null : post('logout');
      leave();
      for (let index = inUse.length - 1; index >= 0; index -= 1) {
        if (inUse[index] && inUse[index].base === base) inUse[index].leave();
      }
      return answer !== null && answer;
    }

    async function post(path) {
      try {
        // Goes on when the page is left.
        const options = { method: 'POST', credentials: 'include', keepalive: true };
        const answer = await within(ANSWER_DUE_MS, window.fetch(base + path, options), 'no answer');
        return answer.status === 204;
      } catch (error) {
        return false;
      }
    }

    // -- a mail in the provider's web mail

    async function open(mailId) {
      // Opened empty and at once: after an await it would be a popup that nobody asked for. Not with 'noopener':
      // that gives no window back. What it shows must not reach this page all the same.
      const opened = window.open('', '_blank');
      if (!opened) return false;
      opened.opener = null;
      try {
        const ticket = await within(ANSWER_DUE_MS, askTicket(), 'no ticket in time');
        const mailid = typeof mailId === 'string' ? mailId : ''; // `onclick = mail.open` brings the click
        opened.location.replace(address('mail/open', { mailid, ticket }));
      } catch (error) {
        opened.close();
        throw error;
      }
      return true;
    }

    // -- frames

    function parsed(text) {
      try {
        return JSON.parse(text);
      } catch (error) {
        return null;
      }
    }

    function receive(text) {
      const frame = parsed(text);
      if (!frame || typeof frame !== 'object') return; // not ours
      const data = frame.data || {};
      spoke = true;
      heardAt = clock();
      if (transport === 'websocket') {
        webSocketWorked = true;
        blocked = 0;
      }
      if (frame.specversion) takeEvent(frame, data);
      else if (frame.type === 'exmail.snapshot') takeSnapshot(data);
      else if (frame.type === 'exmail.upstream') takeUpstream(data);
      else if (frame.type === 'exmail.heartbeat') takeHeartbeat();
      else if (frame.type === 'exmail.closing') lost(data.code, data.reason, data.retry_ms);
    }

    function takeSnapshot(data) {
      // The cookie names somebody else now. Nothing of the one stays beside anything of the other.
      const another = mailbox !== null && data.mailbox !== mailbox;
      const goOn = current(another && data.resumed ? begin : openWith);
      if (another) forget();
      goOn(data);
    }

    function openWith(data) {
      mailbox = data.mailbox;
      // One that takes over continues from where it was dialled, and the stream beside it went on meanwhile.
      if (!data.resumed || !(distance(position, data.position) < 0)) keep(data.position);
      notBefore = 0;
      if (openedAt === null) {
        openedAt = clock();
        become('open');
        if (state === 'open') lookForWebSocket();
      }
      emit('snapshot', data);
      takeUpstream(data.upstream);
      takeCount(data.unread, data.as_of, !data.resumed);
      show();
    }

    function takeUpstream(data) {
      upstream = data;
      emit('upstream', data);
    }

    function takeHeartbeat() {
      show(); // the page may have a new title, or another badge
      emit('heartbeat');
    }

    function takeEvent(event, data) {
      const step = distance(position, event.id);
      if (step !== null && step <= 0) return;
      if (step > 1 && repaired !== position) {
        // The edge promises that this cannot be; should it be, asking once more is better than missing a mail.
        repaired = position;
        begin();
        return;
      }
      keep(event.id);
      emit('event', event);
      if (event.type === 'exmail.mail.new') emit('mail', data, event);
      else if (event.type === 'exmail.mail.missed') emit('missed', data, event);
      if (data.as_of != null && data.unread != null) takeCount(data.unread, data.as_of, false);
    }

    function keep(next) {
      position = next;
      stored.write(next);
    }

    /* A count knows how old it is, and what is older never replaces what is newer; a new beginning does. */
    function takeCount(count, stamp, anew) {
      if (!anew && asOf !== null && (stamp === null || stamp < asOf)) return;
      asOf = stamp;
      if (count === unread) return;
      unread = count;
      show();
      emit('unread', unread);
    }

    start();
    timer = setTimeout(begin, 0); // after the caller has put his handlers on

    return {
      get unread() {
        return unread;
      },
      get position() {
        return position;
      },
      get state() {
        return state;
      },
      get transport() {
        return transport;
      },
      get mailbox() {
        return mailbox;
      },
      get upstream() {
        return upstream;
      },
      on(name, handler) {
        if (!handlers[name]) throw new TypeError(`ExmailBridge: there is no event ${name}; ${NAMES.join(', ')}`);
        if (typeof handler !== 'function') throw new TypeError(`ExmailBridge: the handler of ${name} is no function`);
        const call = { handler, on: true };
        handlers[name].push(call);
        return () => {
          if (call.on) handlers[name].splice(handlers[name].indexOf(call), 1);
          call.on = false;
        };
      },
      open,
      logout,
      reconnect() {
        if (state === 'closed') {
          start();
          state = 'connecting';
          show();
        }
        begin();
      },
      close() {
        finish(1000, 'closed by the page');
      },
    };
  }

  window.ExmailBridge = { connect, pageTitle };
})();

/*
 * Exmail bridge, browser client: one connection, nothing missed over reconnects, the unread badge.
 *
 *   <script src="https://oa.corp.com/exmail/client.js"></script>
 *   <script>
 *     const mail = ExmailBridge.connect({ title: true, badge: '#unread' });
 *     mail.on('mail', (data) => toast(data.sender, data.mail_subject));   // hostile text: use textContent
 *   </script>
 *
 * ExmailBridge.connect(options) returns a mail object. All options may be left out:
 *   url        base URL of the edge; default: where this script was loaded from
 *   transport  'auto' (WebSocket, and SSE where WebSocket never gets through), 'websocket' or 'sse'
 *   ticket     async () => text: a fresh one-time ticket (POST /ticket), asked for before every connection and every
 *              mail.open; without it the browser's cookie decides
 *   mailbox    one of the token's mailboxes; default: its first
 *   title      true: the unread count stands before the page's title, "(3) Inbox"
 *   badge      element or selector whose text becomes the count; empty when nothing is unread
 *   after      position to continue from, e.g. the one of GET /history that the page was rendered with
 *   storage    true, or a key: keep the position in sessionStorage, so that the next page in this tab is told what
 *              came while it loaded. Off by default: a page that continues gets no `recent` mails in its snapshot
 *
 * mail.on(name, handler) returns a function that takes the handler away again. A handler that throws harms nobody else.
 *   'mail'      (data, event)    a new mail; data: mailbox, mail_id, sender, mail_subject, summary, unread, as_of
 *   'unread'    (count or null)  the count changed; null: not known yet
 *   'missed'    (data, event)    mails that can never be announced: at_least so many, between since and until (epoch ms)
 *   'snapshot'  (data)           each connection begins with one. resumed true: what was missed follows as events;
 *                                false: throw away what you have, `recent` holds the newest mails, oldest first
 *   'upstream'  (data)           connection between bridge and provider: state, since (epoch ms), why
 *   'event'     (event)          every event (CloudEvents 1.0), each once and in order
 *   'heartbeat' ()               the connection is alive; every 25 s
 *   'state'     (state, detail)  'connecting' | 'open' | 'waiting' (detail.retry_ms) | 'closed'; detail: transport,
 *                                code, reason. Closed by the edge (code 3500–3999, 4500–4999) stays closed
 *
 * mail.open(mailId)  show that mail in the provider's web mail, in a window of its own, without a password; without
 *                    mailId the inbox. Call it within the click, before any await, or the browser blocks the window.
 *                    Returns a promise: true, the window is on its way; false, it was blocked (put an ordinary link to
 *                    mail/open?mailid=… there); rejected, there was no ticket, and the window is closed again
 *
 * mail.unread, .position, .state, .transport, .mailbox, .upstream: what is true now.
 * mail.reconnect()   drop the connection and come back at once, also out of 'closed'; continues where it was
 * mail.close()       end, give the title and badge back
 *
 * No build, no dependency; needs a browser of 2018 or later; works on plain http.
 */
(function () {
  'use strict';

  const BACK_OFF_FIRST_MS = 500;
  const BACK_OFF_LIMIT_MS = 30000;
  const SNAPSHOT_DUE_MS = 20000; // ticket, handshake and first frame together
  const SILENCE_MS = 60000; // two heartbeats and their delay
  const STALE_MS = 30000; // a page that comes to the front does not wait for the second one
  const LOOK_MS = 5000;
  const BLOCKED_TRIES = 2;
  const BLOCKED_TRIES_AFTER_SUCCESS = 6; // WebSocket worked here before: it is rather the edge that is away
  const LOST = 1006; // the code that browsers give to a connection that just ended

  const NAMES = ['mail', 'unread', 'missed', 'snapshot', 'upstream', 'event', 'heartbeat', 'state'];
  const HERE = document.currentScript && document.currentScript.src;

  function staysClosed(code) {
    return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
  }

  function baseUrl(url) {
    const base = new URL(url || (HERE ? new URL('.', HERE).href : '/'), document.baseURI);
    if (!base.pathname.endsWith('/')) base.pathname += '/';
    base.search = base.hash = '';
    return base;
  }

  /* A place in the stream, '<epoch>-<seq>'; null where it does not look like that: then it is only kept. */
  function place(position) {
    const parts = /^([a-z0-9]+)-([0-9]+)$/.exec(position || '');
    return parts && { epoch: parts[1], seq: Number(parts[2]) };
  }

  /* A link is one connection. It calls frame(text) and, once, ended(code, reason); nothing after close(). */
  function webSocketLink(url, frame, ended) {
    const socket = new WebSocket(url.href.replace(/^http/, 'ws'));
    socket.onmessage = (message) => frame(message.data);
    socket.onclose = (close) => ended(close.code, close.reason);
    return {
      close() {
        socket.onmessage = socket.onclose = null;
        socket.close();
      },
    };
  }

  function eventSourceLink(url, frame, ended, withCredentials) {
    const source = new EventSource(url.href, { withCredentials });
    const close = () => {
      source.onmessage = source.onerror = null;
      source.close();
    };
    source.onmessage = (message) => frame(message.data);
    source.onerror = () => {
      // Its own reconnect would repeat a spent ticket, and never comes after an answer other than 200.
      close();
      ended(LOST, 'event stream ended');
    };
    return { close };
  }

  function memory(storage, base, mailbox) {
    const key = storage === true ? `exmail-bridge ${base.href} ${mailbox || ''}` : storage;
    return {
      read() {
        try {
          return key ? sessionStorage.getItem(key) : null;
        } catch (error) {
          return null; // refused by the browser's settings: then the page just begins anew
        }
      },
      write(position) {
        try {
          if (key) sessionStorage.setItem(key, position);
        } catch (error) {
          /* refused or full: as above */
        }
      },
    };
  }

  /* Shows the count in the page's title and in an element. */
  function badge(title, target) {
    let prefix = '';
    return function show(count) {
      const text = count > 0 ? String(count) : '';
      if (title) {
        // The page may have changed its title meanwhile, with or without our prefix.
        const bare = prefix && document.title.startsWith(prefix) ? document.title.slice(prefix.length) : document.title;
        prefix = text && `(${text}) `;
        document.title = prefix + bare;
      }
      const element = typeof target === 'string' ? document.querySelector(target) : target;
      if (element) element.textContent = text;
    };
  }

  function connect(options) {
    const settings = Object.assign({ transport: 'auto' }, options);
    if (!['auto', 'websocket', 'sse'].includes(settings.transport)) {
      throw new TypeError(`ExmailBridge: there is no transport ${settings.transport}`);
    }
    const base = baseUrl(settings.url);
    const stored = memory(settings.storage, base, settings.mailbox);
    const show = badge(settings.title, settings.badge);
    const handlers = new Map(NAMES.map((name) => [name, new Set()]));

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
    let heardAt = 0;
    let failures = 0; // since the last snapshot
    let blocked = 0; // WebSockets in a row that never brought a frame, whoever stands in the way
    let webSocketWorked = false;
    let notBefore = 0; // the edge asked for patience until then
    let timer = 0;
    let watchdog = 0;
    let repaired = null;

    function emit(name, ...values) {
      for (const handler of Array.from(handlers.get(name))) {
        try {
          handler(...values);
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

    // -- one connection after another

    function triesBeforeSse() {
      return webSocketWorked ? BLOCKED_TRIES_AFTER_SUCCESS : BLOCKED_TRIES;
    }

    function choose() {
      if (settings.transport !== 'auto') return settings.transport;
      return window.WebSocket && blocked < triesBeforeSse() ? 'websocket' : 'sse';
    }

    function drop() {
      clearTimeout(timer);
      attempt += 1;
      if (link) link.close();
      link = null;
    }

    function begin() {
      drop();
      const mine = attempt;
      const current = (act) => (...values) => {
        if (mine === attempt) act(...values);
      };
      spoke = false;
      heardAt = Date.now();
      transport = choose();
      become('connecting');
      askTicket().then(
        current((ticket) => dial(ticket, current(receive), current(lost))),
        current((error) => lost(0, `no ticket: ${error && error.message}`))
      );
    }

    function askTicket() {
      return new Promise((resolve) => resolve(settings.ticket ? settings.ticket() : null));
    }

    /* The address of something of this mailbox; what is empty is left out. */
    function address(path, values) {
      const url = new URL(path, base);
      for (const [name, value] of Object.entries(Object.assign({ mailbox: settings.mailbox }, values))) {
        if (value) url.searchParams.set(name, value);
      }
      return url;
    }

    function dial(ticket, frame, ended) {
      const url = address(transport === 'sse' ? 'events' : 'ws', { after: position, ticket });
      try {
        link =
          transport === 'sse' ? eventSourceLink(url, frame, ended, !ticket) : webSocketLink(url, frame, ended);
      } catch (error) {
        ended(LOST, error.message);
      }
    }

    function lost(code, reason, retryMs) {
      drop();
      if (staysClosed(code)) {
        finish(code, reason);
        return;
      }
      if (!spoke && code >= 1000 && code < 3000) blocked = transport === 'websocket' ? blocked + 1 : triesBeforeSse() - 1;
      const limit = Math.min(BACK_OFF_LIMIT_MS, BACK_OFF_FIRST_MS * 2 ** failures);
      failures += 1;
      notBefore = Date.now() + (retryMs || 0);
      const delay = Math.max(retryMs || 0, Math.random() * limit);
      timer = setTimeout(begin, delay);
      become('waiting', { code, reason, retry_ms: Math.round(delay) });
    }

    function look() {
      const now = Date.now();
      heardAt = Math.min(heardAt, now); // the clock was set back
      if (state === 'connecting' && now - heardAt > SNAPSHOT_DUE_MS) lost(LOST, 'no answer');
      else if (state === 'open' && now - heardAt > SILENCE_MS) lost(LOST, 'silence');
    }

    // -- what the page goes through

    function comeSoon() {
      drop();
      timer = setTimeout(begin, Math.max(0, notBefore - Date.now()));
    }

    function seen() {
      if (document.visibilityState !== 'visible') return;
      if (state === 'waiting' || (state === 'open' && Date.now() - heardAt > STALE_MS)) comeSoon();
    }

    function left() {
      // An open connection keeps a page out of the browser's back/forward cache.
      drop();
      become('waiting', { reason: 'page left' });
    }

    function returned(event) {
      if (event.persisted) comeSoon();
    }

    function start() {
      document.addEventListener('visibilitychange', seen);
      window.addEventListener('online', comeSoon);
      window.addEventListener('pagehide', left);
      window.addEventListener('pageshow', returned);
      watchdog = setInterval(look, LOOK_MS);
    }

    function finish(code, reason) {
      drop();
      document.removeEventListener('visibilitychange', seen);
      window.removeEventListener('online', comeSoon);
      window.removeEventListener('pagehide', left);
      window.removeEventListener('pageshow', returned);
      clearInterval(watchdog);
      become('closed', { code, reason });
    }

    // -- a mail in the provider's web mail

    async function open(mailId) {
      // Opened empty and at once: after an await it would be a popup that nobody asked for. Not with 'noopener':
      // that gives no window back. What it shows must not reach this page all the same.
      const opened = window.open('', '_blank');
      if (!opened) return false;
      opened.opener = null;
      try {
        opened.location.replace(address('mail/open', { mailid: mailId, ticket: await askTicket() }).href);
      } catch (error) {
        opened.close();
        throw error;
      }
      return true;
    }

    // -- frames

    function receive(text) {
      let frame;
      try {
        frame = JSON.parse(text);
      } catch (error) {
        frame = null;
      }
      if (!frame) return; // not ours
      spoke = true;
      heardAt = Date.now();
      if (frame.specversion) takeEvent(frame);
      else if (frame.type === 'exmail.snapshot') takeSnapshot(frame.data);
      else if (frame.type === 'exmail.upstream') takeUpstream(frame.data);
      else if (frame.type === 'exmail.heartbeat') emit('heartbeat');
      else if (frame.type === 'exmail.closing') lost(frame.data.code, frame.data.reason, frame.data.retry_ms);
    }

    function takeSnapshot(data) {
      failures = notBefore = 0;
      if (transport === 'websocket') {
        webSocketWorked = true;
        blocked = 0;
      }
      mailbox = data.mailbox;
      keep(data.position);
      if (state !== 'open') become('open');
      emit('snapshot', data);
      takeUpstream(data.upstream);
      takeCount(data.unread, data.as_of, !data.resumed);
    }

    function takeUpstream(data) {
      upstream = data;
      emit('upstream', data);
    }

    function takeEvent(event) {
      const last = place(position);
      const next = place(event.id);
      if (last && next && last.epoch === next.epoch) {
        if (next.seq <= last.seq) return;
        if (next.seq > last.seq + 1 && repaired !== position) {
          // The edge promises that this cannot be; should it be, asking once more is better than missing a mail.
          repaired = position;
          begin();
          return;
        }
      }
      keep(event.id);
      const data = event.data || {};
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
      show(unread);
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
        const set = handlers.get(name);
        if (!set) throw new TypeError(`ExmailBridge: there is no event ${name}; ${NAMES.join(', ')}`);
        set.add(handler);
        return () => set.delete(handler);
      },
      open,
      reconnect() {
        if (state === 'closed') {
          start();
          show(unread);
        }
        begin();
      },
      close() {
        if (state === 'closed') return;
        finish(1000, 'closed by the page');
        show(null);
      },
    };
  }

  window.ExmailBridge = { connect };
})();

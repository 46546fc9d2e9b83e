/* What a page calls: one object for each connect(), over a line of its own or the one that all tabs share. */

const AWAY_MS = 60000;
const BADGE_MOST = 99;

function connect(options) {
  const settings = checked(options);
  const base = baseUrl(settings.url);
  const stored = memory(settings.storage, base, settings.mailbox);
  const handlers = Object.create(null);
  for (let index = 0; index < NAMES.length; index += 1) handlers[NAMES[index]] = [];
  const connection = { key: stored.key, base, leave };

  const notices = settings.notify && makeNotices(settings.notify, base, settings.mailbox, open);
  const most = settings.badgeMost || BADGE_MOST;

  const many = settings.mailbox === ALL;
  let unread = null;
  let saidUnread = null; // what is shown, and handlers were told
  let counts = Object.create(null); // {count, asOf} by mailbox
  let upstream = null;
  let stale = null;

  const line = makeLine(
    {
      base,
      mailbox: settings.mailbox,
      many,
      transport: settings.transport,
      after: settings.after || stored.read(),
      ticket: settings.ticket,
      refresh: settings.refresh && (async () => settings.refresh()),
      share: sharer(settings, base),
    },
    {
      state(next, detail) {
        if (next !== 'open') judge(detail.code);
        emit('state', next, detail);
      },
      looked: judge,
      keep: stored.write,
      nobody: knowNothing,
      dialled() {},
      ended: stop,
      snapshot: takeSnapshot,
      withdrawn(data) {
        delete counts[data.mailbox];
        addUp();
        sayUnread();
        emit('withdrawn', data);
      },
      event: takeEvent,
      announce,
      upstream: takeUpstream,
      heartbeat() {
        show(); // the page may have a new title, or another badge
        emit('heartbeat');
      },
    },
  );

  /* Calls the handlers; not those of a state that is past, and after close() none. */
  function emit(name, ...values) {
    const calls = handlers[name].slice();
    for (let index = 0; index < calls.length; index += 1) {
      if (name === 'state' ? values[0] !== line.state : line.state === 'closed' && name !== 'stale') return;
      try {
        if (calls[index].on) calls[index].handler(...values);
      } catch (error) {
        setTimeout(() => {
          throw error;
        });
      }
    }
  }

  function show() {
    const count = line.state === 'closed' ? null : unread;
    if (settings.title) pageTitle(connection, `${base} ${line.mailbox}`, count);
    const element = typeof settings.badge === 'string' ? document.querySelector(settings.badge) : settings.badge;
    const text = count > most ? `${most}+` : count > 0 ? String(count) : '';
    if (element && element.textContent !== text) {
      if (!element.getAttribute('role')) element.setAttribute('role', 'status'); // said to those who do not see it
      element.setAttribute('aria-label', count > 0 ? words().unread(count) : '');
      element.textContent = text;
    }
  }

  // -- what the page goes through

  function seen() {
    if (document.visibilityState === 'visible') line.seen();
  }

  function left() {
    line.pause('page left');
  }

  function returned(event) {
    if (event.persisted) line.goOn(stored.read()); // what another page of this tab has announced meanwhile is announced
  }

  function listeners(how) {
    document[how]('visibilitychange', seen);
    window[how]('online', line.online);
    window[how]('pagehide', left);
    window[how]('pageshow', returned);
  }

  function start() {
    inUse.push(connection);
    listeners('addEventListener');
  }

  function stop() {
    inUse.splice(inUse.indexOf(connection), 1);
    listeners('removeEventListener');
    show();
  }

  // -- a person signs out

  function leave() {
    line.forget();
    line.finish(1000, 'signed out');
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
      const request = { method: 'POST', credentials: 'include', keepalive: true };
      const answer = await within(ANSWER_DUE_MS, window.fetch(base + path, request), 'no answer');
      return answer.status === 204;
    } catch (error) {
      return false;
    }
  }

  // -- a mail in the provider's web mail

  async function open(mailId, mailbox) {
    // Opened empty and at once: after an await it would be a popup that nobody asked for. Not with 'noopener':
    // that gives no window back. What it shows must not reach this page all the same.
    const opened = window.open('', '_blank');
    if (!opened) return false;
    opened.opener = null;
    try {
      const ticket = await within(ANSWER_DUE_MS, line.askTicket(), 'no ticket in time');
      const mailid = typeof mailId === 'string' ? mailId : ''; // `onclick = mail.open` brings the click
      if (notices) notices.opened(mailid);
      opened.location.replace(line.address('mail/open', many ? { mailid, ticket, mailbox } : { mailid, ticket }));
    } catch (error) {
      opened.close();
      throw error;
    }
    return true;
  }

  // -- what comes

  /* Nobody is proved to sit here: there is no count. */
  function knowNothing() {
    counts = Object.create(null);
    unread = null;
    if (notices) notices.close(null);
    sayUnread();
  }

  /* A handler that reads the count has the one that came with what it is told of; it is shown when that is told. */
  function takeSnapshot(data) {
    upstream = data.upstream;
    takeCount(data.mailbox, data.unread, data.as_of, !data.resumed);
    emit('snapshot', data);
    takeUpstream(data.upstream);
    show();
    sayUnread();
  }

  function takeUpstream(data) {
    upstream = data;
    emit('upstream', data);
    judge();
  }

  /* Whether what is shown may be old, and why. What is missing for a moment only is no reason. */
  function judge(code) {
    let why = stale;
    if (code === 1000) why = null;
    else if (wantsCredential(code) || staysClosed(code)) why = 'credential';
    else if (line.state === 'open') why = upstream && upstream.state !== 'connected' ? 'provider' : null;
    else if (line.state !== 'closed' && line.awayMs > AWAY_MS && stale !== 'credential') why = 'edge';
    if (why === stale) return;
    stale = why;
    if (code !== 1000) emit('stale', why);
  }

  function takeEvent(event) {
    const data = event.data || {};
    if (data.as_of != null && data.unread != null) takeCount(many ? event.subject : line.mailbox, data.unread, data.as_of);
    emit('event', event);
    if (event.type === 'exmail.mail.new') emit('mail', data, event);
    else if (event.type === 'exmail.mail.missed') emit('missed', data, event);
    sayUnread();
  }

  /* Of what was announced before, in another tab or before an absence, nobody is notified again. */
  function announce(event) {
    if (!notices) return;
    const key = `exmail-bridge announced ${base}`; // names nobody: it outlasts signing out
    const said = attempted(() => localStorage.getItem(key));
    const step = distance(said, event.id);
    if (step !== null && step <= 0) return;
    attempted(() => localStorage.setItem(key, advanced(said, null, event.id)));
    if (event.type === 'exmail.mail.new') notices.add(event.data);
    else if (event.type === 'exmail.mail.missed') notices.add(null, event.data.at_least);
  }

  /* A count knows how old it is, and what is older never replaces what is newer; a new beginning does. */
  function takeCount(mailbox, count, stamp, anew) {
    const { asOf = null } = counts[mailbox] || {};
    if (!anew && asOf !== null && (stamp === null || stamp < asOf)) return;
    counts[mailbox] = { count, asOf: stamp };
    addUp();
  }

  function addUp() {
    let sum = null;
    for (const mailbox in counts) if (counts[mailbox].count !== null) sum += counts[mailbox].count;
    if (sum === unread) return;
    unread = sum;
    if (notices && sum === 0) notices.close(null);
  }

  function sayUnread() {
    if (saidUnread === unread) return;
    saidUnread = unread;
    show();
    emit('unread', unread);
  }

  start();
  line.start();
  line.goOn(); // after the caller has put his handlers on

  return {
    get unread() {
      return unread;
    },
    get counts() {
      const known = {};
      for (const mailbox in counts) known[mailbox] = counts[mailbox].count;
      return known;
    },
    get position() {
      return line.position;
    },
    get state() {
      return line.state;
    },
    get transport() {
      return line.transport;
    },
    get mailbox() {
      return line.mailbox;
    },
    get upstream() {
      return upstream;
    },
    get stale() {
      return stale;
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
    /* For a click on something of the page's: browsers ask nobody without one. */
    async allowNotifications() {
      return typeof Notification === 'function' && (await Notification.requestPermission()) === 'granted';
    },
    logout,
    reconnect() {
      if (line.state === 'closed') {
        start();
        line.again(show);
      } else line.begin();
    },
    close() {
      line.finish(1000, 'closed by the page');
    },
  };
}

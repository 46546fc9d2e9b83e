/*
 * The worker: one line for all tabs of a browser that look at one mailbox, and a copy of what comes for each of them.
 *
 * A tab that joins is told what it would have been told by the edge: a snapshot, and what it missed, from what is kept here
 * or from GET /history. Every tab that was told anything stands where the line stands.
 *
 * The cookie decides who looks, and it may be another person's since the connection was made. So nothing is told to a tab
 * before somebody was asked after it joined: by a connection that was dialled since, or by POST /ticket, whose answer
 * names the session as the snapshot does. If that is another one, the connection is made anew, for all tabs.
 *
 * A tab lives while it answers pings. That its port closes is no sign, and its timers may stand still; messages do not.
 */

const PINGS_OWED = 4; // a frozen page answers none, and goes on from its own place later
const TAB_OWED_BYTES = 1048576; // what may wait for a tab that does not answer
const KEPT_BYTES = 262144;
const RECENT = 20; // as in the edge's own snapshots
const PAGE_LIMIT = 200;

const relays = []; // what is shared now

function relay(key, { base, mailbox, transport, session }) {
  let tabs = []; // {port, after, refreshes, notifies, began, stands, asked, pings, owed, answer}
  let known = null; // the data of a snapshot that is true now
  let kept = []; // the last events, {text, bytes}, without a hole up to the line's position
  let keptBytes = 0;
  let code = 0; // why the line waits
  let asking = false;
  let turn = 0;
  let unsaid = []; // what a tab was to notify of and has not said that it did: {event, tab, pings}
  const clock = stopwatch();
  let onlineAt = -Infinity;

  const line = makeLine(
    {
      base,
      mailbox,
      transport,
      after: null,
      ticket: session ? () => askATab('ticket', () => true) : null,
      get refresh() {
        return tabs.some(canRefresh) ? () => askATab('refresh', canRefresh) : null;
      },
      share: null,
    },
    { state, dialled, snapshot, event, upstream, nobody, announce, heartbeat: forward, keep() {}, looked() {}, ended() {} },
  );

  // -- tabs

  function post(tab, message) {
    tab.owed += (message.frame || '').length * 2;
    if (tab.owed > TAB_OWED_BYTES) leave(tab, 'too slow');
    else tab.port.postMessage(message);
  }

  function tell(message) {
    tabs.slice().forEach((tab) => post(tab, message));
  }

  function forward(text) {
    tabs.filter((tab) => tab.stands).forEach((tab) => post(tab, { frame: text }));
  }

  function join(port, { after, refreshes, notifies }) {
    const fresh = { began: false, stands: false, asked: false, pings: 0, owed: 0, answer: null };
    const tab = Object.assign(fresh, { port, after, refreshes, notifies });
    tabs.push(tab);
    if (line.state === 'open') {
      post(tab, { state: 'open', detail: { transport: line.transport } });
      admit();
    } else if (line.state === 'waiting') {
      post(tab, { state: 'waiting', detail: { transport: line.transport, code } });
      // Somebody who opens a page has signed in, perhaps; whoever was asked for patience has it.
      if (wantsCredential(code)) line.begin();
      else line.comeSoon();
    }
    return tab;
  }

  function leave(tab, reason) {
    if (tabs.indexOf(tab) < 0) return;
    tabs = tabs.filter((each) => each !== tab);
    if (tab.answer) tab.answer.reject(new Error('the tab is gone'));
    if (reason) tab.port.postMessage({ ended: { code: LOST, reason } });
    if (!tabs.length) end();
  }

  function sendApart(some) {
    some.forEach((tab) => {
      if (tabs.indexOf(tab) < 0) return;
      tab.port.postMessage({ apart: true });
      leave(tab);
    });
  }

  function end() {
    const at = relays.indexOf(shared);
    if (at >= 0) relays.splice(at, 1);
    line.finish(1000, 'nobody looks');
  }

  function ping() {
    askOthers();
    tabs.slice().forEach((tab) => {
      tab.pings += 1;
      if (tab.pings > PINGS_OWED) leave(tab, 'frozen');
      else tab.port.postMessage({ ping: true });
    });
  }

  function heard(tab, data) {
    if (data.alive) tab.pings = tab.owed = 0;
    else if (data.leave) leave(tab);
    else if (data.soon && line.state === 'waiting') line.comeSoon();
    else if (data.online && clock() - onlineAt > LOOK_MS) {
      onlineAt = clock(); // every tab says it
      line.comeSoon();
    }
    else if (data.announced) unsaid = unsaid.filter((each) => each.event.id !== data.announced);
    else if (tab.answer && data.got !== undefined) tab.answer.resolve(data.got);
    else if (tab.answer && data.refused) tab.answer.reject(data.refused);
  }

  // -- who looks

  function canRefresh(tab) {
    return tab.refreshes;
  }

  /* One tab after the other is asked for a ticket, or to refresh; those first that answered their last ping. */
  function askATab(want, can) {
    turn += 1;
    const able = tabs.filter(can);
    const awake = able.filter((tab) => tab.pings < 2);
    const tab = (awake.length ? awake : able)[turn % (awake.length || able.length)];
    const asked = new Promise((resolve, reject) => {
      tab.answer = { resolve, reject };
      tab.port.postMessage({ want });
    });
    return within(ANSWER_DUE_MS, asked, `no tab answers: ${want}`);
  }

  /* The session that the cookie is of now; null: nobody's. */
  async function sessionNow() {
    const options = { method: 'POST', credentials: 'same-origin', cache: 'no-store' };
    const answer = await within(ANSWER_DUE_MS, fetch(`${base}ticket`, options), 'no answer');
    if (answer.status === 401 || answer.status === 403) return null;
    if (!answer.ok) throw new Error(`POST ticket answers ${answer.status}`);
    return (await answer.json()).session || undefined;
  }

  /* Let in who joined an open line. Who joins during a question waits for the next one. */
  async function admit() {
    if (asking) return;
    asking = true;
    for (;;) {
      const waiting = tabs.filter((tab) => !tab.asked);
      if (line.state !== 'open' || !waiting.length) break;
      try {
        const now = session || (await sessionNow());
        if (line.state !== 'open') break;
        if (now === undefined) sendApart(waiting);
        else if (now !== known.session) line.begin();
        else {
          waiting.forEach((tab) => {
            tab.asked = true;
            stand(tab);
          });
        }
      } catch (error) {
        waiting.forEach((tab) => leave(tab, `who looks is not known: ${error.message}`));
      }
    }
    asking = false;
  }

  // -- who notifies

  /* One tab does, of those that may: one that answers, and until it does not. */
  function announce(event, silent) {
    const able = tabs.filter((tab) => tab.notifies && tab !== silent);
    const [tab] = able.filter((each) => each.pings < 2).concat(able);
    if (!tab) return;
    unsaid = unsaid.concat({ event, tab, pings: 0 }).slice(-RECENT);
    tab.port.postMessage({ announce: event });
  }

  function askOthers() {
    unsaid.slice().forEach((each) => {
      each.pings += 1;
      if (each.pings < 2) return;
      unsaid = unsaid.filter((one) => one !== each);
      announce(each.event, each.tab);
    });
  }

  // -- a tab comes to where the line stands

  function stand(tab) {
    if (tabs.indexOf(tab) < 0 || line.state !== 'open') return;
    const step = distance(tab.after, line.position);
    if (step === null) anew(tab, tab.after ? 'epoch' : 'first');
    // It has been told what the line has not. Only the edge can say if that still is true.
    else if (step < 0) sendApart([tab]);
    else if (step > kept.length) catchUp(tab);
    else {
      resume(tab);
      kept.slice(kept.length - step).forEach((each) => late(tab, each.text));
      tab.stands = true;
    }
  }

  /* What a tab was not there for; perhaps nobody was who could notify. */
  function late(tab, text) {
    post(tab, { frame: text });
    if (tab.notifies) tab.port.postMessage({ announce: JSON.parse(text) });
  }

  function resume(tab) {
    if (tab.began) return;
    tab.began = true;
    const data = Object.assign({}, known, { position: tab.after, resumed: true, reason: undefined, recent: undefined });
    post(tab, { frame: JSON.stringify({ type: 'exmail.snapshot', data }) });
  }

  function anew(tab, reason) {
    tab.began = tab.stands = true;
    const data = Object.assign({}, known, { position: line.position, resumed: false, reason });
    post(tab, { frame: JSON.stringify({ type: 'exmail.snapshot', data }) });
  }

  async function catchUp(tab) {
    const ours = known;
    try {
      const names = { after: tab.after, limit: PAGE_LIMIT, ticket: session ? await line.askTicket() : null };
      const options = { credentials: 'same-origin', cache: 'no-store' };
      const answer = await within(ANSWER_DUE_MS, fetch(line.address('history', names), options), 'no answer');
      if (!answer.ok && answer.status !== 400) throw new Error(`GET history answers ${answer.status}`);
      const page = answer.ok ? await answer.json() : { complete: false };
      if (tabs.indexOf(tab) < 0) return;
      if (ours !== known || line.state !== 'open') return; // with the line's next snapshot it begins again
      if (!page.complete) {
        anew(tab, 'expired');
        return;
      }
      resume(tab);
      // What the line has not brought yet comes with the line.
      const due = (each) => distance(tab.after, each.id) > 0 && distance(each.id, line.position) >= 0;
      const events = page.events.filter(due);
      if (!events.length) {
        sendApart([tab]);
        return;
      }
      events.forEach((each) => late(tab, JSON.stringify(each)));
      tab.after = events[events.length - 1].id;
      stand(tab);
    } catch (error) {
      leave(tab, `what was missed could not be read: ${error.message}`);
    }
  }

  // -- what the line tells

  function state(next, detail) {
    code = detail.code || 0;
    if (next === 'closed') {
      tell({ ended: { code: detail.code, reason: detail.reason } });
      tabs = [];
      end();
    } else {
      if (next !== 'open') tabs.forEach(lookAgain);
      tell({ state: next, detail });
    }
  }

  /* Who stood where the line stands goes on with it. */
  function lookAgain(tab) {
    if (!tab.stands) tab.asked = false;
  }

  function nobody() {
    tell({ nobody: true });
  }

  function dialled() {
    tabs.forEach((tab) => {
      tab.asked = true;
    });
  }

  function snapshot(data, text) {
    if (!data.session || (session && data.session !== session)) {
      sendApart(tabs.slice());
      return;
    }
    if (!data.resumed) {
      kept = [];
      keptBytes = 0;
    }
    const newer = known && data.resumed && data.as_of < known.as_of; // one that takes over was asked for some time ago
    const count = newer ? { unread: known.unread, as_of: known.as_of } : null;
    known = Object.assign({}, data.resumed ? known : null, data, count);
    forward(text);
    tabs.filter((tab) => tab.asked && !tab.stands).forEach(stand);
    admit();
  }

  function event(each, text) {
    kept.push({ text, bytes: text.length * 2 });
    keptBytes += text.length * 2;
    while (keptBytes > KEPT_BYTES) keptBytes -= kept.shift().bytes;
    const data = each.data || {};
    if (each.type === 'exmail.mail.new') known.recent = (known.recent || []).concat(each).slice(-RECENT);
    if (data.as_of != null && data.unread != null && !(data.as_of < known.as_of)) {
      known.unread = data.unread;
      known.as_of = data.as_of;
    }
    forward(text);
  }

  function upstream(data, text) {
    known.upstream = data;
    forward(text);
  }

  const shared = { key, join, heard, ping };
  relays.push(shared);
  line.start();
  setTimeout(() => {
    if (tabs.length) line.begin();
  }, 0);
  return shared;
}

onconnect = ({ ports: [port] }) => {
  let shared = null;
  let tab = null;
  port.onmessage = ({ data }) => {
    if (tab) shared.heard(tab, data);
    else if (data.open) {
      const { base, mailbox, transport, session } = data.open;
      const key = JSON.stringify([base, mailbox || '', transport, session || '']);
      [shared] = relays.filter((each) => each.key === key);
      shared = shared || relay(key, data.open);
      tab = shared.join(port, data.open);
    }
  };
  port.postMessage({ hello: PROTOCOL });
};

setInterval(() => relays.forEach((each) => each.ping()), PING_MS);

/*
 * The worker: one line for all tabs of a browser that look at one mailbox, or at all of a token, and a copy of what comes
 * for each of them.
 *
 * A tab that joins is told what it would have been told by the edge: of each mailbox a snapshot, and what it missed, from
 * what is kept here or from GET /history. From then on it stands in that mailbox where the line stands.
 *
 * The cookie decides who looks, and it may be another person's since the connection was made. So nothing is told to a tab
 * before somebody was asked after it joined: by a connection that was dialled since, or by POST /ticket, whose answer
 * names the session as the snapshot does. If that is another one, the connection is made anew, for all tabs.
 *
 * A tab lives while it answers pings. That its port closes is no sign, and its timers may stand still; messages do not.
 */

const PINGS_OWED = 4; // a frozen page answers none, and goes on from its own place later
const TAB_OWED_BYTES = 1048576; // what may wait for a tab that does not answer
const TAB_ASKED_BYTES = 262144; // in a burst a tab is asked before the next ping
const PAGE_LIMIT = 200;

const relays = []; // what is shared now

function relay(key, { base, mailbox, transport, session }) {
  const many = mailbox === ALL;
  let tabs = []; // {port, after, places, refreshes, notifies, asked, pings, owed, answer}
  let boxes = Object.create(null); // by mailbox, where there are many
  let whose = null; // the session that all of it is of
  let code = 0; // why the line waits
  let asking = false;
  let turn = 0;
  let questions = Promise.resolve(); // one after the other: no page is to make a ticket for each mailbox at once
  const herald = makeHerald(() => tabs.filter((tab) => tab.asked));
  const clock = stopwatch();
  let onlineAt = -Infinity;

  const line = makeLine(
    {
      base,
      mailbox,
      many,
      transport,
      after: null,
      ticket: session ? () => askATab('ticket', () => true) : null,
      get refresh() {
        return tabs.some(canRefresh) ? () => askATab('refresh', canRefresh) : null;
      },
      share: null,
    },
    Object.assign(
      { state, dialled, snapshot, withdrawn, event, upstream, nobody, announce: herald.announce, heartbeat: forwardToAll },
      { keep() {}, looked() {}, ended() {} },
    ),
  );

  // -- tabs

  function post(tab, message) {
    const before = tab.owed;
    tab.owed += (message.frame || '').length * 2;
    if (tab.owed > TAB_OWED_BYTES) leave(tab, 'too slow');
    else tab.port.postMessage(message);
    if (before <= TAB_ASKED_BYTES && tab.owed > TAB_ASKED_BYTES) tab.port.postMessage({ ping: true });
  }

  function tell(message) {
    tabs.slice().forEach((tab) => post(tab, message));
  }

  function forward(box, text) {
    tabs.filter((tab) => placeIn(tab, box).stands).forEach((tab) => post(tab, { frame: text }));
  }

  function forwardToAll(text) {
    const begun = (tab) => everyBox().some((box) => placeIn(tab, box).stands);
    tabs.filter(begun).forEach((tab) => post(tab, { frame: text }));
  }

  function join(port, { after, refreshes, notifies }) {
    const fresh = { places: Object.create(null), asked: false, pings: 0, owed: 0, answer: null };
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
    herald.look();
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
    else if (data.announced) herald.said(data.announced);
    else if (tab.answer && data.to === tab.answer.to) {
      // What comes to an earlier question, whose time is up, is no answer to this one.
      if (data.refused) tab.answer.reject(data.refused);
      else tab.answer.resolve(data.got);
    }
  }

  // -- who looks

  function canRefresh(tab) {
    return tab.refreshes;
  }

  /* One tab after the other is asked for a ticket, or to refresh; those first that answered their last ping. */
  function askATab(want, can) {
    const asked = questions.then(() => askOne(want, can));
    questions = asked.catch(() => undefined);
    return asked;
  }

  function askOne(want, can) {
    turn += 1;
    const able = tabs.filter(can);
    const awake = able.filter((tab) => tab.pings < 2);
    const tab = (awake.length ? awake : able)[turn % (awake.length || able.length)];
    const asked = new Promise((resolve, reject) => {
      tab.answer = { to: turn, resolve, reject };
      tab.port.postMessage({ want, question: turn });
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
        else if (now !== whose) line.begin();
        else waiting.forEach(letIn);
      } catch (error) {
        waiting.forEach((tab) => leave(tab, `who looks is not known: ${error.message}`));
      }
    }
    asking = false;
  }

  function letIn(tab) {
    tab.asked = true;
    everyBox().forEach((box) => {
      if (box.withdrawn) post(tab, { frame: box.withdrawn });
      else stand(tab, box);
    });
  }

  // -- a tab comes to where the line stands

  function boxOf(name) {
    const key = many ? name : '';
    boxes[key] = boxes[key] || makeBox(key);
    return boxes[key];
  }

  function everyBox() {
    return Object.keys(boxes).map((key) => boxes[key]);
  }

  /* Where a tab is in a mailbox: `began` with a snapshot, and `stands` where the line stands. */
  function placeIn(tab, { mailbox: key }) {
    tab.places[key] = tab.places[key] || { after: tab.after, began: false, stands: false };
    return tab.places[key];
  }

  function stand(tab, box) {
    if (tabs.indexOf(tab) < 0 || line.state !== 'open' || !box.shown) return;
    const at = placeIn(tab, box);
    const step = distance(at.after, box.position);
    if (step === null) anew(tab, box, at.after ? 'epoch' : 'first');
    // It has been told what the line has not. Only the edge can say if that still is true.
    else if (step < 0) sendApart([tab]);
    else {
      const { epoch, seq } = place(box.position);
      at.after = `${epoch}-${seq - step}`; // of many mailboxes it had the places of all
      const texts = box.newest(step);
      if (texts) {
        resume(tab, box);
        texts.forEach((text) => late(tab, text));
        at.stands = true;
      } else catchUp(tab, box);
    }
  }

  /* What a tab was not there for; perhaps nobody was who could notify. */
  function late(tab, text) {
    post(tab, { frame: text });
    if (tab.notifies) tab.port.postMessage({ announce: JSON.parse(text) });
  }

  function begin(tab, box, how) {
    const data = Object.assign({}, box.known, how);
    // Not owed: it is one a mailbox, and of many mailboxes all come before the tab can answer.
    tab.port.postMessage({ frame: JSON.stringify({ type: 'exmail.snapshot', data }) });
  }

  function resume(tab, box) {
    const at = placeIn(tab, box);
    if (at.began) return;
    at.began = true;
    begin(tab, box, { position: at.after, resumed: true, reason: undefined, recent: undefined });
  }

  function anew(tab, box, reason) {
    const at = placeIn(tab, box);
    at.began = at.stands = true;
    begin(tab, box, { position: box.position, resumed: false, reason });
  }

  async function catchUp(tab, box) {
    const ours = box.known;
    const at = placeIn(tab, box);
    try {
      const names = { after: at.after, limit: PAGE_LIMIT, ticket: session ? await line.askTicket() : null };
      const url = line.address('history', many ? Object.assign(names, { mailbox: box.mailbox }) : names);
      const options = { credentials: 'same-origin', cache: 'no-store' };
      const answer = await within(ANSWER_DUE_MS, fetch(url, options), 'no answer');
      if (!answer.ok && answer.status !== 400) throw new Error(`GET history answers ${answer.status}`);
      const page = answer.ok ? await answer.json() : { complete: false };
      if (tabs.indexOf(tab) < 0) return;
      if (ours !== box.known || !box.shown || line.state !== 'open') return; // with its next snapshot it begins again
      if (!page.complete) {
        anew(tab, box, 'expired');
        return;
      }
      resume(tab, box);
      // What the line has not brought yet comes with the line.
      const due = (each) => distance(at.after, each.id) > 0 && distance(each.id, box.position) >= 0;
      const events = page.events.filter(due);
      if (!events.length) {
        sendApart([tab]);
        return;
      }
      events.forEach((each) => late(tab, JSON.stringify(each)));
      at.after = events[events.length - 1].id;
      stand(tab, box);
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
    } else tell({ state: next, detail });
  }

  function nobody() {
    tell({ nobody: true });
  }

  /* Who has joined by now is of the session that the connection has; its mailboxes it names itself. */
  function dialled() {
    tabs.forEach((tab) => {
      tab.asked = true;
    });
    everyBox().forEach((box) => {
      box.shown = false;
      box.withdrawn = null;
    });
  }

  function snapshot(data, text) {
    if (!data.session || (session && data.session !== session)) {
      sendApart(tabs.slice());
      return;
    }
    if (many && whose !== data.session) forget();
    whose = data.session;
    const box = boxOf(data.mailbox);
    box.begin(data);
    forward(box, text);
    tabs.filter((tab) => tab.asked && !placeIn(tab, box).stands).forEach((tab) => stand(tab, box));
    admit();
  }

  /* What was kept of many mailboxes is another session's. Of one, its own snapshot says what still is true. */
  function forget() {
    if (whose === null) return;
    boxes = Object.create(null);
    tabs.forEach((tab) => {
      tab.after = null;
      tab.places = Object.create(null);
    });
  }

  function withdrawn(data) {
    const box = boxOf(data.mailbox);
    box.shown = false;
    box.withdrawn = JSON.stringify({ type: 'exmail.withdrawn', data });
    tabs.filter((tab) => tab.asked).forEach((tab) => {
      tab.places[box.mailbox] = { after: null, began: false, stands: false }; // it throws away what it has
      post(tab, { frame: box.withdrawn });
    });
  }

  function event(each, text) {
    const box = boxOf(each.subject);
    box.add(each, text);
    forward(box, text);
  }

  function upstream(data, text) {
    everyBox().forEach((box) => {
      if (box.known) box.known.upstream = data;
    });
    forwardToAll(text);
  }

  const shared = { key, join, heard, ping };
  relays.push(shared);
  line.start();
  setTimeout(() => {
    if (tabs.length) line.begin();
  }, 0);
  return shared;
}

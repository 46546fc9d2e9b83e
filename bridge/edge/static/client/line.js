/*
 * A line: one connection after another for one mailbox, or all of a token, and from where to go on. A tab has one for
 * each connect(), the worker one for all tabs that share it.
 *
 * settings: base, mailbox, transport, after, ticket (a function, or null: the cookie decides), refresh (a function that
 * renews the credential, or null), many (all mailboxes of the token), share (makes a link to the worker, or null). tell:
 * state(next, detail); keep(position); nobody(): no one is proved to be here; dialled(); looked(): some seconds have
 * passed; ended(); and what comes, each once and in order: snapshot(data, text), withdrawn(data), event(event, text),
 * upstream(data, text), heartbeat(text); announce(event): this is the one that a person is notified of, whoever else is
 * told of it. Whoever is told may end the line or begin anew; what was under way is not gone on with then.
 */

const BESIDE_FIRST_MS = 30000;
const BESIDE_LIMIT_MS = 1800000;

function makeLine(settings, tell) {
  const clock = stopwatch();
  const choice = transportChoice(settings.transport);

  let state = 'connecting';
  let position = settings.after || null;
  let whose = null; // the mailbox, or where there are many the session, that everything is of
  const places = Object.create(null); // of many mailboxes, each one's newest position
  let link = null;
  let attempt = 0; // numbers the connections: what an older one still says is not heard
  let kind = null; // websocket, sse, or shared: the worker has the connection
  let transport = null; // how frames come from the edge, whoever has the connection
  let apart = ''; // why this line does not share: 'now', until its connection is lost, or 'ever'
  let spoke = false; // this connection has brought a frame
  let openedAt = null; // this connection has brought its snapshot then
  let heardAt = 0;
  let answerDueMs = ANSWER_DUE_MS;
  let failures = 0; // since a connection was a good one
  let unproved = false; // the credential was refused, or has run out
  let renewTimer = 0;
  let beside = null; // a connection that is tried while another one serves
  let besideMs = BESIDE_FIRST_MS;
  let besideAt = 0; // by our clock, over however many streams; 0: none was planned yet
  let besideTimer = 0;
  let closedAt = 0; // since when it is not open
  let notBefore = 0; // the edge asked for patience until then
  let timer = 0;
  let watchdog = 0;
  let repaired = null;

  function become(next, detail) {
    if (state === 'open' && next !== 'open') closedAt = clock();
    state = next;
    tell.state(next, Object.assign({ transport }, detail));
  }

  function keep(next, of) {
    position = settings.many ? advanced(position, places[of], next) : next;
    places[of] = next;
    tell.keep(position);
  }

  /* The same function, for as long as nothing else was begun, or ended: by a handler, perhaps. */
  function current(act) {
    const mine = attempt;
    return (...values) => (mine === attempt ? act(...values) : undefined);
  }

  function drop() {
    clearTimeout(timer);
    clearTimeout(besideTimer);
    clearTimeout(renewTimer);
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
    kind = settings.share && !apart ? 'shared' : choice.next();
    if (kind !== 'shared') transport = kind;
    const dialAfter = current((ticket) => dial(ticket));
    const withoutTicket = current((error) => lost(...whyNoTicket(error)));
    const go = current(() => {
      if (kind === 'shared') dial();
      else (unproved ? renewed(settings) : ticketOf(settings)).then(dialAfter, withoutTicket);
    });
    become('connecting');
    go();
  }

  function address(path, names) {
    return addressOf(settings.base, path, Object.assign({ mailbox: settings.mailbox }, names));
  }

  function linkTo(wanted, ticket, calls) {
    const url = address(wanted === 'sse' ? 'events' : 'ws', { after: position, ticket });
    return wanted === 'sse' ? eventSourceLink(url, calls, !ticket) : webSocketLink(url, calls);
  }

  function dial(ticket) {
    heardAt = clock();
    const heard = current(() => {
      heardAt = clock();
    });
    const calls = { opened: heard, frame: current(receive), ended: current(lost) };
    tell.dialled();
    try {
      if (kind === 'shared') {
        const { nobody, announce } = tell;
        const others = { heard, nobody, announce, state: current(linesState), apart: current(goApart) };
        link = settings.share(position, Object.assign(calls, others));
      } else link = linkTo(kind, ticket, calls);
    } catch (error) {
      link = { close() {} };
      if (kind === 'shared') goApart('ever');
      else lost(LOST, error.message);
    }
  }

  /* The connection that is shared has another state; 'open' is told by its snapshot. */
  function linesState(next, detail) {
    heardAt = clock();
    openedAt = null;
    transport = detail.transport;
    if (next !== 'open' && (next !== state || next === 'waiting')) become(next, detail);
  }

  function goApart(howLong) {
    apart = howLong;
    begin();
  }

  function lost(code, reason, retryMs) {
    const dialled = link !== null;
    drop();
    if (apart === 'now') apart = '';
    if (openedAt !== null && clock() - openedAt > STEADY_MS) {
      failures = 0;
      if (kind === 'websocket') {
        besideMs = BESIDE_FIRST_MS;
        besideAt = 0;
      }
    }
    const waitAndReturn = current(() => comeBack(code, reason, retryMs, dialled));
    const end = current(() => finish(code, reason));
    unproved = unproved || wantsCredential(code);
    // With a fresh ticket even an invalid token may be a good one.
    const ends = staysClosed(code) && !(code === INVALID_TOKEN && renews());
    if (ends || (wantsCredential(code) && (openedAt === null || code === NO_CREDENTIAL))) tell.nobody();
    if (ends) end();
    else waitAndReturn();
  }

  function renews() {
    return settings.ticket || settings.refresh;
  }

  function comeBack(code, reason, retryMs, dialled) {
    choice.lost(kind, code, { dialled, spoke, opened: openedAt !== null });
    const limit = wantsCredential(code) ? CREDENTIAL_LIMIT_MS : BACK_OFF_LIMIT_MS;
    // Who has no credential is asked to wait for one; a ticket is there in a moment.
    const asked = renews() && wantsCredential(code) ? 0 : Math.min(Number(retryMs) || 0, HINT_LIMIT_MS);
    const delay = Math.max(asked, Math.random() * Math.min(limit, BACK_OFF_FIRST_MS * 2 ** failures));
    failures += 1;
    notBefore = clock() + asked;
    timer = setTimeout(begin, delay);
    become('waiting', { code, reason, retry_ms: Math.round(delay) });
  }

  function look() {
    tell.looked();
    const silentMs = clock() - heardAt;
    if (kind === 'shared' && link) {
      if (silentMs > PING_SILENCE_MS) lost(LOST, 'the shared worker is gone');
    } else if (state === 'connecting' && silentMs > answerDueMs) {
      if (link) answerDueMs = Math.min(answerDueMs * 2, ANSWER_DUE_LIMIT_MS);
      lost(LOST, 'no answer');
    } else if (state === 'open' && silentMs > SILENCE_MS) lost(LOST, 'silence');
  }

  /* While an event stream serves, dial a WebSocket beside it now and then: with its snapshot it takes over. */
  function lookForWebSocket() {
    if (kind !== 'sse' || !choice.mayBeWebSocket) return;
    besideAt = besideAt || clock() + besideMs;
    besideTimer = setTimeout(current(tryWebSocket), Math.max(0, besideAt - clock()));
  }

  function tryWebSocket() {
    besideMs = Math.min(besideMs * 2, BESIDE_LIMIT_MS);
    besideAt = clock() + besideMs;
    dialBeside('websocket', lookForWebSocket);
  }

  /* The credential is renewed well before it ends, and a connection that has the new one takes over. */
  function renewIn(ms) {
    clearTimeout(renewTimer);
    if (kind === 'shared') return;
    const late = current(() => renewIn(RENEW_AGAIN_MS));
    const changeOver = current(() => dialBeside(kind, late));
    const renew = current(() => (settings.refresh ? settings.refresh().then(changeOver, late) : late()));
    renewTimer = setTimeout(renew, Math.min(ms, RENEW_LIMIT_MS));
  }

  function dialBeside(wanted, otherwise) {
    clearTimeout(besideTimer);
    if (beside) beside.close();
    beside = null;
    let trying = true;
    const giveUp = current(() => {
      if (!trying) return;
      trying = false;
      clearTimeout(besideTimer);
      if (beside) beside.close();
      beside = null;
      otherwise();
    });
    const frame = current((text) => {
      if (trying && (parsed(text) || {}).type !== 'exmail.snapshot') {
        giveUp();
        return;
      }
      if (trying) takeOver(wanted);
      trying = false;
      receive(text);
    });
    const ended = current((code, reason) => (trying ? giveUp() : lost(code, reason)));
    const dialled = current((ticket) => {
      if (trying) beside = linkTo(wanted, ticket, { opened: null, frame, ended });
    });
    besideTimer = setTimeout(giveUp, answerDueMs);
    ticketOf(settings).then(dialled).catch(giveUp);
  }

  function takeOver(wanted) {
    clearTimeout(besideTimer);
    link.close();
    link = beside;
    beside = null;
    kind = transport = wanted;
    openedAt = null;
  }

  // -- what the page or the worker goes through

  function comeSoon() {
    drop();
    timer = setTimeout(begin, Math.max(0, notBefore - clock()));
  }

  function seen() {
    if (state === 'waiting' && kind === 'shared' && link) link.say('soon');
    else if (state === 'waiting' || (state === 'open' && clock() - heardAt > STALE_MS)) comeSoon();
  }

  function start() {
    watchdog = setInterval(look, LOOK_MS);
  }

  function finish(code, reason) {
    drop();
    if (code === KICKED) forget();
    if (state === 'closed') return;
    clearInterval(watchdog);
    state = 'closed';
    tell.ended();
    become('closed', { code, reason });
  }

  /* Nothing of the person who was here stays. */
  function forget() {
    tell.keep((position = null));
    tell.nobody();
    whose = null;
  }

  // -- frames

  function receive(text) {
    const frame = parsed(text);
    if (!frame || typeof frame !== 'object') return; // not ours
    const data = frame.data || {};
    spoke = true;
    heardAt = clock();
    choice.spoke(kind);
    if (frame.specversion) takeEvent(frame, text);
    else if (frame.type === 'exmail.snapshot') takeSnapshot(data, text);
    else if (frame.type === 'exmail.withdrawn') tell.withdrawn(data);
    else if (frame.type === 'exmail.upstream') tell.upstream(data, text);
    else if (frame.type === 'exmail.heartbeat') tell.heartbeat(text);
    else if (frame.type === 'exmail.closing') lost(data.code, data.reason, data.retry_ms);
  }

  function takeSnapshot(data, text) {
    // The cookie names somebody else now. Nothing of the one stays beside anything of the other.
    const now = settings.many ? data.session : data.mailbox;
    const another = whose !== null && now !== whose;
    const goOn = current(another && data.resumed ? begin : openWith);
    if (another) forget();
    whose = now;
    goOn(data, text);
  }

  function openWith(data, text) {
    // One that takes over continues from where it was dialled, and the stream beside it went on meanwhile.
    if (!data.resumed || !(distance(position, data.position) < 0)) keep(data.position, data.mailbox);
    notBefore = 0;
    unproved = false;
    if (data.expires_in) renewIn(data.expires_in * 800); // a fifth before the end
    if (openedAt === null) {
      openedAt = clock();
      become('open');
      if (state === 'open') lookForWebSocket();
    }
    tell.snapshot(data, text);
  }

  function takeEvent(event, text) {
    const step = distance(position, event.id);
    if (step !== null && step <= 0) return;
    if (step > 1 && repaired !== position) {
      // The edge promises that this cannot be; should it be, asking once more is better than missing a mail.
      repaired = position;
      begin();
      return;
    }
    keep(event.id, event.subject);
    tell.event(event, text);
    if (kind !== 'shared') tell.announce(event);
  }

  return {
    get state() {
      return state;
    },
    get position() {
      return position;
    },
    get mailbox() {
      return settings.many && whose ? ALL : whose;
    },
    get transport() {
      return transport;
    },
    /* For how many ms there has been no connection. */
    get awayMs() {
      return state === 'open' ? 0 : clock() - closedAt;
    },
    address,
    askTicket: () => ticketOf(settings),
    begin,
    comeSoon,
    finish,
    forget,
    seen,
    start,
    /* After a pause, from where another page of this tab has come to. */
    goOn(after) {
      closedAt = clock();
      position = after || position;
      comeSoon();
    },
    /* The page is left: an open connection keeps it out of the browser's back/forward cache. */
    pause(reason) {
      drop();
      become('waiting', { reason });
    },
    online() {
      if (kind === 'shared' && link) link.say('online'); // no worker is told of it by Chromium
      else comeSoon();
    },
    /* From closed, too; `ready` is called before anything is dialled. */
    again(ready) {
      start();
      closedAt = clock();
      state = 'connecting';
      ready();
      begin();
    },
  };
}

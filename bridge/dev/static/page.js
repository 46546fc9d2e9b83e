/* The page of `dev`: it uses /client.js as a page of an OA would, and drives the simulated provider beside it. */
(function () {
  'use strict';

  const { $, tell } = window.View;
  const view = window.View;

  const AWAY_MAILS = 5;
  const AWAY_MS = 900; // long enough to be seen
  const VERDICT_DUE_MS = 10000;
  const SIGN_IN_AGAIN_MS = 30000;
  const SIGN_IN_CODES = [3005, 3009]; // expired; no credential
  const ACCOUNTS_MS = 2000;

  let mail = null;
  let mailbox = null;
  let transport = 'websocket';
  let signedInAt = 0;
  let missed = null; // counts what comes for a resumed connection: {until, count}
  let away = null; // a dropped connection that is being looked at

  // -- what the provider's simulator and the cookie are asked for

  async function ask(path, body) {
    const options = body && {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    };
    const answer = await fetch(`dev/${path}`, options);
    const result = await answer.json();
    if (!answer.ok) throw new Error(result.message);
    return result;
  }

  async function perform(command, body) {
    try {
      return await ask(command, Object.assign({ mailbox }, body));
    } catch (error) {
      tell('refused', error.message);
      return null;
    }
  }

  // -- the connection

  function connect(after) {
    mail = ExmailBridge.connect({ transport, title: true, after });
    mail.on('state', stateChanged);
    mail.on('snapshot', snapshotCame);
    mail.on('event', eventCame);
    mail.on('mail', mailCame);
    mail.on('unread', (count) => view.showCount(count));
    mail.on('upstream', upstreamCame);
    mail.on('heartbeat', () => tell('heartbeat'));
    window.mail = mail; // for whoever opens the browser's console
  }

  function name(used) {
    return used === 'sse' ? 'SSE' : 'WebSocket';
  }

  function stateChanged(state, detail) {
    view.showState(state, detail);
    if (state === 'open') tell('open', name(detail.transport));
    else if (state === 'waiting' && detail.code) {
      tell('waiting', detail.code, detail.reason || '', (detail.retry_ms / 1000).toFixed(1));
      if (SIGN_IN_CODES.includes(detail.code)) signInAgain();
    } else if (state === 'closed' && detail.code !== 1000) {
      tell('closed', detail.code, detail.reason);
      signInAgain();
    }
  }

  /* The cookie has run out, or its secret was changed: loading the page anew sets another one. */
  async function signInAgain() {
    if (Date.now() - signedInAt < SIGN_IN_AGAIN_MS) return;
    signedInAt = Date.now();
    await fetch('./');
    mail.reconnect();
  }

  function snapshotCame(data) {
    mailbox = data.mailbox;
    $('address').textContent = mailbox;
    showPosition();
    finishMissed();
    if (data.resumed) {
      missed = { until: Date.now(), count: 0, timer: setTimeout(finishMissed, 400) };
      return;
    }
    view.clearMails();
    for (const event of data.recent) view.addMail(event.data, event, false);
    view.markUnread();
    tell('anew', { word: 'reason', of: data.reason }, data.recent.length);
  }

  function finishMissed() {
    if (!missed) return;
    clearTimeout(missed.timer);
    tell('resumed', missed.count);
    missed = null;
  }

  function showPosition() {
    $('position').textContent = mail.position || '–';
  }

  let before = null;
  function upstreamCame(upstream) {
    view.showUpstream(upstream);
    if (before !== upstream.state) tell('upstream', { word: 'upstreamState', of: upstream.state }, upstream.why);
    before = upstream.state;
  }

  function eventCame(event) {
    showPosition();
    view.pulse();
    const pushedAt = Date.parse(event.time);
    if (missed && pushedAt <= missed.until) missed.count += 1;
    else if (pushedAt <= Date.now()) view.showLatency(Date.now() - pushedAt);
    if (event.type === 'exmail.mail.unread') tell('read', event.data.unread);
    if (away) away.saw(event);
  }

  function mailCame(data, event) {
    view.addMail(data, event, true);
    view.markUnread();
  }

  // -- away, and back: was anything missed?

  function seqOf(position) {
    return Number(position.slice(position.indexOf('-') + 1));
  }

  function watchTrip(from, settled) {
    const seqs = [];
    const times = new Map();
    let expected = null;
    let backAt = Infinity;

    function judge(overdue) {
      if (!expected) return;
      const missing = expected.filter((id) => !times.has(id)).length;
      if (missing && !overdue) return;
      const twice = expected.filter((id) => times.get(id) > 1).length;
      const wrong = seqs.findIndex((seq, index) => seq !== seqOf(from) + 1 + index);
      clearTimeout(due);
      if (missing) settled('bad', 'badMissing', missing);
      else if (twice) settled('bad', 'badTwice', twice);
      else if (wrong >= 0) settled('bad', 'badOrder', wrong ? seqs[wrong - 1] : seqOf(from), seqs[wrong]);
      else settled('good', away.missed, seqs[0], seqs[seqs.length - 1]);
    }

    const due = setTimeout(() => judge(true), VERDICT_DUE_MS);
    return {
      missed: 0,
      back() {
        backAt = Date.now();
      },
      expect(ids) {
        expected = ids;
        judge(false);
      },
      saw(event) {
        seqs.push(seqOf(event.id));
        if (Date.parse(event.time) <= backAt) this.missed += 1;
        const id = event.data.mail_id;
        if (id) times.set(id, (times.get(id) || 0) + 1);
        judge(false);
      },
      end: () => clearTimeout(due),
    };
  }

  async function drop() {
    if (!mail.position) return;
    $('drop').disabled = true;
    tell('drop');
    mail.close();
    view.showVerdict('away');
    away = watchTrip(mail.position, (...verdict) => {
      away = null;
      $('drop').disabled = false;
      view.showVerdict(...verdict);
    });
    const [answer] = await Promise.all([
      deliver(AWAY_MAILS),
      new Promise((resolve) => setTimeout(resolve, AWAY_MS)),
    ]);
    if (answer && answer.mail_ids.length) away.expect(answer.mail_ids);
    else forgetTrip();
    if (away) away.back();
    mail.reconnect();
  }

  function forgetTrip() {
    if (away) away.end();
    away = null;
    $('drop').disabled = false;
    view.showVerdict('none');
  }

  // -- buttons

  async function deliver(n) {
    const result = await perform('mail', { n });
    if (!result) return null;
    if (!result.mail_ids.length) tell('unheard', n);
    else if (n === 1) tell('mail');
    else tell('burst', n);
    return result;
  }

  const commands = {
    mail: () => deliver(1),
    burst: () => deliver(50),
    read: async () => (await perform('read')) && tell('commandRead'),
    cut: async () => (await perform('cut')) && tell('cut'),
    expire: async () => (await perform('expire')) && tell('expire'),
    async malformed() {
      const result = await perform('malformed');
      if (result) tell(result.repairable ? 'malformedRepaired' : 'malformedDead', result.defect);
    },
    silence: (button) => toggle(button),
    traffic: (button) => toggle(button),
  };

  async function toggle(button) {
    const command = button.dataset.command;
    const result = await perform(command, { on: button.getAttribute('aria-pressed') !== 'true' });
    if (!result) return;
    showToggle(command, result.on);
    tell(result.on ? `${command}On` : `${command}Off`);
  }

  function showToggle(command, on) {
    document.querySelector(`[data-command="${command}"]`).setAttribute('aria-pressed', String(on));
  }

  for (const button of document.querySelectorAll('[data-command]')) {
    button.addEventListener('click', () => commands[button.dataset.command](button));
  }
  $('drop').addEventListener('click', drop);

  $('mails').addEventListener('click', (click) => {
    const row = click.target.closest('.mail');
    if (!row || click.ctrlKey || click.metaKey || click.shiftKey) return;
    click.preventDefault();
    mail.open(row.dataset.mailId).then((opened) => tell(opened ? 'opened' : 'blocked'));
  });

  $('transport').addEventListener('change', (event) => {
    transport = event.target.value;
    const position = mail.position;
    mail.close();
    connect(position);
  });

  $('mailbox').addEventListener('change', async (event) => {
    const result = await perform('mailbox', { mailbox: event.target.value });
    if (!result) return;
    forgetTrip();
    mail.close();
    tell('signedIn', result.mailbox);
    view.showCount(null);
    connect();
  });

  function fill(result) {
    mailbox = result.mailbox;
    for (const account of result.mailboxes) {
      const option = view.make('option', '', account.name ? `${account.name} · ${account.address}` : account.address);
      option.value = account.address;
      $('mailbox').append(option);
    }
    $('mailbox').value = mailbox;
    $('mailbox').disabled = !result.local;
    view.showProvider(result.simulated);
    showToggle('silence', result.silence);
    showToggle('traffic', result.traffic);
    for (const button of document.querySelectorAll('.buttons button')) {
      button.disabled = !(result.local && result.simulated);
    }
  }

  async function start() {
    const result = await ask('state');
    if (result.mailbox) {
      fill(result);
      connect();
      return;
    }
    // A real provider's accounts are not known yet, or this browser keeps no cookie of ours.
    setTimeout(async () => {
      await fetch('./');
      start();
    }, ACCOUNTS_MS);
  }

  start();
})();

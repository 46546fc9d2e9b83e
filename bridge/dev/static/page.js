/* The page of `dev`: it uses /client.js as a page of an OA would, and drives the simulated provider beside it. */
(function () {
  'use strict';

  const { $, tell } = window.View;
  const view = window.View;
  const { watchTrip, watchEffects } = window.Trial;

  const AWAY_MAILS = 5;
  const AWAY_MS = 900; // long enough to be seen
  const SIGN_IN_AGAIN_MS = 30000;
  const SIGN_IN_CODES = [3005, 3009]; // expired; no credential
  const AGAIN_MS = 2000;
  const COPIED_MS = 2000;

  let mail = null;
  let mailbox = null;
  let transport = 'websocket';
  let signedInAt = 0;
  let missed = null; // counts what comes for a resumed connection: {until, count}
  let away = null; // a dropped connection that is being looked at
  let lostAt = null; // since when there is no connection, if there ever was one
  let ended = null; // why the connection does not come back
  let upstreamNow = null;
  const effects = watchEffects((...verdict) => {
    if (!away) view.showVerdict(...verdict);
  });

  // -- what the provider's simulator and the cookie are asked for

  class Unreached extends Error {}

  async function ask(path, body) {
    const options = body && {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    };
    const answer = await fetch(`dev/${path}`, options).catch(() => {
      throw new Unreached();
    });
    const result = await answer.json();
    if (!answer.ok) throw new Error(result.message);
    return result;
  }

  async function perform(command, body) {
    try {
      return await ask(command, Object.assign({ mailbox }, body));
    } catch (error) {
      if (error instanceof Unreached) {
        tell('unreached');
        effects.say('unreached');
      } else tell('refused', error.message);
      return null;
    }
  }

  // -- the connection

  function connect(after) {
    mail = ExmailBridge.connect({ transport, title: true, badge: '#badge', after });
    mail.on('state', stateChanged);
    mail.on('snapshot', snapshotCame);
    mail.on('event', eventCame);
    mail.on('mail', mailCame);
    mail.on('unread', (count) => {
      view.showCount(count);
      effects.count(count);
    });
    mail.on('stale', (why) => {
      if (why) tell('stale', { word: 'stale', of: why });
      beHonest();
    });
    mail.on('upstream', upstreamCame);
    mail.on('heartbeat', () => tell('heartbeat'));
    window.mail = mail; // for whoever opens the browser's console
  }

  function name(used) {
    return used === 'sse' ? 'SSE' : 'WebSocket';
  }

  /* A number that may not be true any more says so, at once and where it stands. */
  function beHonest() {
    if (mail.state === 'open') lostAt = ended = null;
    else if (lostAt === null && mail.position) lostAt = Date.now();
    if (ended) view.showHonest('closed', lostAt, ended);
    else if (mail.stale === 'credential') view.showHonest('credential', lostAt);
    else if (lostAt !== null) view.showHonest('edge', lostAt);
    else if (upstreamNow && upstreamNow.state !== 'connected') view.showHonest('provider', upstreamNow.since);
    else view.showHonest(null);
  }

  function stateChanged(state, detail) {
    view.showState(state, detail);
    if (state === 'closed' && detail.code !== 1000) ended = `${detail.code} ${detail.reason}`;
    beHonest();
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
    try {
      await fetch('./');
    } catch (error) {
      return; // nobody is there to sign in with; it is tried again with the next refusal
    }
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
    upstreamNow = upstream;
    view.showUpstream(upstream);
    effects.upstream(upstream.state, upstream.since);
    beHonest();
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
    effects.saw(event);
    if (away) away.saw(event);
  }

  function mailCame(data, event) {
    view.addMail(data, event, true);
    view.markUnread();
    view.showNews(data);
  }

  // -- away, and back: was anything missed?

  async function drop() {
    if (!mail.position) return;
    $('drop').disabled = true;
    tell('drop');
    mail.close();
    beHonest();
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

  /* Mails that are seen in the badge. */
  async function pushed(n) {
    const result = await deliver(n);
    if (!result) return;
    if (result.mail_ids.length) effects.mails(result.mail_ids);
    else effects.say('unheard');
  }

  const commands = {
    mail: () => pushed(1),
    burst: () => pushed(50),
    async read() {
      effects.wait('empty');
      if (!(await perform('read'))) return;
      tell('commandRead');
      effects.count(mail.unread);
    },
    async cut() {
      effects.wait('away'); // it may be told sooner than the command is answered
      if (await perform('cut')) tell('cut');
    },
    /* The session goes on with a new token, so only a mail shows that anything happened. */
    async expire() {
      if (!(await perform('expire'))) return;
      tell('expire');
      await pushed(1);
    },
    async malformed() {
      const result = await perform('malformed');
      if (!result) return;
      tell(result.repairable ? 'malformedRepaired' : 'malformedDead', result.defect);
      if (!result.mail_ids.length) effects.say('unheard');
      else if (result.repairable) effects.mails(result.mail_ids, 'repaired');
      else effects.say('dropped');
    },
    silence: (button) => toggle(button),
    traffic: (button) => toggle(button),
  };

  async function toggle(button) {
    const { command } = button.dataset;
    const result = await perform(command, { on: button.getAttribute('aria-pressed') !== 'true' });
    if (!result) return;
    showToggle(command, result.on);
    tell(result.on ? `${command}On` : `${command}Off`);
    effects.say(result.on ? `${command}On` : `${command}Off`);
  }

  function showToggle(command, on) {
    document.querySelector(`[data-command="${command}"]`).setAttribute('aria-pressed', String(on));
  }

  for (const button of document.querySelectorAll('[data-command]')) {
    button.addEventListener('click', () => {
      const { command } = button.dataset;
      if (!button.hasAttribute('aria-pressed')) effects.begin(command === 'malformed' ? 'repaired' : command);
      commands[command](button);
    });
  }
  $('drop').addEventListener('click', drop);

  let copiedTimer = 0;
  $('copy').addEventListener('click', async () => {
    let word = 'copied';
    try {
      await navigator.clipboard.writeText($('snippet').textContent);
    } catch (error) {
      getSelection().selectAllChildren($('snippet')); // no clipboard on plain http: it is marked for Ctrl-C
      word = 'notCopied';
    }
    view.showCopied(word);
    clearTimeout(copiedTimer);
    copiedTimer = setTimeout(() => view.showCopied('copy'), COPIED_MS);
  });

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
    lostAt = ended = null;
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
    for (const button of document.querySelectorAll('.commands button')) {
      button.disabled = !(result.local && result.simulated);
    }
  }

  async function start() {
    try {
      const result = await ask('state');
      if (result.mailbox) {
        fill(result);
        connect();
        return;
      }
      // A real provider's accounts are not known yet, or this browser keeps no cookie of ours.
      await fetch('./');
    } catch (error) {
      tell('unreached');
    }
    setTimeout(start, AGAIN_MS);
  }

  start();
})();

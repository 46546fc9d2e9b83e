/* What the page shows. Mail is hostile text: it only ever becomes textContent. Nothing here knows where it came from. */
(function () {
  'use strict';

  const MOST_MAILS = 100;
  const MOST_LINES = 80;
  const ANNOUNCE_MS = 2000; // a burst must not make a screen reader count to fifty
  const PULSE_MS = 240;
  const NEWS_MS = 8000;

  const $ = (id) => document.getElementById(id);
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

  let words = navigator.language.toLowerCase().startsWith('zh') ? window.Words.zh : window.Words.en;
  try {
    words = window.Words[localStorage.getItem('exmail-bridge language')] || words;
  } catch (error) {
    /* refused by the browser's settings: its own language will do */
  }

  function make(tag, name, text) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function animate(element, frames, timing) {
    if (element.animate && !calm.matches) element.animate(frames, timing);
  }

  function clock(when) {
    return new Intl.DateTimeFormat(words.lang, {
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
    }).format(when);
  }

  // -- parts that are written again when the language changes

  const shown = { count: null, state: null, upstream: null, verdict: ['none'], provider: null, honest: [null], copied: 'copy' };

  function showCount(count) {
    if (shown.count !== count) {
      const grows = count > shown.count;
      for (const each of ['count', 'badge']) {
        animate($(each), [{ transform: `scale(${grows ? 1.15 : 0.94})` }, { transform: 'none' }], {
          duration: 260,
          easing: 'ease-out',
        });
      }
    }
    shown.count = count;
    $('count').textContent = count === null ? '–' : count.toLocaleString(words.lang);
    $('count').classList.toggle('none', !count);
    markUnread();
    announceSoon();
  }

  let announcing = 0;
  function announceSoon() {
    if (announcing) return;
    announcing = setTimeout(() => {
      announcing = 0;
      $('announce').textContent = words.announce(shown.count);
    }, ANNOUNCE_MS);
  }

  function showState(state, detail) {
    shown.state = [state, detail];
    let text = words.state[state];
    if (state === 'waiting' && detail.retry_ms !== undefined) {
      text = words.stateIn((detail.retry_ms / 1000).toFixed(1));
    }
    if (state === 'closed') text = words.stateCode(text, detail.code, detail.reason);
    $('state').textContent = text;
    $('state-dot').dataset.state = state;
    $('path').dataset.browser = state;
    $('path').children[7].classList.toggle('broken', state === 'waiting' || state === 'closed');
  }

  function showUpstream(upstream) {
    shown.upstream = upstream;
    const state = (upstream && upstream.state) || 'unknown';
    const text = words.upstreamState[state] || state;
    $('upstream').textContent = upstream && upstream.since ? words.since(text, clock(upstream.since)) : text;
    $('upstream').title = (upstream && upstream.why) || '';
    $('upstream-dot').dataset.state = state;
    $('path').dataset.upstream = state;
    $('path').children[1].classList.toggle('broken', state === 'degraded' || state === 'disconnected');
  }

  /* Why the number may be old, if it may; `why` is a code and its reason. */
  function showHonest(kind, since, why) {
    shown.honest = [kind, since, why];
    const text = kind ? words.honest[kind](clock(since || Date.now()), why) : '';
    if ($('honest').textContent !== text) $('honest').textContent = text;
    $('honest').hidden = !kind;
    $('oa').dataset.stale = kind || '';
    $('count').classList.toggle('old', kind !== null);
  }

  let newsTimer = 0;
  function showNews(data) {
    const { name } = person(data.sender);
    const news = $('news');
    const from = make('b', '', name);
    const subject = make('span', '', data.mail_subject || words.noSubject);
    for (const hostile of [from, subject]) hostile.dir = 'auto';
    news.replaceChildren(from, subject);
    news.classList.add('here');
    animate(news, [{ opacity: 0, transform: 'translateY(6px)' }, { opacity: 1, transform: 'none' }], { duration: 240 });
    clearTimeout(newsTimer);
    newsTimer = setTimeout(() => news.classList.remove('here'), NEWS_MS);
  }

  /* 'copy' | 'copied' | 'notCopied' */
  function showCopied(word) {
    shown.copied = word;
    $('copy-word').textContent = words[word];
  }

  /*
   * 'none' | 'away' | 'good', count, first, last | 'bad', word, …values; of a button 'busy' | 'done' | 'said', outcome,
   * how many came, in how many ms
   */
  function showVerdict(kind, ...values) {
    shown.verdict = [kind, ...values];
    let rest = '';
    let head = words.verdictNone;
    if (kind === 'away') head = words.verdictAway;
    if (kind === 'good') {
      head = words.verdictGood(values[0]);
      rest = words.verdictGoodRest(values[1], values[2]);
    }
    if (kind === 'bad') {
      head = words.verdictBad;
      rest = words[values[0]](...values.slice(1));
    }
    if (kind === 'busy' || kind === 'done' || kind === 'said') head = words.outcome[values[0]](...values.slice(1));
    $('verdict-head').textContent = head;
    $('verdict-rest').textContent = rest;
    $('verdict').dataset.verdict = values[0] === 'unreached' ? 'bad' : kind;
  }

  function showProvider(simulated) {
    shown.provider = simulated;
    $('provider').textContent = simulated ? words.simulated : words.real;
  }

  function translate() {
    document.documentElement.lang = words.lang;
    for (const element of document.querySelectorAll('[data-word]')) {
      element.textContent = words[element.dataset.word];
    }
    $('language').textContent = words.other;
    $('language').lang = words === window.Words.en ? 'zh-CN' : 'en';
    $('mails').dataset.empty = words.noMails;
    showCopied(shown.copied);
    showHonest(...shown.honest);
    for (const nothing of document.querySelectorAll('.nothing')) nothing.textContent = words.noSubject;
    showCount(shown.count);
    if (shown.state) showState(...shown.state);
    showUpstream(shown.upstream);
    showVerdict(...shown.verdict);
    if (shown.provider !== null) showProvider(shown.provider);
    for (const line of $('story').children) line.lastChild.textContent = sentence(line.sentence);
  }

  function switchLanguage() {
    const next = words === window.Words.en ? 'zh' : 'en';
    words = window.Words[next];
    try {
      localStorage.setItem('exmail-bridge language', next);
    } catch (error) {
      /* as above: then it holds until the page is left */
    }
    translate();
  }

  // -- mails

  /* '"Bob" <bob@corp.com>' → the name and the address; either may be missing. */
  function person(sender) {
    const parts = /^\s*"?(.*?)"?\s*<([^<>]*)>\s*$/.exec(sender || '');
    const name = parts ? parts[1] : sender || '';
    return { name: name || (parts ? parts[2] : ''), address: parts && parts[1] ? parts[2] : '' };
  }

  function hue(text) {
    let sum = 0;
    for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 360;
    return sum;
  }

  function mailRow(data, time) {
    const { name, address } = person(data.sender);
    const row = make('li', 'mail');
    row.dataset.mailId = data.mail_id;
    const avatar = make('span', 'avatar', Array.from(name)[0] || '?');
    avatar.setAttribute('aria-hidden', 'true');
    avatar.style.setProperty('--hue', hue(name));
    const sender = make('span', 'sender', address ? `${name} · ${address}` : name);
    const when = make('time', '', clock(time));
    when.dateTime = time.toISOString();
    // An ordinary link, for the keyboard, for "open in a new tab", and for a browser that blocks the window.
    const subject = make('a', 'subject', data.mail_subject || words.noSubject);
    subject.href = `mail/open?mailid=${encodeURIComponent(data.mail_id)}`;
    subject.target = '_blank';
    subject.rel = 'noopener';
    subject.classList.toggle('nothing', !data.mail_subject);
    const summary = make('span', 'summary', data.summary || '');
    for (const hostile of [sender, subject, summary]) hostile.dir = 'auto';
    row.append(avatar, sender, when, subject, summary);
    return row;
  }

  function addMail(data, event, fresh) {
    const row = mailRow(data, new Date(event.time));
    $('mails').prepend(row);
    while ($('mails').children.length > MOST_MAILS) $('mails').lastChild.remove();
    if (fresh) {
      animate(row, [{ opacity: 0, transform: 'translateY(-8px)' }, { opacity: 1, transform: 'none' }], {
        duration: 320,
        easing: 'ease-out',
      });
      animate(row, [{ backgroundColor: 'var(--accent-soft)' }, { backgroundColor: 'transparent' }], {
        duration: 2200,
        easing: 'ease-out',
      });
    }
  }

  /* Which mails are unread is not told, only how many: the newest ones are the likeliest. */
  function markUnread() {
    const unread = shown.count || 0;
    Array.from($('mails').children).forEach((row, index) => row.classList.toggle('unread', index < unread));
  }

  // -- story

  function sentence([name, ...values]) {
    const word = (value) => (value && value.word ? words[value.word][value.of] || value.of : value);
    return words.sentences[name](...values.map(word));
  }

  /* `parts` begin with the name of a sentence of words.sentences; a value {word, of} is itself translated. */
  function tell(...parts) {
    const line = make('li');
    line.sentence = parts;
    if (parts[0] === 'closed' || parts[0] === 'refused') line.className = 'bad';
    line.append(make('time', '', clock(new Date())), make('span', '', sentence(parts)));
    $('story').prepend(line);
    while ($('story').children.length > MOST_LINES) $('story').lastChild.remove();
  }

  // -- the way of a push

  let pulsedAt = 0;
  function pulse() {
    const now = performance.now();
    if (now - pulsedAt < PULSE_MS) return;
    pulsedAt = now;
    Array.from(document.querySelectorAll('.link i')).forEach((dot, index) => {
      animate(dot, [{ left: '0', opacity: 0 }, { opacity: 1, offset: 0.3 }, { left: '100%', opacity: 0 }], {
        duration: PULSE_MS,
        delay: index * PULSE_MS * 0.6,
      });
    });
  }

  const latencies = [];
  function showLatency(ms) {
    latencies.push(ms);
    if (latencies.length > 15) latencies.shift();
    const middle = latencies.slice().sort((a, b) => a - b)[latencies.length >> 1];
    $('latency').hidden = false;
    $('latency').firstElementChild.textContent = `${middle} ms`;
  }

  $('language').addEventListener('click', switchLanguage);
  translate();

  window.View = {
    $,
    addMail,
    clearMails: () => $('mails').replaceChildren(),
    make,
    markUnread,
    pulse,
    showCount,
    showLatency,
    showCopied,
    showHonest,
    showNews,
    showProvider,
    showState,
    showUpstream,
    showVerdict,
    tell,
  };
})();

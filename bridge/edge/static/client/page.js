/* What a page has: its address, its storage, its title, and what it may ask for. */

const MOST_PREFIXES = 100;
const NAMES = ['mail', 'unread', 'missed', 'snapshot', 'upstream', 'event', 'heartbeat', 'state', 'stale', 'withdrawn'];
const TRANSPORTS = ['auto', 'websocket', 'sse'];
const inUse = []; // what the open connections of this page keep in sessionStorage, and how each is ended

/* Absolute, with a slash at the end. By a link, because `URL` may be a variable of the page. */
function baseUrl(url) {
  const ours = /\/client\.m?js([?#]|$)/.test(HERE || '');
  const link = document.createElement('a');
  link.href = url || (HERE || '/').replace(/[?#].*$/, '').replace(/[^/]*$/, '');
  if (!/^https?:$/.test(link.protocol)) throw new TypeError(`ExmailBridge: url is no address of an edge: ${url}`);
  const base = link.href.replace(/[?#].*$/, '').replace(/\/?$/, '/');
  if (!url && !ours) console.warn(`ExmailBridge: in a bundle or a module the option url is needed; taken is ${base}`);
  return base;
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

/* What storage says; null where it is refused by the browser's settings, or full. */
function attempted(act) {
  try {
    return act();
  } catch (error) {
    return null;
  }
}

function memory(storage, base, mailbox) {
  let key = storage === true ? `exmail-bridge ${base} ${mailbox || ''}` : storage;
  if (key) key += framePath();
  for (let index = 0; key && index < inUse.length; index += 1) {
    if (inUse[index].key !== key) continue;
    key += '+'; // another connection of this page keeps its own there
    index = -1;
  }
  return {
    key,
    read: () => attempted(() => key && sessionStorage.getItem(key)),
    write(position) {
      attempted(() => key && (position ? sessionStorage.setItem(key, position) : sessionStorage.removeItem(key)));
    },
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

const shown = typeof window === 'object' && window.ExmailBridge;
const pageTitle = (shown && shown.pageTitle) || countedTitle(); // loaded twice: one title

function checked(options) {
  if (typeof document === 'undefined') throw new TypeError('ExmailBridge: connect() needs a browser');
  const settings = Object.assign({}, options);
  settings.transport = settings.transport || 'auto';
  if (TRANSPORTS.indexOf(settings.transport) < 0) {
    throw new TypeError(`ExmailBridge: there is no transport ${settings.transport}`);
  }
  for (const name of ['ticket', 'refresh']) {
    if (settings[name] != null && typeof settings[name] !== 'function') {
      throw new TypeError(`ExmailBridge: ${name} is no function`);
    }
  }
  if (settings.mailboxes != null) {
    if (settings.mailboxes !== ALL) throw new TypeError(`ExmailBridge: mailboxes is '${ALL}' or left out`);
    settings.mailbox = ALL;
  }
  if (settings.notify && !/^(count|sender|subject)$/.test(settings.notify)) {
    throw new TypeError(`ExmailBridge: there is no way to notify: ${settings.notify}`);
  }
  const target = settings.badge;
  if (typeof target === 'string') document.querySelector(target); // says now what is wrong with it
  else if (target != null && target.nodeType !== 1) throw new TypeError('ExmailBridge: badge is an element or a selector');
  return settings;
}

/* What is said outside of the page's own text: desktop notifications, and what a badge says to those who do not see it. */

const TOGETHER_MS = 300; // what comes so close together, as after an absence, is one notification
const TOGETHER_MOST = 50; // of what does not cease it is said in between
const SHOWN_MOST = 50; // a page may be open for weeks, and nobody reads
const desktops = Object.create(null); // {shown, channel} by bridge and mailbox: a page may connect and close often
const WORDS = {
  zh: { unread: (n) => `${n} 封未读邮件`, mails: (n) => `${n} 封新邮件`, from: '新邮件：' },
  en: { unread: (n) => `${n} unread ${plural(n)}`, mails: (n) => `${n} new ${plural(n)}`, from: 'Mail from ' },
};

function plural(n) {
  return n > 1 ? 'mails' : 'mail';
}

function words() {
  return WORDS[/^zh/i.test(document.documentElement.lang || navigator.language) ? 'zh' : 'en'];
}

/* Foreign text that turns nothing round it: without controls of direction, and isolated. */
function isolated(text) {
  return `\u2068${String(text || '').replace(/[\u202a-\u202e\u2066-\u2069]/g, '')}\u2069`;
}

/* The notifications of one connect(). `opens` opens a mail; whose turn it is among tabs is not decided here. */
function makeNotices(mode, base, whose, opens) {
  const name = `exmail-bridge ${base}`;
  const key = `${name} ${whose}`;
  // There may be no channels, or none for a page that may not store.
  desktops[key] = desktops[key] || { shown: [], channel: attempted(() => new BroadcastChannel(name)) };
  const { shown, channel } = desktops[key]; // shown: {id, notice}, the oldest first
  let waiting = []; // data of mails that are not announced yet
  let missed = 0;
  let timer = 0;

  function show(title, id, body, mailbox) {
    close(id); // or one of several mails would quietly replace the last such
    // Chrome on Android leaves it to service workers, and throws.
    const notice = attempted(() => new Notification(title, { body, tag: `exmail-bridge ${id}` }));
    if (!notice) return;
    shown.push({ id, notice });
    if (shown.length > SHOWN_MOST) shown.shift().notice.close();
    notice.onclick = () => {
      window.focus();
      opens(id, mailbox);
    };
  }

  function announce() {
    const { sender, mail_subject: subject, mail_id: id, unread, mailbox } = waiting[0] || {};
    const count = waiting.length + missed;
    if (!count) return;
    if (count > 1 || missed) show(words().mails(count), '');
    else if (mode === 'count' || !sender) show(words().unread(unread || 1), id, '', mailbox);
    else if (mode === 'sender') show(words().from + isolated(sender), id, '', mailbox);
    else show(isolated(sender), id, isolated(subject), mailbox);
    waiting = [];
    missed = 0;
  }

  function close(id) {
    if (id === null) missed = 0;
    waiting = waiting.filter((data) => id !== null && data.mail_id !== id);
    for (let index = shown.length - 1; index >= 0; index -= 1) {
      if (id === null || shown[index].id === id) shown.splice(index, 1)[0].notice.close();
    }
  }

  if (channel) channel.onmessage = (message) => close(message.data);
  return {
    /* `count`: how many mails are gone for good; of one that came, its data. */
    add(data, count) {
      if (typeof Notification !== 'function' || Notification.permission !== 'granted') return;
      if (count) missed += count;
      else waiting.push(data);
      if (waiting.length > TOGETHER_MOST) return;
      clearTimeout(timer);
      timer = setTimeout(announce, TOGETHER_MS);
    },
    close,
    opened(id) {
      close(id);
      if (channel) channel.postMessage(id);
    },
  };
}

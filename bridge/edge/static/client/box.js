/* What the worker keeps of one mailbox: a snapshot that is true now, and the last events. */

const KEPT_BYTES = 262144;
const RECENT = 20; // as in the edge's own snapshots

function makeBox(mailbox) {
  let kept = []; // {text, bytes}, without a hole up to `position`
  let keptBytes = 0;

  return {
    mailbox,
    shown: false, // the connection has brought its snapshot, and has not withdrawn it
    withdrawn: null, // what the connection said instead
    known: null, // the data of the snapshot
    position: null,
    begin(data) {
      if (!data.resumed) {
        kept = [];
        keptBytes = 0;
      }
      // One that takes over was asked for some time ago.
      const newer = this.known && data.resumed && data.as_of < this.known.as_of;
      const count = newer ? { unread: this.known.unread, as_of: this.known.as_of } : null;
      if (!data.resumed || !(distance(this.position, data.position) < 0)) this.position = data.position;
      this.known = Object.assign({}, data.resumed ? this.known : null, data, count);
      this.shown = true;
      this.withdrawn = null;
    },
    add(event, text) {
      kept.push({ text, bytes: text.length * 2 });
      keptBytes += text.length * 2;
      while (keptBytes > KEPT_BYTES) keptBytes -= kept.shift().bytes;
      const { known } = this;
      const data = event.data || {};
      this.position = event.id;
      if (event.type === 'exmail.mail.new') known.recent = (known.recent || []).concat(event).slice(-RECENT);
      if (data.as_of != null && data.unread != null && !(data.as_of < known.as_of)) {
        known.unread = data.unread;
        known.as_of = data.as_of;
      }
    },
    /* The texts of the newest events; null where that many are not kept. */
    newest: (count) => (count > kept.length ? null : kept.slice(kept.length - count).map((each) => each.text)),
  };
}

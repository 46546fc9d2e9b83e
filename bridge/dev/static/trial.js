/* What a button has set going, and what came of it. */
(function () {
  'use strict';

  const DUE_MS = 10000;
  const MOST_SEEN = 200;

  function seqOf(position) {
    return Number(position.slice(position.indexOf('-') + 1));
  }

  /* A browser that was away since the position `from`: every mail has to come, once and in order. */
  function watchTrip(from, settled) {
    const seqs = [];
    const times = new Map();
    let expected = null;
    let backAt = Infinity;
    let missed = 0;

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
      else settled('good', missed, seqs[0], seqs[seqs.length - 1]);
    }

    const due = setTimeout(() => judge(true), DUE_MS);
    return {
      back() {
        backAt = Date.now();
      },
      expect(ids) {
        expected = ids;
        judge(false);
      },
      saw(event) {
        seqs.push(seqOf(event.id));
        if (Date.parse(event.time) <= backAt) missed += 1;
        const id = event.data.mail_id;
        if (id) times.set(id, (times.get(id) || 0) + 1);
        judge(false);
      },
      end: () => clearTimeout(due),
    };
  }

  /* One button after the other; the last one counts. `show` is view.showVerdict. */
  function watchEffects(show) {
    const seen = new Map(); // when a mail came, also before it is known which one was meant
    let name = null;
    let begunAt = 0;
    let ids = null; // mails that have to come
    let wants = null; // another sign: 'empty', or 'connected' after 'away'
    let latest = 0; // since when the provider's state is what it is

    function settle() {
      show('done', name, ids ? ids.length : 1, Date.now() - begunAt);
      ids = wants = null;
    }

    function look() {
      if (ids && ids.every((id) => seen.has(id))) settle();
    }

    return {
      begin(button) {
        [name, begunAt, ids, wants] = [button, Date.now(), null, null];
        show('busy', name, 0);
      },
      /* Nothing more is to be seen than the words say. */
      say(what) {
        ids = wants = null;
        show('said', what, 0);
      },
      mails(expected, as) {
        name = as || name;
        ids = expected;
        look();
      },
      wait(sign) {
        wants = sign;
      },
      saw(event) {
        if (!event.data.mail_id) return;
        seen.set(event.data.mail_id, Date.now());
        if (seen.size > MOST_SEEN) seen.delete(seen.keys().next().value);
        look();
      },
      count(unread) {
        if (wants === 'empty' && unread === 0) settle();
      },
      /* It may have been away and be back before anybody looked: then only the time is another. */
      upstream(state, since) {
        const isAnother = since !== latest;
        latest = since;
        if (wants === 'away' && state !== 'connected') wants = 'connected';
        else if (state === 'connected' && (wants === 'connected' || (wants === 'away' && isAnother))) settle();
      },
    };
  }

  window.Trial = { watchTrip, watchEffects };
})();

/* Who notifies: one tab does, of those that may, and whose person is known; one that answers, and until it does not. */

function makeHerald(tabs) {
  let unsaid = []; // what a tab was to notify of and has not said that it did: {event, tab, pings}

  function announce(event, silent) {
    const able = tabs().filter((tab) => tab.notifies && tab !== silent);
    const [tab] = able.filter((each) => each.pings < 2).concat(able);
    if (!tab) return;
    unsaid = unsaid.concat({ event, tab, pings: 0 }).slice(-RECENT);
    tab.port.postMessage({ announce: event });
  }

  return {
    announce,
    said(id) {
      unsaid = unsaid.filter((each) => each.event.id !== id);
    },
    /* With each ping: what a tab has not said by now is another one's. */
    look() {
      unsaid.slice().forEach((each) => {
        each.pings += 1;
        if (each.pings < 2) return;
        unsaid = unsaid.filter((one) => one !== each);
        announce(each.event, each.tab);
      });
    },
  };
}

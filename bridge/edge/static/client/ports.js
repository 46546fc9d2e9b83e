/* Where tabs come in: who asks for the same shares a relay. */

onconnect = ({ ports: [port] }) => {
  let shared = null;
  let tab = null;
  port.onmessage = ({ data }) => {
    if (tab) shared.heard(tab, data);
    else if (data.open) {
      const { base, mailbox, transport, session } = data.open;
      const key = JSON.stringify([base, mailbox || '', transport, session || '']);
      [shared] = relays.filter((each) => each.key === key);
      shared = shared || relay(key, data.open);
      tab = shared.join(port, data.open);
    }
  };
  port.postMessage({ hello: PROTOCOL });
};

setInterval(() => relays.forEach((each) => each.ping()), PING_MS);

import { connect, type BridgeEvent, type Snapshot, type State } from 'exmail-bridge-client';

const mail = connect({
  url: 'https://oa.corp.com/exmail/',
  ticket: () => fetch('/oa/exmail-ticket', { method: 'POST' }).then((answer) => answer.text()),
  session: 's',
  refresh: async () => undefined,
  badge: document.querySelector('#unread'),
  badgeMost: 999,
  notify: 'sender',
  storage: true,
});
const off: () => void = mail.on('snapshot', (data: Snapshot) => data.recent?.forEach((event) => event.data.mail_subject));
mail.on('state', (state: State, detail) => console.log(state, detail.code, detail.retry_ms));
mail.on('event', (event: BridgeEvent) => console.log(event.id, event.subject));
off();
// @ts-expect-error there is no such event
mail.on('mials', () => undefined);
// @ts-expect-error there is no such transport
connect({ transport: 'carrier-pigeon' });
// @ts-expect-error it cannot be set
mail.unread = 3;
export const opened: Promise<boolean> = mail.open('M1');

/* Exmail bridge, the browser's client: its types. The manual is docs/client.md. */

/** Opens a connection for a page; the tabs of a browser share one. Throws a TypeError where an option cannot work. */
export function connect(options?: Options): Mail;

export interface Options {
  /** Base URL of the edge, `https://oa.corp.com/exmail/`. Needed in a bundle. */
  url?: string;
  transport?: 'auto' | 'websocket' | 'sse';
  /** Returns a fresh one-time ticket; without it the browser's cookie decides. */
  ticket?: () => string | PromiseLike<string>;
  /** The `session` that came with the page's ticket: pages with tickets share a connection by it. */
  session?: string;
  /** Renews the cookie, or what `ticket` needs. */
  refresh?: () => unknown;
  /** `false`: this page has a connection of its own. */
  shared?: boolean;
  /** One of the token's mailboxes; default: its first. */
  mailbox?: string;
  /** All of the token's mailboxes, over one connection; `unread` is their sum. */
  mailboxes?: '*';
  /** `true`: the count stands before the page's title. */
  title?: boolean;
  /** Element or selector whose text becomes the count. */
  badge?: string | Element | null;
  /** From which number on the badge says only that there are more; default 99. */
  badgeMost?: number;
  /** Desktop notifications, and what they tell. */
  notify?: 'count' | 'sender' | 'subject';
  /** Position to continue from. */
  after?: string;
  /** `true`, or a key: the position is kept in sessionStorage. */
  storage?: boolean | string;
}

export type State = 'connecting' | 'open' | 'waiting' | 'closed';
export type Stale = 'provider' | 'credential' | 'edge' | null;

export interface StateDetail {
  transport: 'websocket' | 'sse' | null;
  code?: number;
  reason?: string;
  retry_ms?: number;
}

/** Foreign text: put it into a page with `textContent`, never as HTML. */
export interface NewMail {
  mailbox: string;
  /** Empty if the provider gave none. */
  mail_id: string;
  /** `null`: the mail came without a count. */
  unread: number | null;
  /** Epoch ms. */
  as_of: number;
  /** Texts that `BRIDGE_PRIVACY` keeps back are absent. */
  sender?: string;
  receiver?: string;
  mail_subject?: string;
  summary?: string;
}

export interface Missed {
  mailbox: string;
  /** Epoch ms. */
  since: number;
  until: number;
  at_least: number;
}

export interface Upstream {
  state: 'connected' | 'degraded' | 'disconnected';
  since: number | null;
  why: string;
}

export interface BridgeEvent<Data = Record<string, unknown>> {
  specversion: string;
  /** The position: where to continue from. */
  id: string;
  /** The number in `id`, padded so that it sorts. */
  sequence: string;
  source: string;
  type: string;
  /** The mailbox. */
  subject: string;
  time: string;
  datacontenttype: string;
  data: Data;
}

export interface Snapshot {
  mailbox: string;
  unread: number | null;
  as_of: number | null;
  position: string;
  /** `true`: what was missed follows. `false`: throw away what you have. */
  resumed: boolean;
  reason?: 'first' | 'expired' | 'epoch';
  /** If not resumed: the newest mails, oldest first. */
  recent?: BridgeEvent<NewMail>[];
  upstream: Upstream;
  /** `false`: the bridge knows no such account. */
  known: boolean;
  session: string | null;
  expires_in: number;
}

/** With `mailboxes`: this one is not shown, or not any more. */
export interface Withdrawn {
  mailbox: string;
  code: number;
  reason: string;
}

export interface Handlers {
  mail: (data: NewMail, event: BridgeEvent<NewMail>) => void;
  unread: (count: number | null) => void;
  missed: (data: Missed, event: BridgeEvent<Missed>) => void;
  snapshot: (data: Snapshot) => void;
  upstream: (data: Upstream) => void;
  event: (event: BridgeEvent) => void;
  heartbeat: () => void;
  state: (state: State, detail: StateDetail) => void;
  stale: (why: Stale) => void;
  withdrawn: (data: Withdrawn) => void;
}

export interface Mail {
  readonly unread: number | null;
  /** By mailbox; `null`: not known. */
  readonly counts: Record<string, number | null>;
  readonly position: string | null;
  readonly state: State;
  readonly stale: Stale;
  readonly transport: 'websocket' | 'sse' | null;
  readonly mailbox: string | null;
  readonly upstream: Upstream | null;
  /** Returns a function that takes the handler away again. */
  on<Name extends keyof Handlers>(name: Name, handler: Handlers[Name]): () => void;
  /** Shows a mail, or the inbox, in a window; call it in a click handler. `false`: the browser blocked the window. */
  open(mailId?: string, mailbox?: string): Promise<boolean>;
  /** Asks for permission to notify; call it in a click handler. */
  allowNotifications(): Promise<boolean>;
  /** Signs out. `false`: the edge was not told, so the OA's back end must do it. */
  logout(): Promise<boolean>;
  reconnect(): void;
  close(): void;
}

/* Which transport is next: WebSocket, and event streams where that does not get through. */

const BLOCKED_TRIES = 2;
const BLOCKED_TRIES_AFTER_SUCCESS = 6; // WebSocket worked here before: it is rather the edge that is away

function transportChoice(wanted) {
  const hasWebSocket = typeof WebSocket === 'function';
  let blocked = 0; // WebSockets in a row that never brought a frame, whoever stands in the way
  let worked = false;

  function tries() {
    return worked ? BLOCKED_TRIES_AFTER_SUCCESS : BLOCKED_TRIES;
  }

  return {
    mayBeWebSocket: wanted === 'auto' && hasWebSocket,
    next() {
      if (wanted !== 'auto') return wanted;
      return hasWebSocket && blocked < tries() ? 'websocket' : 'sse';
    },
    spoke(kind) {
      if (kind !== 'websocket') return;
      worked = true;
      blocked = 0;
    },
    lost(kind, code, { dialled, spoke, opened }) {
      // A proxy may say "busy" in the edge's place, and that is no reason against WebSocket.
      if (kind === 'sse' && !opened && (!spoke || code === BUSY)) blocked = tries() - 1;
      if (kind === 'websocket' && dialled && !spoke && code < 3000) blocked += 1;
    },
  };
}

/* What a connection is opened with: a ticket, or nothing, and then the cookie decides. */

async function ticketOf(settings) {
  if (!settings.ticket) return null;
  const ticket = await settings.ticket();
  // Without a ticket the browser's cookie would decide, and it may be another person's.
  if (typeof ticket !== 'string' || !ticket.trim()) throw Object.assign(new Error('it is no text'), { status: 401 });
  return ticket.trim();
}

/* After the credential was refused: by one that was renewed, where that can be. */
async function renewed(settings) {
  if (settings.refresh) await settings.refresh();
  return ticketOf(settings);
}

/* Code and reason, as of a connection that has ended. */
function whyNoTicket(error) {
  const nobody = error && (error.status === 401 || error.status === 403);
  const why = (error && (error.message || error.statusText || error.status)) || error;
  return [nobody ? NO_CREDENTIAL : 0, `no ticket: ${why}`];
}

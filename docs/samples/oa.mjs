// A small OA in Express: it signs people in, and shows everybody the badge of his own mailbox.
//
//     npm install express && SECRET=… node oa.mjs
//
// SECRET is BRIDGE_EDGE_JWT_SECRET of the edge. Your proxy serves the edge at /exmail/ and this, on port 3000 or PORT,
// at everything else of the same host.
import { createHmac, randomUUID } from 'node:crypto'
import express from 'express'

const sessions = new Map() // Yours. Session -> mailbox

const page = `<!doctype html><title>OA</title>
<p>Mail <b id="unread"></b> <button id="out">Sign out</button> <ul id="mails"></ul>
<script src="/exmail/client.js"></script>
<script>
  const renew = () => fetch('/renew', { method: 'POST' }).then((answer) => { if (!answer.ok) throw answer })
  const mail = ExmailBridge.connect({ badge: '#unread', title: true, refresh: renew })
  const mails = document.querySelector('#mails')
  const show = ({ mail_subject = '' }) => mails.prepend(Object.assign(document.createElement('li'), { textContent: mail_subject }))
  mail.on('mail', show)
  mail.on('snapshot', ({ resumed, recent }) => { if (!resumed) mails.replaceChildren(); recent?.forEach(({ data }) => show(data)) })
  mail.on('state', (state) => { if (state === 'closed') mails.replaceChildren() })
  document.querySelector('#out').onclick = async () => {
    await mail.logout()
    await fetch('/signout', { method: 'POST' })
    location.reload()
  }
</script>`
const form = `<!doctype html><title>OA</title>
<form method="post" action="/signin"><input name="mailbox"> <button>Sign in</button></form>`

function token(mailbox, sid) {
  const part = (data) => Buffer.from(JSON.stringify(data)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: mailbox, sid, iat: now, exp: now + 8 * 3600 })}`
  return `${text}.${createHmac('sha256', process.env.SECRET).update(text).digest('base64url')}`
}

const sessionOf = (request) => /(?:^|; )oa=([\w-]+)/.exec(request.headers.cookie)?.[1]
const kept = (request, path) => ({ path, httpOnly: true, sameSite: 'lax', secure: request.secure })

// The bridge's cookie, anew with each page and before it ends.
function name(request, response, next) {
  request.mailbox = sessions.get(sessionOf(request))
  if (request.mailbox) {
    response.cookie('exmail_bridge', token(request.mailbox, sessionOf(request)), kept(request, '/exmail/'))
  }
  next()
}

const app = express().set('trust proxy', 'loopback').use(express.urlencoded())
app.get('/', name, (request, response) => response.send(request.mailbox ? page : form))
app.post('/renew', name, (request, response) => response.sendStatus(request.mailbox ? 204 : 401))
app.post('/signin', (request, response) => {
  const session = randomUUID()
  sessions.set(session, request.body.mailbox) // Yours: is it he? And is this his mailbox?
  response.cookie('oa', session, kept(request, '/')).redirect(303, '/')
})
app.post('/signout', (request, response) => {
  sessions.delete(sessionOf(request))
  response.clearCookie('oa').sendStatus(204)
})
app.listen(Number(process.env.PORT || 3000), '127.0.0.1')

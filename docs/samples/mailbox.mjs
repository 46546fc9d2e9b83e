// Follow one mailbox over the edge, from where the last run ended.
//
//     EDGE=https://oa.corp.com/exmail/ TOKEN=… node mailbox.mjs events     # or: websocket
//
// The position is kept in the file POSITION (default: position.txt). Needs nothing but Node: 18 for events, 22 for
// websocket (20 with --experimental-websocket).
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const edge = process.env.EDGE.replace(/\/$/, '')
const headers = { authorization: `Bearer ${process.env.TOKEN}` }
const place = process.env.POSITION || 'position.txt'
const silenceMs = 60_000 // two heartbeats and their delay
const longestWaitMs = 30_000

// Yours. After a crash the last event may come again.
function work(event) {
  console.log(event.id, event.type, event.data.mail_id ?? '')
}

// Yours: what came before cannot be continued. `recent` holds the newest mails.
function beginAnew(snapshot) {
  console.log('anew:', snapshot.reason, snapshot.recent.length)
}

// Calls frame(text) for each frame; resolves when the connection has ended, rejects when it was lost.
function overWebSocket(query, frame) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${edge.replace(/^http/, 'ws')}/ws${query}`, { headers })
    const lose = (why) => {
      clearTimeout(timer)
      reject(new Error(why))
      socket.onerror = socket.onclose = null // close() of one that failed fails again, for ever
      socket.close()
    }
    let timer = setTimeout(lose, silenceMs, 'silence')
    socket.onmessage = ({ data }) => {
      clearTimeout(timer)
      timer = setTimeout(lose, silenceMs, 'silence')
      frame(data)
    }
    socket.onerror = ({ message }) => lose(message || 'no connection')
    socket.onclose = () => {
      clearTimeout(timer)
      resolve()
    }
  })
}

async function overEvents(query, frame) {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), silenceMs)
  try {
    const answer = await fetch(`${edge}/events${query}`, {
      headers: { ...headers, accept: 'text/event-stream' },
      signal: silence.signal,
    })
    if (!answer.ok) throw new Error(`the edge answers ${answer.status}`)
    let rest = ''
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), silenceMs)
      const lines = (rest + piece).split('\n')
      rest = lines.pop()
      lines.filter((line) => line.startsWith('data: ')).forEach((line) => frame(line.slice(6)))
    }
  } finally {
    clearTimeout(timer)
  }
}

// One connection; how many ms the edge asked to wait.
async function follow(transport) {
  const position = existsSync(place) ? readFileSync(place, 'utf8') : ''
  let asked = 0
  await transport(position && `?after=${encodeURIComponent(position)}`, (text) => {
    const frame = JSON.parse(text)
    const { data } = frame
    if (frame.type === 'exmail.snapshot') {
      if (!data.resumed) beginAnew(data)
      writeFileSync(place, data.position)
    } else if (frame.type === 'exmail.closing') {
      if ((data.code >= 3500 && data.code <= 3999) || (data.code >= 4500 && data.code <= 4999)) {
        console.error(`sent away: ${data.code} ${data.reason}`)
        process.exit(1)
      }
      asked = data.retry_ms
    } else if (frame.id) {
      // Frames of types that are not known are ignored.
      work(frame)
      writeFileSync(place, frame.id)
    }
  })
  return asked
}

const transport = { websocket: overWebSocket, events: overEvents }[process.argv[2]]
for (let failures = 0; ; failures += 1) {
  const begun = performance.now()
  const asked = await follow(transport).catch((error) => console.error('lost:', error.message))
  if (performance.now() - begun > longestWaitMs) failures = 0 // it was a good one
  const wait = Math.max(asked ?? 0, Math.random() * Math.min(longestWaitMs, 500 * 2 ** failures))
  await new Promise((resume) => setTimeout(resume, wait))
}

// Hear every mailbox event as it is published, and where something was not heard: pub/sub itself never says so.
//
//     REDIS_URL=redis://127.0.0.1:6379/0 node pubsub.mjs
//
// For what may be missed. Who must not miss a mail reads the stream: group.mjs.
import Redis from 'ioredis'

const positions = new Map() // of each mailbox: the id of its newest event

// Yours.
function work(event) {
  console.log(event.id, event.type, event.data.mailbox)
}

// Yours. Mailboxes' own histories are in {exmail}:log:<address>, their counts in {exmail}:mailbox:<address>.
function missed(why) {
  console.error('events may be missing:', why)
}

// Without an end to its tries: by itself it gives up what waits, and with it this program, when Redis is away for 10 s.
const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null, socketTimeout: 20_000, keepAlive: 10_000 })
redis.on('error', (error) => console.error('Redis is away:', error.message))
// The client connects anew, and subscribes, by itself. This is how it tells.
redis.on('ready', () => missed('whatever was published before this connection'))
redis.on('pmessage', (_pattern, _channel, text) => {
  const event = JSON.parse(text)
  const [epoch, number] = event.id.split('-')
  const last = positions.get(event.source)
  if (last !== undefined && last !== `${epoch}-${BigInt(number) - 1n}`) {
    missed(`of ${event.source} between ${last} and ${event.id}`)
  }
  positions.set(event.source, event.id)
  work(event)
})
// A connection that does not answer this within socketTimeout is dropped, and built again.
setInterval(() => redis.status === 'ready' && redis.ping().catch(() => {}), 10_000)
await redis.psubscribe('exmail:mailbox:*')

// Work on each event once, together with others of one consumer group; hear where some may have been lost.
//
//     REDIS_URL=redis://127.0.0.1:6379/0 node group.mjs create          once: the group gets what comes from now on
//     REDIS_URL=redis://127.0.0.1:6379/0 node group.mjs work worker-1   as many as you like, each with its own name
import Redis from 'ioredis'

const KEY = '{exmail}:events'
const GROUP = 'workflow'
const BLOCK_MS = 10_000
// What a consumer took and did not acknowledge for so long is given to another one: longer than ten events ever take.
const IDLE_MS = Number(process.env.IDLE_MS ?? 60_000)

// All times end: on a dead connection there is an error, and a new one, instead of silence.
const redis = new Redis(process.env.REDIS_URL, { socketTimeout: 30_000, keepAlive: 10_000 })
redis.on('error', (error) => console.error('Redis is away:', error.message))

// Yours. It may be called twice for one event: remember what is done by mailbox and mail_id.
async function work(event) {
  console.log(event.id, event.type, event.data.mailbox)
}

// Yours. What the events would have told you has to be looked up, or somebody must know.
function missed(why) {
  console.error('events may be missing:', why)
}

async function create(start) {
  try {
    await redis.xgroup('CREATE', KEY, GROUP, start, 'MKSTREAM')
  } catch (error) {
    if (!error.message.startsWith('BUSYGROUP')) throw error // another consumer was quicker
  }
}

// Whether nothing is missing between two ids, <generation>-<n>; 0-0 is before all of them.
function follows(last, id) {
  const [generation, number] = id.split('-')
  return last === '0-0' ? number === '0' : last === `${generation}-${BigInt(number) - 1n}`
}

// The next entries of the group, and where it was before them: one step, no other consumer comes between.
async function take(name) {
  const [[, groups], [failed, answer]] = await redis
    .multi()
    .xinfo('GROUPS', KEY)
    .xreadgroup('GROUP', GROUP, name, 'COUNT', 10, 'STREAMS', KEY, '>')
    .exec()
  if (failed) throw failed
  const group = groups.find((each) => each[each.indexOf('name') + 1] === GROUP)
  return { last: group[group.indexOf('last-delivered-id') + 1], entries: answer ? answer[0][1] : [] }
}

async function finish(entries) {
  for (const [id, fields] of entries) {
    await work(JSON.parse(fields[fields.indexOf('event') + 1]))
    await redis.xack(KEY, GROUP, id)
  }
}

// What consumers took and never finished: this one's of before a restart, too.
async function takeOver(name) {
  let cursor = '0-0'
  do {
    const [next, entries, gone] = await redis.xautoclaim(KEY, GROUP, name, IDLE_MS, cursor, 'COUNT', 10)
    if (gone.length) missed(`${gone.length} that were taken and never finished have been trimmed since`)
    await finish(entries)
    cursor = next
  } while (cursor !== '0-0')
}

async function run(name) {
  let takeOverAt = 0
  let isGone = false
  for (;;) {
    try {
      if (isGone) {
        await create('0') // from the beginning: nobody knows better
        isGone = false
      }
      if (performance.now() >= takeOverAt) {
        await takeOver(name)
        takeOverAt = performance.now() + IDLE_MS
      }
      let { last, entries } = await take(name)
      for (const [id] of entries) {
        if (!follows(last, id)) missed(`between ${last} and ${id}`)
        last = id
      }
      await finish(entries)
      if (!entries.length) await redis.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', KEY, last)
    } catch (error) {
      if (error.message.startsWith('NOGROUP')) {
        // Redis was emptied, or a dump of before the group was restored.
        missed('the group was gone')
        isGone = true
        continue
      }
      // It is away, is starting, takes no writes. Or it is the master no more: a new connection finds who is.
      console.error('Redis is away:', error.message)
      // Whatever the error is called: a bundler changes names. And only one that stands: the client ends for good where
      // a connection is left while it is being made.
      if (redis.status === 'ready') redis.disconnect(true)
      await new Promise((done) => setTimeout(done, 1000))
      // A connection that is left while it is being made is the client's last, unless it is told otherwise.
      if (redis.status === 'end') redis.connect().catch(() => {})
    }
  }
}

if (process.argv[2] === 'create') {
  await create('$')
  redis.disconnect()
} else {
  await run(process.argv[3])
}

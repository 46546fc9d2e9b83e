-- ------------------------------------------------------------------------------------------ writing
-- All verbs below need the lease and have a call number. The arguments that they share:
--   new_epoch: the epoch of a stream that begins here  server: run id of the server that answered this worker last
--   ('' = do not compare); another server is refused, because the worker must first find out what it lacks. The first
--   call of a batch has it, and every call that may have been applied before.
-- A verb's own arguments begin with the sixth; bridge/journal/calls.py has them under the same names. The verb `record`
-- has many calls in one run, see counts.lua: its number is that of the first.
local lease, call_number, new_epoch, server = unpack(ARGV, 2, 5)
local stored_lease, stored_commits, generation = unpack(redis.call('MGET', KEYS[1], KEYS[2], KEYS[3]))
local commits, call = tonumber(stored_commits or '0'), tonumber(call_number)
if stored_lease ~= lease then return {0, 'lease'} end
if server ~= '' and server ~= run_id() then return {0, 'back', commits} end
if call <= commits and verb ~= 'record' then return {5} end
if call > commits + 1 then return {0, 'back', commits} end

-- The stream that is written now.
local state, epoch, seq, seq_text, fresh
local function enter_stream(first_epoch)
  state = sound_state(generation, first_epoch)
  epoch, seq, fresh = state.epoch, state.seq, state.absent
end

-- Delete what an older generation left: the first write of every verb that publishes.
local function begin_stream()
  if fresh then redis.call('DEL', KEYS[4], KEYS[5]) end
  fresh = false
end

-- Note that an epoch was ended on purpose, so that an edge that remembers it does not prove that Redis went back. Within
-- a day every edge has learnt of it.
local function note_forgotten(mailbox, ended)
  redis.call('ZADD', KEYS[8], whole(now_ms()), mailbox .. ' ' .. ended)
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', whole(now_ms() - 86400000))
  redis.call('PEXPIRE', KEYS[8], 86400000)
end

-- Trim a log by age. The whole log expires with its newest event, and its ids are positions, which tell no age. So the
-- oldest entry is read at every sixteenth event, and more if it is over age. Events of a mailbox end with Redis's stamp;
-- those of directory and system have none and stay as long as the log.
local function drop_over_age(oldest_ms)
  local first_kept, count, from = nil, 1, '-'
  for _ = 1, 2 do
    for _, entry in ipairs(redis.call('XRANGE', KEYS[5], from, '+', 'COUNT', count)) do
      local event = event_of(entry)
      local stamp = string.match(event, '"as_of":(%d+)}}$') or string.match(event, '"until":(%d+),"at_least":%d+}}$')
      if not stamp or tonumber(stamp) >= oldest_ms then count = 0; break end
      first_kept = whole(seq_of(entry) + 1) .. '-0'
    end
    if count == 0 or not first_kept then break end
    count, from = 64, first_kept
  end
  if first_kept then redis.call('XTRIM', KEYS[5], 'MINID', first_kept) end
end

-- Number an event, append it to the stream's log and to events, and publish it: one atomic step. stamp: its end, behind
-- the body. Channels: '' = not there.
local function publish(kind, mailbox, body, stamp, history_max, history_ms, events_max, channel, kind_channel,
  sharded_channel)
  seq = seq + 1
  seq_text = whole(seq)
  local event = numbered(epoch, seq_text, body, stamp)
  local appended = redis.pcall('XADD', KEYS[5], 'MAXLEN', history_max, seq_text .. '-0', 'event', event)
  if is_foreign(appended) then
    redis.call('DEL', KEYS[5])
    redis.call('XADD', KEYS[5], seq_text .. '-0', 'event', event)
  elseif type(appended) == 'table' then
    error(appended)
  end
  redis.call('PEXPIRE', KEYS[5], history_ms)
  if seq % 16 == 0 then drop_over_age(now_ms() - history_ms) end
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', events_max, generation .. '-*', 'event', event, 'type', kind,
    'mailbox', mailbox)
  if channel ~= '' then redis.call('PUBLISH', channel, event) end
  -- A right that was taken away meanwhile costs edges the wake-up, which they notice, and not the step its other half.
  if sharded_channel ~= '' then redis.pcall('SPUBLISH', sharded_channel, event) end
  if kind_channel ~= '' then redis.call('PUBLISH', kind_channel, event) end
end

-- Store the stream's position after an event without a count.
local function store_position() redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', epoch, 'seq', seq_text) end

if verb ~= 'record' then enter_stream(new_epoch) end

-- Use up the call number; the rest of the step cannot fail.
local function commit() redis.call('SET', KEYS[2], call_number) end

-- announce: KEYS 7 upstream
--   more: fields of the upstream hash to set, and their values; the value '+1' increments the field
if verb == 'announce' then
  local type, body, history_max, history_ms, events_max, channel = unpack(ARGV, 6, 11)
  local more = 12
  commit()
  begin_stream()
  for i = more, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    if value == '+1' then redis.call('HINCRBY', KEYS[7], field, 1) else redis.call('HSET', KEYS[7], field, value) end
  end
  publish(type, '', body, '', history_max, history_ms, events_max, channel, '', '')
  store_position()
  return {1, epoch, seq, 0}
end

-- forget: KEYS 7 seen  8 forgotten  9 wanted  10 online   anew: '1' = a new holder has it, whose mailbox began empty
--   deletes everything that is kept of a mailbox; a later opening begins a new epoch
if verb == 'forget' then
  local mailbox, anew = unpack(ARGV, 6, 7)
  -- One of another type is met before the first write.
  redis.call('ZCARD', KEYS[8])
  redis.call('SCARD', KEYS[9])
  redis.call('ZCARD', KEYS[10])
  commit()
  if not state.absent then note_forgotten(mailbox, epoch) end
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[7])
  redis.call('SREM', KEYS[9], mailbox)
  redis.call('ZREM', KEYS[10], mailbox)
  if anew == '1' then
    -- Mails of the new holder that were pushed before this step are deleted with the rest; from a base of 0 his count
    -- will show how many they were.
    redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', new_epoch, 'seq', '0',
      'base', '0', 'base_at', whole(now_ms()), 'news', '0')
    redis.call('SADD', KEYS[9], mailbox)
  end
  return {3}
end

-- carry: KEYS 7 seen  8 forgotten  9 the former address's state  10 its log  11 its seen
--   moves a mailbox to another address, unless that has a history of its own; positions stay the same
if verb == 'carry' then
  local mailbox, former = unpack(ARGV, 6, 7)
  -- One of another type is met before the first write.
  redis.call('ZCARD', KEYS[8])
  local former_epoch = redis.call('HGET', KEYS[9], 'epoch')
  commit()
  if tonumber(redis.call('HGET', KEYS[4], 'seq') or '0') == 0 and redis.call('EXISTS', KEYS[9]) == 1 then
    if not state.absent then note_forgotten(mailbox, epoch) end
    if former_epoch then note_forgotten(former, former_epoch) end
    redis.call('DEL', KEYS[4], KEYS[5], KEYS[7])
    redis.call('RENAME', KEYS[9], KEYS[4])
    if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[5]) end
    if redis.call('EXISTS', KEYS[11]) == 1 then redis.call('RENAME', KEYS[11], KEYS[7]) end
  end
  return {3}
end

-- scrub: KEYS 7 audit  8 dead   stream: events|log|audit|dead  more: ids of the entries to delete
if verb == 'scrub' then
  local stream = unpack(ARGV, 6, 6)
  local more = 7
  commit()
  if stream == 'events' then redis.call('XDEL', KEYS[6], unpack(ARGV, more)) end
  if stream == 'log' then redis.call('XDEL', KEYS[5], unpack(ARGV, more)) end
  if stream == 'audit' then redis.call('XDEL', KEYS[7], unpack(ARGV, more)) end
  if stream == 'dead' then redis.call('XDEL', KEYS[8], unpack(ARGV, more)) end
  return {3}
end

-- bury: KEYS 7 dead   size: the document's length in bytes when it came  kept: whole|cut|masked
if verb == 'bury' then
  local reason, size, document, kept, dead_max, dead_ms = unpack(ARGV, 6, 11)
  commit()
  redis.call('XADD', KEYS[7], 'MAXLEN', dead_max, '*', 'reason', reason, 'size', size, 'kept', kept, 'document', document)
  redis.call('XTRIM', KEYS[7], 'MINID', whole(now_ms() - tonumber(dead_ms)))
  redis.call('PEXPIRE', KEYS[7], dead_ms)
  return {3}
end

-- advance: KEYS 7 ver  8 directory  9 slaves  10 directory.next  11 slaves.next  12 held  13 barred  14 barred.next
--   15 owed  16 moved  17 ver.next  18 doubted
--   into: now|next|swap  expected_ver: the Ver that must be stored ('' = none)  to_ver: the one to store ('' = unchanged)
--   stage: with next, what the stage records about its beginning ('' = unchanged)  held: the deletions held from now on
--   ('' = unchanged, '-' = none)  sizes: the lengths of the lists that follow, in the order of the calls of list() below
--   next: profiles, slaves and barred go into the stage; if there are none, and nothing is owed, the stage is emptied
--   swap: the stage becomes the mirror
if verb == 'advance' then
  local into, expected_ver, to_ver, stage, held, history_max, history_ms, events_max, channel, sizes = unpack(ARGV, 6, 15)
  local more = 16
  local ver = redis.call('GET', KEYS[7]) or ''
  commit()
  if ver ~= expected_ver then return {6, ver} end
  local size_of = string.gmatch(sizes, '%d+')
  -- The next list, whose entries have `width` arguments each: its size, and a function that passes each entry to `write`.
  local function list(width)
    local size, first = tonumber(size_of()), more
    more = more + size * width
    return {size = size, each = function(write)
      for i = first, first + (size - 1) * width, width do write(ARGV[i], ARGV[i + 1]) end
    end}
  end
  local profiles, slaves, owed = list(2), list(2), list(2)
  local removed, slaves_removed, barred, unbarred = list(1), list(1), list(1), list(1)
  local settled, moved, doubted, trusted = list(1), list(1), list(1), list(1)
  local events = list(2)
  if into == 'next' then
    if profiles.size + slaves.size + owed.size + barred.size == 0 then
      redis.call('DEL', KEYS[10], KEYS[11], KEYS[14], KEYS[17])
    end
    if stage ~= '' then redis.call('SET', KEYS[17], stage) end
    profiles.each(function(alias, profile) redis.call('HSET', KEYS[10], alias, profile) end)
    slaves.each(function(slave, alias) redis.call('HSET', KEYS[11], slave, alias) end)
    owed.each(function(alias, why) redis.call('HSET', KEYS[15], alias, why) end)
    barred.each(function(address) redis.call('SADD', KEYS[14], address) end)
    return {3}
  end
  if into == 'swap' then
    -- A barred address that nobody has any more was deleted while the mirror was not kept; it stays barred.
    for _, address in ipairs(redis.call('SMEMBERS', KEYS[13])) do
      if redis.call('HEXISTS', KEYS[10], address) + redis.call('HEXISTS', KEYS[11], address) == 0 then
        redis.call('SADD', KEYS[14], address)
      end
    end
    redis.call('DEL', KEYS[8], KEYS[9], KEYS[13], KEYS[17])
    if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[8]) end
    if redis.call('EXISTS', KEYS[11]) == 1 then redis.call('RENAME', KEYS[11], KEYS[9]) end
    if redis.call('EXISTS', KEYS[14]) == 1 then redis.call('RENAME', KEYS[14], KEYS[13]) end
  end
  -- Remove before adding, because a slave may move from one account to another in one call.
  removed.each(function(alias) redis.call('HDEL', KEYS[8], alias) end)
  slaves_removed.each(function(slave) redis.call('HDEL', KEYS[9], slave) end)
  unbarred.each(function(address) redis.call('SREM', KEYS[13], address) end)
  settled.each(function(alias) redis.call('HDEL', KEYS[15], alias) end)
  profiles.each(function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)
  slaves.each(function(slave, alias) redis.call('HSET', KEYS[9], slave, alias) end)
  owed.each(function(alias, why) redis.call('HSET', KEYS[15], alias, why) end)
  barred.each(function(address) redis.call('SADD', KEYS[13], address) end)
  if moved.size > 0 then
    local now = now_ms()
    moved.each(function(address) redis.call('ZADD', KEYS[16], whole(now), address) end)
    -- Longer than any session is kept out.
    redis.call('ZREMRANGEBYSCORE', KEYS[16], '-inf', whole(now - 90 * 86400000))
  end
  trusted.each(function(alias) redis.call('ZREM', KEYS[18], alias) end)
  if doubted.size > 0 then
    local now, day_ms = now_ms(), 86400000
    doubted.each(function(alias) redis.call('ZADD', KEYS[18], whole(now), alias) end)
    redis.call('ZREMRANGEBYSCORE', KEYS[18], '-inf', whole(now - day_ms))
    redis.call('PEXPIRE', KEYS[18], day_ms)
  end
  if held == '-' then
    redis.call('DEL', KEYS[12])
  elseif held ~= '' then
    redis.call('SET', KEYS[12], held)
  end
  if events.size > 0 then
    begin_stream()
    events.each(function(type, body) publish(type, '', body, '', history_max, history_ms, events_max, channel, '', '') end)
    store_position()
  end
  if to_ver ~= '' then redis.call('SET', KEYS[7], to_ver) end
  return {1, epoch, seq, 0}
end

-- ------------------------------------------------------------------------------------------ writing
-- Everything below holds the lease and has a call number.
--   ARGV 2 lease value  3 call number  4 new epoch; behind it ':' and the run id of the server that answered this worker
--   last: on another one it must find out first what that one lacks. The first call of a batch has it; all have it where
--   they were sent before and the answer was lost.
local held = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local commits, call = tonumber(held[2] or '0'), tonumber(ARGV[3])
if held[1] ~= ARGV[2] then return {0, 'lease'} end
if #ARGV[4] > 8 and string.sub(ARGV[4], 10) ~= run_id() then return {0, 'back', commits} end
if call <= commits then return {5} end
if call > commits + 1 then return {0, 'back', commits} end

local state = stream_state(held[3], string.sub(ARGV[4], 1, 8))
local epoch, seq, fresh = state.epoch, state.seq, state.absent

-- Forget what an older generation left; the first write of any verb that publishes.
local function begin_stream()
  if fresh then redis.call('DEL', KEYS[4], KEYS[5]) end
  fresh = false
end

-- An epoch of a mailbox ends here on purpose: an edge that remembers it does not prove that Redis went back. A day is
-- more than any edge takes to learn of it.
local function note_forgotten(mailbox, ended)
  redis.call('ZADD', KEYS[8], whole(now_ms()), mailbox .. ' ' .. ended)
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', whole(now_ms() - 86400000))
  redis.call('PEXPIRE', KEYS[8], 86400000)
end

-- A log lives as long as its newest event, and its ids are positions, which tell no age. So the oldest entries are
-- looked into: one at each sixteenth event, and some more where that is over age. Events of a mailbox end in Redis's own
-- stamp; the others, which concern everybody, have none and stay as long as the log.
local function drop_over_age(oldest_ms)
  local first_kept, count, from = nil, 1, '-'
  for _ = 1, 2 do
    for _, entry in ipairs(redis.call('XRANGE', KEYS[5], from, '+', 'COUNT', count)) do
      local stamp = string.match(entry[2][2], '"as_of":(%d+)}}$')
        or string.match(entry[2][2], '"until":(%d+),"at_least":%d+}}$')
      if not stamp or tonumber(stamp) >= oldest_ms then count = 0; break end
      first_kept = whole(tonumber(string.match(entry[1], '^%d+')) + 1) .. '-0'
    end
    if count == 0 or not first_kept then break end
    count, from = 64, first_kept
  end
  if first_kept then redis.call('XTRIM', KEYS[5], 'MINID', first_kept) end
end

-- Number an event, keep it in the stream's log and in events, and wake the readers: one atomic step.
local function publish(kind, mailbox, body, history_max, history_ms, events_max, channel, kind_channel)
  seq = seq + 1
  local n = whole(seq)
  local event = '{"specversion":"1.0","id":"' .. epoch .. '-' .. n .. '","sequence":"'
    .. string.rep('0', 16 - #n) .. n .. '",' .. body
  redis.call('XADD', KEYS[5], 'MAXLEN', history_max, n .. '-0', 'event', event)
  redis.call('PEXPIRE', KEYS[5], history_ms)
  if seq % 16 == 0 then drop_over_age(now_ms() - history_ms) end
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', events_max, held[3] .. '-*', 'event', event, 'type', kind, 'mailbox', mailbox)
  redis.call('PUBLISH', channel, event)
  if kind_channel ~= '' then redis.call('PUBLISH', kind_channel, event) end
end

-- record: KEYS 7 seen  8 upstream  9 wanted  10 dead (only with ARGV 21: the entry that this mail was read from; it goes
--   in this step)
--   ARGV 5 mail|push|poll  6 mail id (poll: how much of the count an earlier answer had; '' = this is the first)
--   7 unread ('' unknown)
--   8 seq when the question was sent (poll)
--   9 address  10 body  11 body of what may have to be said instead or besides (mail: the correction that a refused
--   duplicate needs; poll: mail.missed, up to its first number)  12 history entries  13 history ms
--   14 events entries  15 mailbox channel  16 mail.new channel  17 mail.unread channel  18 seen ms  19 seen entries
--   20 mail.missed channel
-- After a gap in the pushes the count of before it is kept as the base, and mails since are counted as its news; the
-- provider's own count, asked for later, then tells what was missed. It is asked for twice: the push of a mail that the
-- first answer counts may still be under way, and then nothing was missed. A mail whose count is higher than it explains
-- tells of a gap too, of this mailbox alone. A count that rises by a poll where no gap is known is suspected: perhaps the
-- connection has been dead for a while and nobody has noticed; the gap that is found then reaches back before this poll.
-- returns with 1 and 3 also: how many mails were missed as far as is known, and 1 where that must be asked once more
if verb == 'record' then
  local kind, unread, now = ARGV[5], ARGV[7], now_ms()
  local up = redis.call('HMGET', KEYS[8], 'gap', 'lost')
  local gap = up[1] or '0'
  carried_base(state, up[2])
  local as_of = math.max(now, tonumber(state.as_of or '0'))
  local result, body, type, channel = nil, ARGV[10], 'exmail.mail.unread', ARGV[17]
  local mail = kind == 'mail' and ARGV[6] ~= ''
  if kind == 'mail' then
    type, channel = 'exmail.mail.new', ARGV[16]
    local seen = mail and redis.call('ZSCORE', KEYS[7], ARGV[6])
    if seen and tonumber(seen) > now - tonumber(ARGV[18]) then
      -- The mail is known, but its count is news like any other.
      mail, type, channel, body = false, 'exmail.mail.unread', ARGV[17], ARGV[11]
      if unread == '' or unread == state.unread then result = {2} end
    end
  elseif kind == 'poll' and tonumber(ARGV[8]) ~= seq then
    result = {4, seq}
  elseif unread == state.unread then
    result = {3}
  end
  local moved = result and result[1] == 4
  local proven, missed, missed_since = kind == 'poll' and tonumber(ARGV[6]) or nil, 0, nil
  local doubtful, had_base = is_doubtful(state, gap), state.base
  -- What stands beside the count from now on: the base that it had, or this count.
  local function keep_base(suspect)
    if not state.base then state.base, state.base_at, state.news = state.unread, state.as_of or '0', '0' end
    state.suspect = suspect
  end
  if kind == 'poll' and not moved then
    local n = tonumber(unread)
    if doubtful then
      if not state.base then keep_base(nil) end
      missed_since = state.base_at
      missed = math.max(0, (proven or n) - tonumber(state.base) - tonumber(state.news))
      if missed > 0 and not proven then keep_base(nil) else state.base = nil end
      if missed > 0 and proven then result = nil end
      if proven and n > proven then
        -- The rest came to be counted after the gap, and is no more than suspected.
        state.base, state.base_at, state.news, state.suspect = whole(proven), state.as_of or '0', '0', gap
      end
    elseif state.unread and n > tonumber(state.unread) then
      if proven then state.base = nil end
      keep_base(gap)
    elseif proven then
      state.base = nil
    end
  elseif not moved then
    local known = state.unread and type == 'exmail.mail.new'
    local leapt = known and unread ~= '' and tonumber(unread) > tonumber(state.unread) + 1
    if leapt then redis.call('SADD', KEYS[9], ARGV[9]) end
    -- A mail that came without its count leaves the stored one behind; it is news that no count tells of yet.
    if doubtful or leapt or (known and unread == '') then keep_base(nil) end
    if state.base and type == 'exmail.mail.new' then state.news = whole(tonumber(state.news) + 1) end
  end
  local pending = state.base and 1 or 0
  redis.call('SET', KEYS[2], ARGV[3])
  if ARGV[21] then redis.call('XDEL', KEYS[10], ARGV[21]) end
  if moved then return result end
  local function note_base()
    if state.base then
      store_base(state)
    elseif had_base then
      redis.call('HDEL', KEYS[4], 'base', 'base_at', 'news', 'suspect')
    end
  end
  if result then
    if unread ~= '' and state.unread then redis.call('HSET', KEYS[4], 'as_of', whole(as_of), 'gap', gap) end
    if not state.absent then note_base() end
    if result[1] == 3 then return {3, missed, pending} end
    return result
  end
  begin_stream()
  note_base()
  if missed > 0 and proven then
    publish('exmail.mail.missed', ARGV[9], ARGV[11] .. whole(tonumber(missed_since)) .. ',"until":' .. whole(as_of)
      .. ',"at_least":' .. whole(missed) .. '}}', ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[20])
  end
  if mail then
    redis.call('ZADD', KEYS[7], whole(now), ARGV[6])
    redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', whole(now - tonumber(ARGV[18])))
    redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1 - tonumber(ARGV[19]))
    redis.call('PEXPIRE', KEYS[7], ARGV[18])
  end
  if kind ~= 'poll' or unread ~= state.unread then
    publish(type, ARGV[9], body .. whole(as_of) .. '}}', ARGV[12], ARGV[13], ARGV[14], ARGV[15], channel)
  end
  if unread ~= '' then
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq), 'unread', unread,
      'as_of', whole(as_of), 'gap', gap)
  else
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  return {1, epoch, seq, missed, pending}
end

-- announce: KEYS 7 upstream   ARGV 5 type  6 body  7 history entries  8 history ms  9 events entries  10 channel
--   11… fields of the upstream hash to set (may be none); the value '+1' counts the field up
if verb == 'announce' then
  redis.call('SET', KEYS[2], ARGV[3])
  begin_stream()
  for i = 11, #ARGV, 2 do
    if ARGV[i + 1] == '+1' then
      redis.call('HINCRBY', KEYS[7], ARGV[i], 1)
    else
      redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1])
    end
  end
  publish(ARGV[5], '', ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], '')
  redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  return {1, epoch, seq, 0}
end

-- forget: KEYS 7 seen  8 forgotten  9 wanted  10 online   ARGV 5 address  6 'anew' = another holder has it, whose mailbox began empty
--   everything that is kept of a mailbox; whoever opens it later begins a new epoch
if verb == 'forget' then
  redis.call('SET', KEYS[2], ARGV[3])
  if not state.absent then note_forgotten(ARGV[5], epoch) end
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[7])
  redis.call('SREM', KEYS[9], ARGV[5])
  redis.call('ZREM', KEYS[10], ARGV[5])
  if ARGV[6] == 'anew' then
    -- What his count will show beyond the mails that are published from here on was pushed before, and went with the rest.
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', string.sub(ARGV[4], 1, 8), 'seq', '0',
      'base', '0', 'base_at', whole(now_ms()), 'news', '0')
    redis.call('SADD', KEYS[9], ARGV[5])
  end
  return {3}
end

-- carry: KEYS 7 seen  8 forgotten  9 the former address's state  10 its log  11 its seen   ARGV 5 address  6 the former
--   a mailbox goes on under another address, unless that has a history of its own; positions stay what they were
if verb == 'carry' then
  redis.call('SET', KEYS[2], ARGV[3])
  if tonumber(redis.call('HGET', KEYS[4], 'seq') or '0') == 0 and redis.call('EXISTS', KEYS[9]) == 1 then
    local former = redis.call('HGET', KEYS[9], 'epoch')
    if not state.absent then note_forgotten(ARGV[5], epoch) end
    if former then note_forgotten(ARGV[6], former) end
    redis.call('DEL', KEYS[4], KEYS[5], KEYS[7])
    redis.call('RENAME', KEYS[9], KEYS[4])
    if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[5]) end
    if redis.call('EXISTS', KEYS[11]) == 1 then redis.call('RENAME', KEYS[11], KEYS[7]) end
  end
  return {3}
end

-- scrub: KEYS 7 audit  8 dead   ARGV 5 of: events|log|audit|dead  6… ids of the entries to take out of that stream
if verb == 'scrub' then
  redis.call('SET', KEYS[2], ARGV[3])
  if ARGV[5] == 'events' then redis.call('XDEL', KEYS[6], unpack(ARGV, 6)) end
  if ARGV[5] == 'log' then redis.call('XDEL', KEYS[5], unpack(ARGV, 6)) end
  if ARGV[5] == 'audit' then redis.call('XDEL', KEYS[7], unpack(ARGV, 6)) end
  if ARGV[5] == 'dead' then redis.call('XDEL', KEYS[8], unpack(ARGV, 6)) end
  return {3}
end

-- bury: KEYS 7 dead   ARGV 5 reason  6 bytes it had  7 document  8 kept: whole|cut|masked  9 most entries  10 ms
if verb == 'bury' then
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('XADD', KEYS[7], 'MAXLEN', ARGV[9], '*', 'reason', ARGV[5], 'size', ARGV[6], 'kept', ARGV[8], 'document', ARGV[7])
  redis.call('XTRIM', KEYS[7], 'MINID', whole(now_ms() - tonumber(ARGV[10])))
  redis.call('PEXPIRE', KEYS[7], ARGV[10])
  return {3}
end

-- advance: KEYS 7 ver  8 directory  9 slaves  10 directory.next  11 slaves.next  12 held  13 barred  14 barred.next
--   15 owed  16 moved  17 ver.next
--   ARGV 5 Ver that must be stored ('' = none)  6 Ver to store ('' = it does not move); into next: what the stage remembers
--   of its beginning ('' = as it is)  7 into: now|next|swap  8 history entries  9 history ms  10 events entries  11 channel
--   12 what is held back from now on ('' = as it is, '-' = nothing)  13 how many of each follow, by commas:
--   profiles (alias, JSON), slaves (slave, alias), owed (alias, JSON), removed (alias), slaves removed (slave),
--   barred (address), barred no more (address), owed no more (alias), moved (address), events (type, body)
--   into next: profiles, slaves and barred are staged (none, and nothing owed: the stage is emptied first); swap: the stage
--   becomes the mirror
if verb == 'advance' then
  local ver = redis.call('GET', KEYS[7]) or ''
  redis.call('SET', KEYS[2], ARGV[3])
  if ver ~= ARGV[5] then return {6, ver} end
  local n, first, at = {}, {}, 14
  for count in string.gmatch(ARGV[13], '%d+') do n[#n + 1] = tonumber(count) end
  for i, width in ipairs({2, 2, 2, 1, 1, 1, 1, 1, 1, 2}) do
    first[i] = at
    at = at + n[i] * width
  end
  local function each(list, width, write)
    for i = first[list], first[list] + (n[list] - 1) * width, width do write(ARGV[i], ARGV[i + 1]) end
  end
  if ARGV[7] == 'next' then
    if n[1] + n[2] + n[3] + n[6] == 0 then redis.call('DEL', KEYS[10], KEYS[11], KEYS[14], KEYS[17]) end
    if ARGV[6] ~= '' then redis.call('SET', KEYS[17], ARGV[6]) end
    each(1, 2, function(alias, profile) redis.call('HSET', KEYS[10], alias, profile) end)
    each(2, 2, function(slave, alias) redis.call('HSET', KEYS[11], slave, alias) end)
    each(3, 2, function(alias, why) redis.call('HSET', KEYS[15], alias, why) end)
    each(6, 1, function(address) redis.call('SADD', KEYS[14], address) end)
    return {3}
  end
  if ARGV[7] == 'swap' then
    -- An address that was barred and that nobody has now was deleted while there was no mirror.
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
  -- What is removed goes first: a slave may move from one account to another in one call.
  each(4, 1, function(alias) redis.call('HDEL', KEYS[8], alias) end)
  each(5, 1, function(slave) redis.call('HDEL', KEYS[9], slave) end)
  each(7, 1, function(address) redis.call('SREM', KEYS[13], address) end)
  each(8, 1, function(alias) redis.call('HDEL', KEYS[15], alias) end)
  each(1, 2, function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)
  each(2, 2, function(slave, alias) redis.call('HSET', KEYS[9], slave, alias) end)
  each(3, 2, function(alias, why) redis.call('HSET', KEYS[15], alias, why) end)
  each(6, 1, function(address) redis.call('SADD', KEYS[13], address) end)
  if n[9] > 0 then
    local now = now_ms()
    each(9, 1, function(address) redis.call('ZADD', KEYS[16], whole(now), address) end)
    -- Nobody keeps a session out for longer than that.
    redis.call('ZREMRANGEBYSCORE', KEYS[16], '-inf', whole(now - 90 * 86400000))
  end
  if ARGV[12] == '-' then
    redis.call('DEL', KEYS[12])
  elseif ARGV[12] ~= '' then
    redis.call('SET', KEYS[12], ARGV[12])
  end
  if n[10] > 0 then
    begin_stream()
    each(10, 2, function(type, body) publish(type, '', body, ARGV[8], ARGV[9], ARGV[10], ARGV[11], '') end)
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  if ARGV[6] ~= '' then redis.call('SET', KEYS[7], ARGV[6]) end
  return {1, epoch, seq, 0}
end

return {0, 'verb', verb}

-- ------------------------------------------------------------------------------------------ writing
-- Everything below holds the lease and has a call number.   ARGV 2 lease value  3 call number  4 new epoch
local held = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local commits, call = tonumber(held[2] or '0'), tonumber(ARGV[3])
if held[1] ~= ARGV[2] then return {0, 'lease'} end
if call <= commits then return {5} end
if call > commits + 1 then return {0, 'back', commits} end

local state = stream_state(held[3], ARGV[4])
local epoch, seq, fresh = state[1], state[2], state[5]

-- Forget what an older generation left; the first write of any verb that publishes.
local function begin_stream()
  if fresh then redis.call('DEL', KEYS[4], KEYS[5]) end
  fresh = false
end

-- Number an event, keep it in the stream's log and in events, and wake the readers: one atomic step.
local function publish(kind, mailbox, body, history_max, history_ms, events_max, channel, kind_channel)
  seq = seq + 1
  local n = whole(seq)
  local event = '{"specversion":"1.0","id":"' .. epoch .. '-' .. n .. '","sequence":"'
    .. string.rep('0', 16 - #n) .. n .. '",' .. body
  redis.call('XADD', KEYS[5], 'MAXLEN', history_max, n .. '-0', 'event', event)
  redis.call('PEXPIRE', KEYS[5], history_ms)
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', events_max, held[3] .. '-*', 'event', event, 'type', kind, 'mailbox', mailbox)
  redis.call('PUBLISH', channel, event)
  if kind_channel ~= '' then redis.call('PUBLISH', kind_channel, event) end
end

-- record: KEYS 7 seen  8 upstream  9 wanted  10 dead (only with ARGV 21: the entry that this mail was read from; it goes
--   in this step)
--   ARGV 5 mail|push|poll  6 mail id (poll: '1' = asked a second time)  7 unread ('' unknown)
--   8 seq when the question was sent (poll)
--   9 address  10 body  11 body of what may have to be said instead or besides (mail: the correction that a refused
--   duplicate needs; poll: mail.missed, up to its first number)  12 history entries  13 history ms
--   14 events entries  15 mailbox channel  16 mail.new channel  17 mail.unread channel  18 seen ms  19 seen entries
--   20 mail.missed channel   returns with 1 and 3 also how many mails were missed, as far as is known
-- After a gap in the pushes the count of before it is kept as the base, and mails since are counted as its news; the
-- provider's own count, asked for later, then tells what was missed. It is asked for twice: the push of a mail that the
-- first answer counts may still be under way, and then nothing was missed. A mail whose count is higher than it explains
-- tells of a gap too, of this mailbox alone.
if verb == 'record' then
  local kind, unread, now = ARGV[5], ARGV[7], now_ms()
  local as_of = math.max(now, tonumber(state[4] or '0'))
  local result, body, type, channel = nil, ARGV[10], 'exmail.mail.unread', ARGV[17]
  local mail = kind == 'mail' and ARGV[6] ~= ''
  if kind == 'mail' then
    type, channel = 'exmail.mail.new', ARGV[16]
    local seen = mail and redis.call('ZSCORE', KEYS[7], ARGV[6])
    if seen and tonumber(seen) > now - tonumber(ARGV[18]) then
      -- The mail is known, but its count is news like any other.
      mail, type, channel, body = false, 'exmail.mail.unread', ARGV[17], ARGV[11]
      if unread == '' or unread == state[3] then result = {2} end
    end
  elseif kind == 'poll' and tonumber(ARGV[8]) ~= seq then
    result = {4, seq}
  elseif unread == state[3] then
    result = {3}
  end
  local base, missed, missed_since, sure = state[6], 0, nil, ARGV[6] == '1'
  local doubtful = is_doubtful(state, redis.call('HGET', KEYS[8], 'gap'))
  if doubtful and kind == 'poll' and not (result and result[1] == 4) then
    local told = base and redis.call('HMGET', KEYS[4], 'base_at', 'news') or {state[4], '0'}
    missed_since = told[1]
    missed = math.max(0, tonumber(unread) - tonumber(base or state[3]) - tonumber(told[2]))
    if missed > 0 and sure then result = nil end
  end
  local keep = doubtful and (kind ~= 'poll' or (missed > 0 and not sure))
  if type == 'exmail.mail.new' and state[3] then
    local leapt = unread ~= '' and tonumber(unread) > tonumber(state[3]) + 1
    if leapt then redis.call('SADD', KEYS[9], ARGV[9]) end
    -- A mail that came without its count leaves the stored one behind; it is news that no count tells of yet.
    keep = keep or leapt or unread == ''
  end
  redis.call('SET', KEYS[2], ARGV[3])
  if ARGV[21] then redis.call('XDEL', KEYS[10], ARGV[21]) end
  if keep and not base then
    base = state[3]
    redis.call('HSET', KEYS[4], 'base', base, 'base_at', state[4] or '0', 'news', '0')
  end
  if result then
    if result[1] ~= 4 and unread ~= '' and state[3] then redis.call('HSET', KEYS[4], 'as_of', whole(as_of)) end
    if result[1] == 3 and kind == 'poll' then
      if base and not keep then redis.call('HDEL', KEYS[4], 'base', 'base_at', 'news') end
      return {3, missed}
    end
    return result
  end
  begin_stream()
  if base and not keep then redis.call('HDEL', KEYS[4], 'base', 'base_at', 'news') end
  if base and type == 'exmail.mail.new' then redis.call('HINCRBY', KEYS[4], 'news', 1) end
  if missed > 0 and sure then
    publish('exmail.mail.missed', ARGV[9], ARGV[11] .. whole(tonumber(missed_since)) .. ',"until":' .. whole(as_of)
      .. ',"at_least":' .. whole(missed) .. '}}', ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[20])
  end
  if mail then
    redis.call('ZADD', KEYS[7], whole(now), ARGV[6])
    redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', whole(now - tonumber(ARGV[18])))
    redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1 - tonumber(ARGV[19]))
    redis.call('PEXPIRE', KEYS[7], ARGV[18])
  end
  if kind ~= 'poll' or unread ~= state[3] then
    publish(type, ARGV[9], body .. whole(as_of) .. '}}', ARGV[12], ARGV[13], ARGV[14], ARGV[15], channel)
  end
  if unread ~= '' then
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq), 'unread', unread, 'as_of', whole(as_of))
  else
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  return {1, epoch, seq, missed}
end

-- announce: KEYS 7 upstream   ARGV 5 type  6 body  7 history entries  8 history ms  9 events entries  10 channel
--   11… fields of the upstream hash to set (may be none); the value 'now' stands for Redis's clock in ms
if verb == 'announce' then
  redis.call('SET', KEYS[2], ARGV[3])
  begin_stream()
  for i = 11, #ARGV, 2 do
    redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1] == 'now' and whole(now_ms()) or ARGV[i + 1])
  end
  publish(ARGV[5], '', ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], '')
  redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  return {1, epoch, seq, 0}
end

-- forget: KEYS 7 seen  8 wanted  9 online   ARGV 5 address
--   everything that is kept of a mailbox; whoever opens it later begins a new epoch
if verb == 'forget' then
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[7])
  redis.call('SREM', KEYS[8], ARGV[5])
  redis.call('ZREM', KEYS[9], ARGV[5])
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
--   ARGV 5 Ver that must be stored ('' = none)  6 Ver to store ('' = it does not move)  7 into: now|next|swap
--   8 history entries  9 history ms  10 events entries  11 channel
--   12 what is held back from now on ('' = as it is, '-' = nothing)  13 how many of each follow, by commas:
--   profiles (alias, JSON), removed (alias), slaves (slave, alias), slaves removed (slave), barred (address),
--   barred no more (address), events (type, body)
--   into next: profiles, slaves and barred are staged (no profiles: the stage is emptied); swap: the stage becomes the mirror
if verb == 'advance' then
  local ver = redis.call('GET', KEYS[7]) or ''
  redis.call('SET', KEYS[2], ARGV[3])
  if ver ~= ARGV[5] then return {6, ver} end
  local n, first, at = {}, {}, 14
  for count in string.gmatch(ARGV[13], '%d+') do n[#n + 1] = tonumber(count) end
  for i, width in ipairs({2, 1, 2, 1, 1, 1, 2}) do
    first[i] = at
    at = at + n[i] * width
  end
  local function each(list, width, write)
    for i = first[list], first[list] + (n[list] - 1) * width, width do write(ARGV[i], ARGV[i + 1]) end
  end
  if ARGV[7] == 'next' then
    if n[1] == 0 then redis.call('DEL', KEYS[10], KEYS[11], KEYS[14]) end
    each(1, 2, function(alias, profile) redis.call('HSET', KEYS[10], alias, profile) end)
    each(3, 2, function(slave, alias) redis.call('HSET', KEYS[11], slave, alias) end)
    each(5, 1, function(address) redis.call('SADD', KEYS[14], address) end)
    return {3}
  end
  if ARGV[7] == 'swap' then
    -- An address that was barred and that nobody has now was deleted while there was no mirror.
    for _, address in ipairs(redis.call('SMEMBERS', KEYS[13])) do
      if redis.call('HEXISTS', KEYS[10], address) + redis.call('HEXISTS', KEYS[11], address) == 0 then
        redis.call('SADD', KEYS[14], address)
      end
    end
    redis.call('DEL', KEYS[8], KEYS[9], KEYS[13])
    if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[8]) end
    if redis.call('EXISTS', KEYS[11]) == 1 then redis.call('RENAME', KEYS[11], KEYS[9]) end
    if redis.call('EXISTS', KEYS[14]) == 1 then redis.call('RENAME', KEYS[14], KEYS[13]) end
  end
  -- What is removed goes first: a slave may move from one account to another in one call.
  each(2, 1, function(alias) redis.call('HDEL', KEYS[8], alias) end)
  each(4, 1, function(slave) redis.call('HDEL', KEYS[9], slave) end)
  each(6, 1, function(address) redis.call('SREM', KEYS[13], address) end)
  each(1, 2, function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)
  each(3, 2, function(slave, alias) redis.call('HSET', KEYS[9], slave, alias) end)
  each(5, 1, function(address) redis.call('SADD', KEYS[13], address) end)
  if ARGV[12] == '-' then
    redis.call('DEL', KEYS[12])
  elseif ARGV[12] ~= '' then
    redis.call('SET', KEYS[12], ARGV[12])
  end
  if n[7] > 0 then
    begin_stream()
    each(7, 2, function(type, body) publish(type, '', body, ARGV[8], ARGV[9], ARGV[10], ARGV[11], '') end)
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  if ARGV[6] ~= '' then redis.call('SET', KEYS[7], ARGV[6]) end
  return {1, epoch, seq, 0}
end

return {0, 'verb', verb}

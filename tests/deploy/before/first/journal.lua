-- journal.lua: the only code that changes mailboxes, the directory, the cursor and the lease.
--
-- Redis does not roll back, so each verb decides everything before its first write. Key arguments are literal
-- KEYS[n] (managed Redis refuses computed ones); their meaning is the same for every verb that holds the lease:
--   1 lease  2 commits  3 generation  4 the stream's state (hash)  5 the stream's log  6 events  7… by verb
-- ARGV are strings: tonumber() before comparing. Numbers go back into text with %.0f, since ".." writes 1e+14.
--
-- A writing verb returns {1, epoch, seq, as_of} published · {2} duplicate · {3} unchanged · {4, seq} moved ·
-- {5} again (this call number was applied before: its answer was lost) · {6, ver} the cursor is elsewhere ·
-- {0, why, …} refused: nothing written, and the call number is not used up.

local verb = ARGV[1]

local function whole(n) return string.format('%.0f', n) end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
end

-- ------------------------------------------------------------------------------------------ the lease
-- claim: KEYS 1 lease 2 commits 3 generation 4 fence 5 server 6 format
--   ARGV token, lease ms, fence and commits that this worker was told ('' = it never led), format
--   returns {1, fence, commits, generation}: the fence grew by one, by more where another led in between
if verb == 'claim' then
  local holder = redis.call('GET', KEYS[1])
  local mine = holder and string.sub(holder, -#ARGV[2] - 1) == ':' .. ARGV[2]
  if holder and not mine then return {0, 'held', redis.call('PTTL', KEYS[1])} end
  local format = tonumber(redis.call('GET', KEYS[6]) or '0')
  if format > tonumber(ARGV[6]) then return {0, 'format', format} end
  local fence = tonumber(redis.call('GET', KEYS[4]) or '0')
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
  local server = run_id()
  local told_fence, told = tonumber(ARGV[4]), tonumber(ARGV[5])
  local same = told_fence and fence == told_fence
  -- Redis went back: it knows less than it once told us, or (without memory) it is not the server that was recorded.
  local back = generation == 0 or (told_fence and fence < told_fence) or (same and commits < told)
    or (not same and redis.call('GET', KEYS[5]) ~= server)
  if back then generation = math.max(now_ms(), generation + 1) end
  if not mine or back then fence = math.max(fence, told_fence or 0) + 1 end
  redis.call('SET', KEYS[4], whole(fence))
  redis.call('SET', KEYS[1], whole(fence) .. ':' .. ARGV[2], 'PX', ARGV[3])
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[6], ARGV[6])
  return {1, fence, commits, generation}
end

-- renew: KEYS 1 lease 2 commits 3 server 4 upstream
--   ARGV lease value, lease ms, commits that this worker was told, when the provider was last heard ('' = not)
if verb == 'renew' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[4]) then return {0, 'back'} end
  -- A replica that was promoted and lost nothing is the recorded server from here on.
  redis.call('SET', KEYS[3], run_id())
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], 'heard', ARGV[5]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1}
end

-- release: KEYS 1 lease   ARGV lease value
if verb == 'release' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  redis.call('DEL', KEYS[1])
  return {1}
end

-- ------------------------------------------------------------------------------------------ reading
-- The stream's state, as {epoch, seq, unread, as_of, absent}. A stream of an older generation counts as absent.
local function stream_state(generation, new_epoch)
  local s = redis.call('HMGET', KEYS[4], 'generation', 'epoch', 'seq', 'unread', 'as_of')
  if not s[2] or s[1] ~= generation then return {new_epoch, 0, false, false, true} end
  return {s[2], tonumber(s[3]), s[4], s[5], false}
end

local function events_of(entries)
  local events = {}
  for i = 1, #entries do events[i] = entries[i][2][2] end
  return events
end

-- The newest mails, oldest first. Counts stand between them in the log, so it is read in pieces.
local function recent_mails(limit)
  local mails, last = {}, '+'
  while #mails < limit do
    local entries = redis.call('XREVRANGE', KEYS[5], last, '-', 'COUNT', 40)
    for i = 1, #entries do
      local event = entries[i][2][2]
      if string.find(event, '"type":"exmail.mail.new"', 1, true) then table.insert(mails, 1, event) end
      if #mails == limit then break end
    end
    if #entries < 40 then break end
    last = '(' .. entries[#entries][1]
  end
  return mails
end

-- open: KEYS 1 lease 2 wanted 3 generation 4 state 5 log 6 directory 7 slaves 8 upstream
--   ARGV new epoch, address, after epoch ('' = none), after seq, most entries, most recent mails, stale ms ('' = do not ask)
--   returns {2, alias} for a slave, else
--   {1, epoch, seq, unread, as_of, status, events, known, led, upstream state, since, why}
--   status: resumed (events = all after the position) · first, expired, epoch (events = the recent mails)
if verb == 'open' then
  local alias = redis.call('HGET', KEYS[7], ARGV[3])
  if alias then return {2, alias} end
  local generation = redis.call('GET', KEYS[3]) or '0'
  local s = stream_state(generation, ARGV[2])
  local after, most = tonumber(ARGV[5]), tonumber(ARGV[6])
  local status, events = 'first', nil
  if ARGV[4] ~= '' then
    if ARGV[4] ~= s[1] or after > s[2] then
      status = 'epoch'
    elseif s[2] - after > most then
      status = 'expired'
    else
      local entries = {}
      if after < s[2] then entries = redis.call('XRANGE', KEYS[5], whole(after + 1), '+', 'COUNT', most) end
      -- The log may have expired or been trimmed; it never has holes.
      if #entries == s[2] - after then status, events = 'resumed', events_of(entries) else status = 'expired' end
    end
  end
  if not events then events = s[5] and {} or recent_mails(tonumber(ARGV[7])) end
  local known = redis.call('HEXISTS', KEYS[6], ARGV[3])
  local led = redis.call('EXISTS', KEYS[1])
  local up = redis.call('HMGET', KEYS[8], 'state', 'since', 'why')
  local stale = ARGV[8] ~= '' and (not s[3] or tonumber(s[4] or '0') < now_ms() - tonumber(ARGV[8]))
  if s[5] then
    redis.call('DEL', KEYS[4], KEYS[5])
    redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', s[1], 'seq', '0')
  end
  if stale then redis.call('SADD', KEYS[2], ARGV[3]) end
  return {1, s[1], s[2], s[3], s[4], status, events, known, led, up[1], up[2], up[3]}
end

-- page: KEYS as open   ARGV new epoch, address, after epoch ('' = the newest), after seq, most entries
--   returns {2, alias} or {1, epoch, seq, events, seq of the first event or 0}; creates nothing
if verb == 'page' then
  local alias = redis.call('HGET', KEYS[7], ARGV[3])
  if alias then return {2, alias} end
  local s = stream_state(redis.call('GET', KEYS[3]) or '0', ARGV[2])
  local entries = {}
  if s[5] then
    entries = {}
  elseif ARGV[4] == s[1] then
    entries = redis.call('XRANGE', KEYS[5], whole(tonumber(ARGV[5]) + 1), '+', 'COUNT', ARGV[6])
  else
    local newest = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', ARGV[6])
    for i = #newest, 1, -1 do entries[#entries + 1] = newest[i] end
  end
  local first = entries[1] and tonumber(string.match(entries[1][1], '^%d+')) or 0
  return {1, s[1], s[2], events_of(entries), first}
end

-- probe: KEYS 1 a private key   Does this server know what the rest of the script uses? (Redis 7.0, Valkey 7.2)
if verb == 'probe' then
  redis.call('XADD', KEYS[1], '1-*', 'probe', '1')
  redis.call('DEL', KEYS[1])
  return {1, run_id()}
end

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

-- record: KEYS 7 seen   ARGV 5 mail|push|poll  6 mail id  7 unread ('' unknown)  8 seq when the question was sent (poll)
--   9 address  10 body  11 body of the correction that a refused duplicate may need  12 history entries  13 history ms
--   14 events entries  15 mailbox channel  16 mail.new channel  17 mail.unread channel  18 seen ms  19 seen entries
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
  redis.call('SET', KEYS[2], ARGV[3])
  if result then
    if result[1] ~= 4 and unread ~= '' and state[3] then redis.call('HSET', KEYS[4], 'as_of', whole(as_of)) end
    return result
  end
  begin_stream()
  if mail then
    redis.call('ZADD', KEYS[7], whole(now), ARGV[6])
    redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', whole(now - tonumber(ARGV[18])))
    redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1 - tonumber(ARGV[19]))
    redis.call('PEXPIRE', KEYS[7], ARGV[18])
  end
  publish(type, ARGV[9], body .. whole(as_of) .. '}}', ARGV[12], ARGV[13], ARGV[14], ARGV[15], channel)
  if unread ~= '' then
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq), 'unread', unread, 'as_of', whole(as_of))
  else
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  return {1, epoch, seq, as_of}
end

-- announce: KEYS 7 upstream   ARGV 5 type  6 body  7 history entries  8 history ms  9 events entries  10 channel
--   11… fields of the upstream hash to set (may be none)
if verb == 'announce' then
  redis.call('SET', KEYS[2], ARGV[3])
  begin_stream()
  for i = 11, #ARGV, 2 do redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
  publish(ARGV[5], '', ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], '')
  redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  return {1, epoch, seq, 0}
end

-- advance: KEYS 7 ver  8 directory  9 slaves  10 directory.next  11 slaves.next
--   ARGV 5 Ver that must be stored ('' = none)  6 Ver to store ('' = it does not move)  7 into: now|next|swap
--   8 history entries  9 history ms  10 events entries  11 channel  12 how many of each follow, by commas:
--   profiles (alias, JSON), removed (alias), slaves (slave, alias), slaves removed (slave), events (type, body)
--   into next: profiles and slaves are staged ('next' with no ver and no profiles empties the stage); swap: the stage becomes the mirror
if verb == 'advance' then
  local ver = redis.call('GET', KEYS[7]) or ''
  if ver ~= ARGV[5] then
    redis.call('SET', KEYS[2], ARGV[3])
    return {6, ver}
  end
  local n = {}
  for count in string.gmatch(ARGV[12], '%d+') do n[#n + 1] = tonumber(count) end
  local at = 13
  redis.call('SET', KEYS[2], ARGV[3])
  local function each(count, width, write)
    for _ = 1, count do
      write(ARGV[at], ARGV[at + 1])
      at = at + width
    end
  end
  if ARGV[7] == 'next' then
    if n[1] == 0 then redis.call('DEL', KEYS[10], KEYS[11]) end
    each(n[1], 2, function(alias, profile) redis.call('HSET', KEYS[10], alias, profile) end)
    each(n[2], 1, function(alias) redis.call('HDEL', KEYS[10], alias) end)
    each(n[3], 2, function(slave, alias) redis.call('HSET', KEYS[11], slave, alias) end)
    return {3}
  end
  if ARGV[7] == 'swap' then
    redis.call('DEL', KEYS[8], KEYS[9])
    if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[8]) end
    if redis.call('EXISTS', KEYS[11]) == 1 then redis.call('RENAME', KEYS[11], KEYS[9]) end
  end
  -- What is removed goes first: a slave may move from one account to another in one call.
  local profiles = at
  at = at + n[1] * 2
  each(n[2], 1, function(alias) redis.call('HDEL', KEYS[8], alias) end)
  local slaves = at
  at = at + n[3] * 2
  each(n[4], 1, function(slave) redis.call('HDEL', KEYS[9], slave) end)
  local events = at
  at = profiles
  each(n[1], 2, function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)
  at = slaves
  each(n[3], 2, function(slave, alias) redis.call('HSET', KEYS[9], slave, alias) end)
  at = events
  if n[5] > 0 then
    begin_stream()
    each(n[5], 2, function(type, body) publish(type, '', body, ARGV[8], ARGV[9], ARGV[10], ARGV[11], '') end)
    redis.call('HSET', KEYS[4], 'generation', held[3], 'epoch', epoch, 'seq', whole(seq))
  end
  if ARGV[6] ~= '' then redis.call('SET', KEYS[7], ARGV[6]) end
  return {1, epoch, seq, 0}
end

return {0, 'verb', verb}

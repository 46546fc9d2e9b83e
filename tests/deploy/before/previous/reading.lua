-- ------------------------------------------------------------------------------------------ reading
-- The stream's state, as {epoch, seq, unread, as_of, absent, base}. A stream of an older generation counts as absent.
local function stream_state(generation, new_epoch)
  local s = redis.call('HMGET', KEYS[4], 'generation', 'epoch', 'seq', 'unread', 'as_of', 'base')
  if not s[2] or s[1] ~= generation then return {new_epoch, 0, false, false, true, false} end
  return {s[2], tonumber(s[3]), s[4], s[5], false, s[6]}
end

-- Pushes may have been missed since the stored count was true, and nobody has asked for the count since.
local function is_doubtful(s, gap)
  return s[6] or (s[3] and tonumber(s[4] or '0') <= tonumber(gap or '0'))
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

-- open: KEYS 1 lease 2 wanted 3 generation 4 state 5 log 6 directory 7 slaves 8 upstream 9 barred
--   ARGV new epoch, address, after epoch ('' = none), after seq, most entries, most recent mails, stale ms ('' = do not ask)
--   returns {2, alias} for a slave, {3} for an account that is disabled or deleted, else
--   {1, epoch, seq, unread, as_of, status, events, known, led, upstream state, since, why}
--   status: resumed (events = all after the position) · first, expired, epoch (events = the recent mails)
if verb == 'open' then
  local alias = redis.call('HGET', KEYS[7], ARGV[3])
  if alias then return {2, alias} end
  if redis.call('SISMEMBER', KEYS[9], ARGV[3]) == 1 then return {3} end
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
  local up = redis.call('HMGET', KEYS[8], 'state', 'since', 'why', 'gap')
  local stale = ARGV[8] ~= ''
    and (not s[3] or tonumber(s[4] or '0') < now_ms() - tonumber(ARGV[8]) or is_doubtful(s, up[4]))
  if s[5] then
    redis.call('DEL', KEYS[4], KEYS[5])
    redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', s[1], 'seq', '0')
  end
  if stale then redis.call('SADD', KEYS[2], ARGV[3]) end
  return {1, s[1], s[2], s[3], s[4], status, events, known, led, up[1], up[2], up[3]}
end

-- page: KEYS as open   ARGV new epoch, address, after epoch ('' = the newest), after seq, most entries
--   returns {2, alias}, {3} or {1, epoch, seq, events, seq of the first event or 0}; creates nothing
if verb == 'page' then
  local alias = redis.call('HGET', KEYS[7], ARGV[3])
  if alias then return {2, alias} end
  if redis.call('SISMEMBER', KEYS[9], ARGV[3]) == 1 then return {3} end
  local s = stream_state(redis.call('GET', KEYS[3]) or '0', ARGV[2])
  local entries = {}
  if not s[5] and ARGV[4] == s[1] then
    entries = redis.call('XRANGE', KEYS[5], whole(tonumber(ARGV[5]) + 1), '+', 'COUNT', ARGV[6])
  elseif not s[5] then
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

-- ------------------------------------------------------------------------------------------ reading
-- Whether XADD says that a log is somebody else's: of another type, or with entries ahead of ours. Whatever else it is
-- refused for, a full server above all, is no reason to delete anything.
local function is_foreign(reply)
  if type(reply) ~= 'table' then return false end
  return string.find(reply.err, 'WRONGTYPE', 1, true) or string.find(reply.err, 'equal or smaller', 1, true)
    or string.find(reply.err, 'exhausted', 1, true)
end

-- A stream's state, KEYS[4], with named fields; one that is not stored is false or nil. The state of an older generation
-- counts as absent: a new epoch, seq from 1. Its count stays in `old`, see carried_base.
local function stream_state(generation, new_epoch)
  local of, epoch, seq, unread, as_of, gap, base = unpack(redis.call('HMGET', KEYS[4],
    'generation', 'epoch', 'seq', 'unread', 'as_of', 'gap', 'base'))
  local s = {epoch = epoch, seq = tonumber(seq or '0'), unread = unread, as_of = as_of, gap = gap or '0', base = base,
    has_gap = gap and true}
  -- Few mailboxes have a base, and to look for a field that is not there takes longest.
  if base then
    local base_at, news, suspect = unpack(redis.call('HMGET', KEYS[4], 'base_at', 'news', 'suspect'))
    s.base_at, s.news, s.suspect = base_at or '0', news or '0', suspect
  end
  if epoch and of == generation then return s end
  return {epoch = new_epoch, seq = 0, gap = '0', absent = true, old = s, old_generation = tonumber(of or '0') or 0}
end

-- Whether it is a number as counts and times are; neither nan nor inf, which would get into the JSON of events.
local function is_count(text)
  local n = tonumber(text)
  return n and n >= 0 and n < 1e15
end

-- The state for who writes. An edge has the right to write there, and may be anybody's: what is no position counts as
-- absent, what is no number as not known, or nobody's mails could be recorded any more. As in bridge/journal/counted.py.
local function sound_state(generation, new_epoch)
  local s = stream_state(generation, new_epoch)
  local stored = s.old or s
  local stored_epoch, stored_seq = stored.epoch, stored.seq
  if not stored_seq or not (stored_seq >= 0 and stored_seq < 1e15 and stored_seq % 1 == 0)
    or (stored_epoch and (#stored_epoch ~= 8 or string.find(stored_epoch, '%W'))) then
    return {epoch = new_epoch, seq = 0, gap = '0', absent = true}
  end
  if stored.unread and not is_count(stored.unread) then stored.unread = nil end
  if stored.as_of and not is_count(stored.as_of) then stored.as_of = nil end
  if stored.base and not (is_count(stored.base) and is_count(stored.base_at) and is_count(stored.news)) then
    stored.base, stored.odd_base = nil, true
  end
  return s
end

-- If a generation began without proof of a loss, the count from before it was the latest: what the provider counts beyond
-- it was missed. After a proven loss that count may be older than what was published later, so it is dropped. `lost` is
-- the newest generation that began with a proven loss.
local function carried_base(s, lost)
  local old = s.old
  if not old or s.old_generation < tonumber(lost or '0') then return end
  if old.base then
    s.base, s.base_at, s.news = old.base, old.base_at, old.news
  elseif old.unread then
    s.base, s.base_at, s.news = old.unread, old.as_of or '0', '0'
  end
end

-- Whether pushes may have been missed since the count was stored, and the provider was not asked since. Gaps are
-- numbered, and each count is stored with the number of the newest gap. A suspected base counts only after the next gap.
-- This is the rule; bridge/journal/counted.py repeats it for what Python reads, and tests/journal/test_counted.py
-- compares the two.
local function is_doubtful(s, gap)
  gap = gap or '0'
  if s.base then return s.suspect ~= gap end
  return s.unread and s.gap ~= gap
end

local function store_base(s)
  redis.call('HSET', KEYS[4], 'base', s.base, 'base_at', s.base_at, 'news', s.news)
  if s.suspect then redis.call('HSET', KEYS[4], 'suspect', s.suspect) else redis.call('HDEL', KEYS[4], 'suspect') end
end

-- An event as it is published: its position, the number n as text, in front of what the caller built, and the stamp
-- behind it. Put together at once, because each step would copy the event.
local function numbered(epoch, n, body, stamp)
  return '{"specversion":"1.0","id":"' .. epoch .. '-' .. n .. '","sequence":"'
    .. string.sub('0000000000000000', #n + 1) .. n .. '",' .. body .. stamp
end

-- An entry of a log is an id, '<seq>-0', and one field, the event.
local function event_of(entry) return entry[2][2] end
local function seq_of(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- Lua makes functions at each call of the script, so those that only reading verbs use are made for these alone.
if verb == 'open' or verb == 'page' or verb == 'look' then
  local function id_of(entry) return entry[1] end

  local function events_of(entries)
    local events = {}
    for i = 1, #entries do events[i] = event_of(entries[i]) end
    return events
  end

  -- Entries of the log from an id on (with `before`: up to it, newest first), bounded in number and in bytes; at least
  -- one if there is one.
  local function read_log(before, from, most, bytes)
    local found, piece = {}, 32
    while #found < most and bytes > 0 do
      local count = math.min(piece, most - #found)
      local entries
      if before then
        entries = redis.call('XREVRANGE', KEYS[5], from, '-', 'COUNT', count)
      else
        entries = redis.call('XRANGE', KEYS[5], from, '+', 'COUNT', count)
      end
      for i = 1, #entries do
        bytes = bytes - #event_of(entries[i])
        if bytes < 0 and #found > 0 then break end
        found[#found + 1] = entries[i]
      end
      if #entries < count then break end
      from = '(' .. id_of(entries[#entries])
    end
    return found
  end

  -- The newest mails, oldest first. The log has counts between them, so it is read in pieces. It is not read to its end,
  -- because a log of a hundred thousand counts would block Redis.
  local function recent_mails(limit, bytes)
    local mails, last, looked = {}, '+', 0
    while #mails < limit and looked < 1000 do
      local entries = redis.call('XREVRANGE', KEYS[5], last, '-', 'COUNT', 40)
      for i = 1, #entries do
        local event = event_of(entries[i])
        if string.find(event, '"type":"exmail.mail.new"', 1, true) then
          bytes = bytes - #event
          if bytes < 0 and #mails > 0 then return mails end
          table.insert(mails, 1, event)
        end
        if #mails == limit then break end
      end
      if #entries < 40 then break end
      last, looked = '(' .. id_of(entries[#entries]), looked + 40
    end
    return mails
  end

  -- Keys that concern everybody may have a wrong type. If nobody can be answered without the key, the error names it
  -- (sound); if it holds only additional information, it counts as empty (or_else).
  local function is_of_another_type(answer)
    if type(answer) ~= 'table' or not answer.err then return false end
    if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer) end
    return true
  end

  local function sound(answer, key)
    if not is_of_another_type(answer) then return answer end
    error({err = 'WRONGTYPE ' .. key .. ' concerns everybody, and is of another type'})
  end

  local function or_else(answer, nothing)
    if is_of_another_type(answer) then return nothing end
    return answer
  end

  -- Whether an optional write failed because the server takes none now: it is full, or read-only by its own rules. A
  -- replica does not count: the caller is at the wrong server and must learn of it.
  local function takes_no_writes(answer)
    local word = type(answer) == 'table' and answer.err and string.match(answer.err, '^%-?(%u+)')
    return word == 'OOM' or word == 'MISCONF' or word == 'NOREPLICAS'
  end

  -- open: KEYS 1 lease 2 wanted 3 generation 4 state 5 log 6 directory 7 slaves 8 upstream 9 barred
  --   after_epoch: '' = no position  most_recent: how many mails to return then  stale_ms: '' = do not ask for the count
  --   patient: '1' = if the position is ahead, change nothing yet
  --   returns {2, alias} for a slave, {3} for an account that is disabled or deleted, else
  --   {1, epoch, seq, unread, as_of, status, events, known, led, upstream state, since, why, generation}
  --   status: resumed (events = what follows the position, in order, as far as the bytes allow) · first, expired, epoch
  --   (events = the recent mails)
  --   ahead: the position was given by a server that knew more. The mailbox begins a new epoch, so that the next seq is
  --   not mistaken for one that was given already. If patient: {4} instead, and nothing is written
  if verb == 'open' then
    local new_epoch, address, after_epoch, after_seq, most_entries, most_recent, stale_ms, most_bytes, patient =
      unpack(ARGV, 2, 10)
    local alias = sound(redis.pcall('HGET', KEYS[7], address), KEYS[7])
    if alias then return {2, alias} end
    if sound(redis.pcall('SISMEMBER', KEYS[9], address), KEYS[9]) == 1 then return {3} end
    local generation = sound(redis.pcall('GET', KEYS[3]), KEYS[3]) or '0'
    local upstream, since, why, gap, lost =
      unpack(or_else(redis.pcall('HMGET', KEYS[8], 'state', 'since', 'why', 'gap', 'lost'), {false, false, false}))
    local s = stream_state(generation, new_epoch)
    carried_base(s, lost)
    local after, bytes = tonumber(after_seq), tonumber(most_bytes)
    local status, events, ahead = 'first', nil, false
    if after_epoch ~= '' then
      ahead = after_epoch == s.epoch and after > s.seq
      if ahead and patient == '1' then return {4} end
      if after_epoch ~= s.epoch or ahead then
        status = ahead and 'ahead' or 'epoch'
      elseif s.seq - after > tonumber(most_entries) then
        status = 'expired'
      else
        local entries = {}
        if after < s.seq then entries = read_log(false, whole(after + 1), s.seq - after, bytes) end
        -- The log may have expired or been trimmed, but it has no holes.
        if after == s.seq or (entries[1] and id_of(entries[1]) == whole(after + 1) .. '-0') then
          status, events = 'resumed', events_of(entries)
        else
          status = 'expired'
        end
      end
    end
    if not events then events = s.absent and {} or recent_mails(tonumber(most_recent), bytes) end
    local known = or_else(redis.pcall('HEXISTS', KEYS[6], address), 0)
    local led = redis.call('EXISTS', KEYS[1])
    local stale = stale_ms ~= ''
      and (not s.unread or tonumber(s.as_of or '0') < now_ms() - tonumber(stale_ms) or is_doubtful(s, gap))
    if s.absent then
      redis.call('DEL', KEYS[4], KEYS[5])
      redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', s.epoch, 'seq', '0')
      if s.base then store_base(s) end
    elseif ahead then
      s.epoch, s.seq = new_epoch, 0
      redis.call('DEL', KEYS[5])
      redis.call('HSET', KEYS[4], 'epoch', s.epoch, 'seq', '0')
    end
    if stale then
      local noted = redis.pcall('SADD', KEYS[2], address)
      if not takes_no_writes(noted) then or_else(noted) end
    end
    return {1, s.epoch, s.seq, s.unread or false, s.as_of or false, status, events, known, led, upstream, since, why,
      generation}
  end

  -- page: KEYS as open   after_epoch: '' = the newest page
  --   returns {2, alias}, {3} or {1, epoch, seq, events, seq of the first event or 0}; creates nothing
  if verb == 'page' then
    local new_epoch, address, after_epoch, after_seq, most_entries, most_bytes = unpack(ARGV, 2, 7)
    local alias = sound(redis.pcall('HGET', KEYS[7], address), KEYS[7])
    if alias then return {2, alias} end
    if sound(redis.pcall('SISMEMBER', KEYS[9], address), KEYS[9]) == 1 then return {3} end
    local s = stream_state(sound(redis.pcall('GET', KEYS[3]), KEYS[3]) or '0', new_epoch)
    local entries, most, bytes = {}, tonumber(most_entries), tonumber(most_bytes)
    if not s.absent and after_epoch == s.epoch then
      entries = read_log(false, whole(tonumber(after_seq) + 1), most, bytes)
    elseif not s.absent then
      local newest = read_log(true, '+', most, bytes)
      for i = #newest, 1, -1 do entries[#entries + 1] = newest[i] end
    end
    local first = entries[1] and seq_of(entries[1]) or 0
    return {1, s.epoch, s.seq, events_of(entries), first}
  end

  -- look: KEYS 1 slaves 2 barred 3 moved 4 kicked   the arguments are pairs of an address and a session ('' = none)
  --   returns {1, now ms, then five values for each pair: the account that the address means now, 1 if it is barred, when
  --   the address came to mean another person, until when the session is kept out, when its connections were last ended;
  --   false = never}
  --   An alias came to mean another person when it came to its account, or when the account went to somebody else,
  --   whichever was later. The second is stored under the account only.
  if verb == 'look' then
    local any_moved, any_kicked = redis.call('EXISTS', KEYS[3]) == 1, redis.call('EXISTS', KEYS[4]) == 1
    local answer = {1, now_ms()}
    for i = 2, #ARGV, 2 do
      local address, session = ARGV[i], ARGV[i + 1]
      local account = sound(redis.pcall('HGET', KEYS[1], address), KEYS[1]) or address
      local moved, out, ended = false, false, false
      if any_moved then
        moved = sound(redis.pcall('ZSCORE', KEYS[3], address), KEYS[3])
        local with_account = account ~= address and redis.call('ZSCORE', KEYS[3], account)
        if with_account and (not moved or tonumber(with_account) > tonumber(moved)) then moved = with_account end
      end
      if any_kicked then
        ended = sound(redis.pcall('ZSCORE', KEYS[4], 'mailbox:' .. account), KEYS[4])
        if session ~= '' then
          out = redis.call('ZSCORE', KEYS[4], 'sid:' .. session)
          local here = redis.call('ZSCORE', KEYS[4], 'mailbox:' .. account .. ' sid:' .. session)
          if here and (not out or tonumber(here) > tonumber(out)) then out = here end
        end
      end
      local n = #answer
      answer[n + 1], answer[n + 2] = account, sound(redis.pcall('SISMEMBER', KEYS[2], account), KEYS[2])
      answer[n + 3], answer[n + 4], answer[n + 5] = moved, out, ended
    end
    return answer
  end
end

-- kick: KEYS 1 slaves 2 kicked   address: '' = every mailbox  session: '' = every session  holds_ms: for how long
--   A session is kept out for holds_ms. Without a session the mailbox's connections end and nobody is kept out.
--   Returns {1}.
if verb == 'kick' then
  local address, session, holds_ms, channel = unpack(ARGV, 2, 5)
  local name, now, lasts = '', now_ms(), tonumber(holds_ms)
  if address ~= '' then name = 'mailbox:' .. (redis.call('HGET', KEYS[1], address) or address) end
  if session ~= '' then name = (name == '' and '' or name .. ' ') .. 'sid:' .. session end
  redis.call('ZADD', KEYS[2], 'GT', whole(session == '' and now or now + lasts), name)
  -- Drop expired entries. A mailbox's score says when its connections ended, a session's until when it is kept out.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - lasts))
  if redis.call('PTTL', KEYS[2]) < 2 * lasts then redis.call('PEXPIRE', KEYS[2], whole(2 * lasts)) end
  redis.call('PUBLISH', channel, name)
  return {1}
end

-- probe: KEYS 1 a private key   Fails on a server that lacks what the script uses (Redis 7.0, Valkey 7.2 have it).
if verb == 'probe' then
  -- The first write, so that a full server refuses it: behind another one it would be let through.
  local added = redis.pcall('XADD', KEYS[1], '1-*', 'probe', '1')
  if type(added) == 'table' and not is_foreign(added) then error(added) end
  -- Edges may write there: whatever one of them left must not keep everybody from starting.
  redis.call('DEL', KEYS[1])
  return {1, run_id()}
end

-- canary: KEYS 1 lease 2 commits 3 generation 4 the state of the reserved stream   Channels: '' = not there.
--   publishes an event of the stream that tries the way. Nothing is kept of it but its position, and no commit is counted:
--   if Redis loses one, it has lost nothing of anybody's, and that must not look as if it had gone back.
--   returns {1, epoch, seq, how many edges heard it}, or {2} if our user may not publish there
if verb == 'canary' then
  local lease, new_epoch, body, channel, sharded_channel = unpack(ARGV, 2, 6)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local generation = redis.call('GET', KEYS[3]) or '0'
  local state = sound_state(generation, new_epoch)
  local seq = state.seq + 1
  local event, heard = numbered(state.epoch, whole(seq), body, ''), 0
  for command, place in pairs({PUBLISH = channel, SPUBLISH = sharded_channel}) do
    local by_this = place ~= '' and redis.pcall(command, place, event) or 0
    if type(by_this) ~= 'number' then return {2} end
    heard = heard + by_this
  end
  if state.absent then redis.call('DEL', KEYS[4]) end
  redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', state.epoch, 'seq', whole(seq))
  return {1, state.epoch, seq, heard}
end

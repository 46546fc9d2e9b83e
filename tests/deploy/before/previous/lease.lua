-- The journal's script: the only code that changes mailboxes, the directory, the cursor and the lease. One script in
-- three files, which are put together in this order: lease, reading, writing.
--
-- Redis does not roll back, so each verb decides everything before its first write. Key arguments are literal
-- KEYS[n] (managed Redis refuses computed ones); their meaning is the same for every verb that holds the lease:
--   1 lease  2 commits  3 generation  4 the stream's state (hash)  5 the stream's log  6 events  7… by verb
-- ARGV are strings: tonumber() before comparing. Numbers go back into text with %.0f, since ".." writes 1e+14.
--
-- A writing verb returns {1, epoch, seq, …} published · {2} duplicate · {3} unchanged · {4, seq} moved ·
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
-- claim: KEYS 1 lease 2 commits 3 generation 4 fence 5 server 6 format 7 upstream
--   ARGV token, lease ms, highest fence that this worker knows of ('' = none), commits that it was told under that
--   fence ('' = another held it), format, the generation that it was told
--   returns {1, fence, commits, generation, heard}: the fence grew by one, by more where another led in between; or
--   {0, 'held', fence of the holder}
if verb == 'claim' then
  local holder = redis.call('GET', KEYS[1])
  local mine = holder and string.sub(holder, -#ARGV[2] - 1) == ':' .. ARGV[2]
  if holder and not mine then return {0, 'held', tonumber(string.match(holder, '^%d+') or '0')} end
  local format = tonumber(redis.call('GET', KEYS[6]) or '0')
  if format > tonumber(ARGV[6]) then return {0, 'format', format} end
  local fence = tonumber(redis.call('GET', KEYS[4]) or '0')
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
  local server = run_id()
  local told_fence, told = tonumber(ARGV[4]), tonumber(ARGV[5])
  -- Redis went back and another led before we came, under numbers that were ours.
  local another = told and generation > tonumber(ARGV[7])
  local same = told and fence == told_fence and not another
  -- Redis went back: it knows less than it once told us, or it is not the server that was recorded and may know less
  -- than that one published for another, who led when our lease had run out.
  local back = generation == 0 or (told_fence and fence < told_fence) or (same and commits < told)
    or (redis.call('GET', KEYS[5]) ~= server and not (mine and same))
  if back then generation = math.max(now_ms(), generation + 1) end
  if not mine or back then fence = math.max(fence, (told_fence or 0) + (another and 1 or 0)) + 1 end
  redis.call('SET', KEYS[4], whole(fence))
  redis.call('SET', KEYS[1], whole(fence) .. ':' .. ARGV[2], 'PX', ARGV[3])
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[6], ARGV[6])
  local heard = redis.call('HGET', KEYS[7], 'heard')
  -- A leader that dies before it can say that it listens has perhaps listened: what it read is missed from here on.
  redis.call('HSETNX', KEYS[7], 'heard', whole(now_ms()))
  return {1, fence, commits, generation, heard}
end

-- renew: KEYS 1 lease 2 commits 3 server 4 upstream
--   ARGV lease value, lease ms, commits that this worker was told, when the provider was last heard ('' = not),
--   the highest call number that it sent
if verb == 'renew' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  local commits, server = tonumber(redis.call('GET', KEYS[2]) or '0'), run_id()
  if commits < tonumber(ARGV[4]) then return {0, 'back'} end
  if redis.call('GET', KEYS[3]) ~= server then
    -- What was sent to another server and is not here was perhaps published there.
    if commits < tonumber(ARGV[6]) then return {0, 'back'} end
    -- A replica that was promoted and lost nothing is the recorded server from here on.
    redis.call('SET', KEYS[3], server)
  end
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], 'heard', ARGV[5]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1}
end

-- hold: KEYS 1 a lock   ARGV its value, ms   Keep it for so long from now, if it still is ours.
if verb == 'hold' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1}
end

-- release: KEYS 1 lease   ARGV lease value
if verb == 'release' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  redis.call('DEL', KEYS[1])
  return {1}
end

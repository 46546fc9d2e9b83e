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
-- What proves that Redis went back: commits below what the worker was told, or, on another server process than the one
-- that answered it last, below what it sent (an answer may have been lost together with the commit). A server is known
-- by its run id, which a restart changes; "another" is judged by what the worker remembers and by what the data say.
--
local function is_another(server, recorded, remembered)
  return recorded ~= server or (remembered ~= '' and remembered ~= server)
end

-- claim: KEYS 1 lease 2 commits 3 generation 4 fence 5 server 6 format 7 upstream 8 corporation
--   ARGV 2 token  3 lease ms  4 highest fence that this worker knows of ('' = none)  5 commits that it was told under
--   that fence ('' = another held it)  6 format  7 the generation that it was told  8 highest call number that it sent
--   9 run id of the server that answered it last ('' = none)  10 greatest generation that somebody remembers who was
--   told what this server does not know ('' = nobody has said so)  11 whose namespace it is ('' = do not look)
--   returns {1, fence, commits, generation, heard, run id, former}: the fence grew by one, by more where another led in
--   between; former: '<fence>:<generation>:<token>' of who led before on this server, before our claim was first applied;
--   or {0, 'held', fence of the holder, run id}, {0, 'format', number}, {0, 'corporation'}
if verb == 'claim' then
  local holder, server = redis.call('GET', KEYS[1]), run_id()
  local corporation = redis.call('GET', KEYS[8])
  if corporation and ARGV[11] ~= '' and corporation ~= ARGV[11] then return {0, 'corporation'} end
  local mine = holder and string.sub(holder, -#ARGV[2] - 1) == ':' .. ARGV[2]
  if holder and not mine then return {0, 'held', tonumber(string.match(holder, '^%d+') or '0'), server} end
  local format = tonumber(redis.call('GET', KEYS[6]) or '0')
  if format > tonumber(ARGV[6]) then return {0, 'format', format} end
  local fence = tonumber(redis.call('GET', KEYS[4]) or '0')
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
  local told_fence, told = tonumber(ARGV[4]), tonumber(ARGV[5])
  local told_generation, remembered = tonumber(ARGV[7]), tonumber(ARGV[10])
  -- Two servers that went apart count on from the same fence: only the name of its holder tells them apart.
  local leader = redis.call('HGET', KEYS[7], 'leader') or ''
  local same = told and leader == ARGV[4] .. ':' .. ARGV[7] .. ':' .. ARGV[2]
  -- Another led before we came, under numbers that were ours.
  local another = told and not same and (fence == told_fence or generation > told_generation)
  -- Our last claim was applied here and its answer was lost: it has judged already.
  local judged = mine and fence > (told_fence or 0)
  local moved = is_another(server, redis.call('GET', KEYS[5]), judged and '' or ARGV[9])
  local lost = generation == 0 or (told_fence and fence < told_fence) or (same and commits < told)
    or (same and moved and commits < tonumber(ARGV[8])) or (remembered and remembered >= generation)
  -- Another server may know less than the one before it published for another worker, who led when our lease had run
  -- out there.
  local back = lost or (moved and not (mine and same))
  local former = judged and redis.call('HGET', KEYS[7], 'former') or leader
  if back then
    -- Above all that anybody remembers: this server's clock may be behind, and readers wait for ids that grow.
    generation = math.max(now_ms(), math.max(generation, told_generation, remembered or 0) + 1)
    if lost then redis.call('HSET', KEYS[7], 'lost', whole(generation)) end
  end
  if not mine or back then fence = math.max(fence, (told_fence or 0) + (another and 1 or 0)) + 1 end
  leader = whole(fence) .. ':' .. whole(generation) .. ':' .. ARGV[2]
  redis.call('HSET', KEYS[7], 'former', former, 'leader', leader)
  redis.call('SET', KEYS[4], whole(fence))
  redis.call('SET', KEYS[1], whole(fence) .. ':' .. ARGV[2], 'PX', ARGV[3])
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[6], ARGV[6])
  if ARGV[11] ~= '' then redis.call('SET', KEYS[8], ARGV[11]) end
  local heard = redis.call('HGET', KEYS[7], 'heard')
  -- A leader that dies before it can say that it listens has perhaps listened: what it read is missed from here on.
  redis.call('HSETNX', KEYS[7], 'heard', whole(now_ms()))
  return {1, fence, commits, generation, heard, server, former}
end

-- compare: KEYS 1 lease 2 commits 3 generation 4 the state of a stream 5 forgotten
--   ARGV 2 lease value  3 greatest generation that others remember, and of it: 4 how many commits there were  5 epoch and
--   6 seq that they were given of the stream ('' = none)  7 the stream
--   They learnt it before they were asked, so this server must know it: {1}; else {0, 'back'} or {0, 'lease'}.
--   What it was told to forget it did not lose.
if verb == 'compare' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  local generation = redis.call('GET', KEYS[3]) or '0'
  if tonumber(ARGV[3]) < tonumber(generation) then return {1} end
  local s = redis.call('HMGET', KEYS[4], 'generation', 'epoch', 'seq')
  if tonumber(ARGV[3]) > tonumber(generation) or tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[4])
    or (ARGV[5] ~= '' and not redis.call('ZSCORE', KEYS[5], ARGV[7] .. ' ' .. ARGV[5]) and (s[1] ~= generation or s[2] ~= ARGV[5] or tonumber(s[3]) < tonumber(ARGV[6]))) then
    return {0, 'back'}
  end
  return {1}
end

-- renew: KEYS 1 lease 2 commits 3 server 4 upstream
--   ARGV 2 lease value  3 lease ms  4 commits that this worker was told  5 when the provider was last heard ('' = not)
--   6 highest call number that it sent  7 run id of the server that answered it last   returns {1, run id}
if verb == 'renew' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  local commits, server = tonumber(redis.call('GET', KEYS[2]) or '0'), run_id()
  if commits < tonumber(ARGV[4]) then return {0, 'back'} end
  if is_another(server, redis.call('GET', KEYS[3]), ARGV[7]) then
    if commits < tonumber(ARGV[6]) then return {0, 'back'} end
    -- A replica that was promoted and lost nothing is the recorded server from here on.
    redis.call('SET', KEYS[3], server)
  end
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], 'heard', ARGV[5]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1, server}
end

-- adopt: KEYS 1 lease 2 corporation 3 token 4 ver
--   ARGV 2 whose namespace it is from now on  3 how that begins where the API is the same
--   returns {1, 1 if it was another's} or {0, 'held'}
if verb == 'adopt' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return {0, 'held'} end
  local before = redis.call('GET', KEYS[2])
  redis.call('SET', KEYS[2], ARGV[2])
  if not before or before == ARGV[2] then return {1, 0} end
  redis.call('DEL', KEYS[3])
  -- The Ver of one API says nothing to the other.
  if string.sub(before, 1, #ARGV[3]) ~= ARGV[3] then redis.call('DEL', KEYS[4]) end
  return {1, 1}
end

-- erase: KEYS 1 lease 2 the log of a stream   ARGV 2 lease value
if verb == 'erase' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  redis.call('DEL', KEYS[2])
  return {1}
end

-- made: KEYS 1 lease 2 made   ARGV 2 lease value  3 privacy  4 fields  5 revision
if verb == 'made' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  redis.call('HSET', KEYS[2], 'privacy', ARGV[3], 'fields', ARGV[4], 'revision', ARGV[5])
  return {1}
end

-- begin: KEYS 1 lease 2 made 3 generation 4 upstream 5 events 6 dead
--   ARGV 2 lease value  3 privacy  4 fields ('' = not known)  5 revision  6 fence  7 the holder's token
--   A new generation, in which nothing counts that was stored before. The stream of all events keeps its groups. Dead
--   documents stay where no text of them was kept.   returns {1, generation}
if verb == 'begin' then
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end
  local dead = redis.call('XRANGE', KEYS[6], '-', '+')
  local generation = math.max(now_ms(), tonumber(redis.call('GET', KEYS[3]) or '0') + 1)
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('HSET', KEYS[4], 'leader', ARGV[6] .. ':' .. whole(generation) .. ':' .. ARGV[7])
  redis.call('XTRIM', KEYS[5], 'MAXLEN', '0')
  for _, entry in ipairs(dead) do
    local fields = entry[2]
    for i = 1, #fields, 2 do
      if fields[i] == 'kept' and fields[i + 1] ~= 'masked' then redis.call('XDEL', KEYS[6], entry[1]) end
    end
  end
  redis.call('HSET', KEYS[2], 'privacy', ARGV[3], 'revision', ARGV[5])
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'fields', ARGV[4]) end
  return {1, generation}
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

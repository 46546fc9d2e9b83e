-- The journal's script: the only code that changes mailboxes, the directory, the cursor and the lease. One script in
-- four files, which are put together in this order: lease, reading, writing, counts.
--
-- Redis does not roll back, so each verb decides everything before its first write. Key arguments are literal
-- KEYS[n] (managed Redis refuses computed ones); their meaning is the same for every verb that holds the lease:
--   1 lease  2 commits  3 generation  4 the stream's state (hash)  5 the stream's log  6 events  7… by verb
-- A verb names its arguments in its first line, and a command's answer is named where it is read; nothing is known by its
-- place behind that. Arguments are strings: tonumber() before comparing. Numbers go back into text with %.0f, since ".."
-- writes 1e+14.
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
--   known_fence: the highest that this worker knows of ('' = none)  known_commits: what it was told under that fence
--   ('' = another held it)  known_format: the newest layout that it can read  known_generation: what it was told
--   sent: the highest call number that it sent  last_server: run id of the server that answered it last ('' = none)
--   remembered: the greatest generation that somebody remembers who was told what this server does not know ('' = nobody
--   has said so)  ours: whose the namespace must be ('' = do not look)  seen_generation: the greatest that it was told or
--   saw another lead in
--   returns {1, fence, commits, generation, heard, run id, former}: the fence grew by one, by more where another led in
--   between; former: '<fence>:<generation>:<token>' of who led before on this server, before our claim was first applied;
--   or {0, 'held', fence of the holder, run id, generation}, {0, 'format', number}, {0, 'corporation'}
if verb == 'claim' then
  local token, lease_ms, known_fence, known_commits, known_format, known_generation, sent, last_server, remembered, ours,
    seen_generation = unpack(ARGV, 2, 12)
  local holder, server = redis.call('GET', KEYS[1]), run_id()
  local corporation = redis.call('GET', KEYS[8])
  if corporation and ours ~= '' and corporation ~= ours then return {0, 'corporation'} end
  local mine = holder and string.sub(holder, -#token - 1) == ':' .. token
  local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
  if holder and not mine then
    return {0, 'held', tonumber(string.match(holder, '^%d+') or '0'), server, generation}
  end
  local format = tonumber(redis.call('GET', KEYS[6]) or '0')
  if format > tonumber(known_format) then return {0, 'format', format} end
  local fence = tonumber(redis.call('GET', KEYS[4]) or '0')
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local told_fence, told = tonumber(known_fence), tonumber(known_commits)
  local told_generation, proven = tonumber(known_generation), tonumber(remembered)
  -- Two servers that went apart count on from the same fence: only the name of its holder tells them apart.
  local leader = redis.call('HGET', KEYS[7], 'leader') or ''
  local same = told and leader == known_fence .. ':' .. known_generation .. ':' .. token
  -- Another led before we came, under numbers that were ours.
  local another = told and not same and (fence == told_fence or generation > told_generation)
  -- Our last claim was applied here and its answer was lost: it has judged already.
  local judged = mine and fence > (told_fence or 0)
  -- A generation that began here later than all that this worker knows of was begun by somebody who has judged, too:
  -- what another server gave before it counts as absent. So one restart begins one generation.
  local begun = generation > tonumber(seen_generation)
  local moved = is_another(server, redis.call('GET', KEYS[5]), (judged or begun) and '' or last_server)
  local lost = generation == 0 or (told_fence and fence < told_fence) or (same and commits < told)
    or (same and moved and commits < tonumber(sent)) or (proven and proven >= generation)
  -- Another server may know less than the one before it published for another worker, who led when our lease had run
  -- out there.
  local back = lost or (moved and not (mine and same))
  local former = judged and redis.call('HGET', KEYS[7], 'former') or leader
  if back then
    -- Above all that anybody remembers: this server's clock may be behind, and readers wait for ids that grow.
    generation = math.max(now_ms(), math.max(generation, told_generation, proven or 0) + 1)
    if lost then redis.call('HSET', KEYS[7], 'lost', whole(generation)) end
  end
  if not mine or back then fence = math.max(fence, (told_fence or 0) + (another and 1 or 0)) + 1 end
  leader = whole(fence) .. ':' .. whole(generation) .. ':' .. token
  redis.call('HSET', KEYS[7], 'former', former, 'leader', leader)
  redis.call('SET', KEYS[4], whole(fence))
  redis.call('SET', KEYS[1], whole(fence) .. ':' .. token, 'PX', lease_ms)
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[6], known_format)
  if ours ~= '' then redis.call('SET', KEYS[8], ours) end
  local heard = redis.call('HGET', KEYS[7], 'heard')
  -- A leader that dies before it can say that it listens has perhaps listened: what it read is missed from here on.
  redis.call('HSETNX', KEYS[7], 'heard', whole(now_ms()))
  return {1, fence, commits, generation, heard, server, former}
end

-- compare: KEYS 1 lease 2 commits 3 generation 4 the state of a stream 5 forgotten
--   remembered: the greatest generation that others remember, and of it  known_commits: how many commits there were,
--   known_epoch and known_seq: what they were given of the stream ('' = none)
--   They learnt it before they were asked, so this server must know it: {1}; else {0, 'back'} or {0, 'lease'}.
--   What it was told to forget it did not lose.
if verb == 'compare' then
  local lease, remembered, known_commits, known_epoch, known_seq, stream = unpack(ARGV, 2, 7)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local generation = redis.call('GET', KEYS[3]) or '0'
  if tonumber(remembered) < tonumber(generation) then return {1} end
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local of, epoch, seq = unpack(redis.call('HMGET', KEYS[4], 'generation', 'epoch', 'seq'))
  if tonumber(remembered) > tonumber(generation) or commits < tonumber(known_commits) or (known_epoch ~= ''
    and not redis.call('ZSCORE', KEYS[5], stream .. ' ' .. known_epoch)
    and (of ~= generation or epoch ~= known_epoch or tonumber(seq) < tonumber(known_seq))) then
    return {0, 'back'}
  end
  return {1}
end

-- renew: KEYS 1 lease 2 commits 3 server 4 upstream
--   known_commits: what this worker was told  heard: when the provider was last heard ('' = not)  sent: the highest call
--   number that it sent  last_server: run id of the server that answered it last   returns {1, run id}
if verb == 'renew' then
  local lease, lease_ms, known_commits, heard, sent, last_server = unpack(ARGV, 2, 7)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local commits, server = tonumber(redis.call('GET', KEYS[2]) or '0'), run_id()
  if commits < tonumber(known_commits) then return {0, 'back'} end
  if is_another(server, redis.call('GET', KEYS[3]), last_server) then
    if commits < tonumber(sent) then return {0, 'back'} end
    -- A replica that was promoted and lost nothing is the recorded server from here on.
    redis.call('SET', KEYS[3], server)
  end
  if heard ~= '' then redis.call('HSET', KEYS[4], 'heard', heard) end
  redis.call('PEXPIRE', KEYS[1], lease_ms)
  return {1, server}
end

-- adopt: KEYS 1 lease 2 corporation 3 token 4 ver
--   corporation: whose namespace it is from now on  api: how that begins where the API is the same
--   returns {1, 1 if it was another's} or {0, 'held'}
if verb == 'adopt' then
  local corporation, api = unpack(ARGV, 2, 3)
  if redis.call('EXISTS', KEYS[1]) == 1 then return {0, 'held'} end
  local before = redis.call('GET', KEYS[2])
  redis.call('SET', KEYS[2], corporation)
  if not before or before == corporation then return {1, 0} end
  redis.call('DEL', KEYS[3])
  -- The Ver of one API says nothing to the other.
  if string.sub(before, 1, #api) ~= api then redis.call('DEL', KEYS[4]) end
  return {1, 1}
end

-- erase: KEYS 1 lease 2 the log of a stream
if verb == 'erase' then
  local lease = unpack(ARGV, 2, 2)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  redis.call('DEL', KEYS[2])
  return {1}
end

-- made: KEYS 1 lease 2 made
if verb == 'made' then
  local lease, privacy, fields, revision = unpack(ARGV, 2, 5)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  redis.call('HSET', KEYS[2], 'privacy', privacy, 'fields', fields, 'revision', revision)
  return {1}
end

-- begin: KEYS 1 lease 2 made 3 generation 4 upstream 5 events 6 dead
--   profile_fields: '' = not known  fence and token: the holder's
--   A new generation, in which nothing counts that was stored before. The stream of all events keeps its groups. Dead
--   documents stay where no text of them was kept.   returns {1, generation}
if verb == 'begin' then
  local lease, privacy, profile_fields, revision, fence, token = unpack(ARGV, 2, 7)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local dead = redis.call('XRANGE', KEYS[6], '-', '+')
  local generation = math.max(now_ms(), tonumber(redis.call('GET', KEYS[3]) or '0') + 1)
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('HSET', KEYS[4], 'leader', fence .. ':' .. whole(generation) .. ':' .. token)
  redis.call('XTRIM', KEYS[5], 'MAXLEN', '0')
  for _, entry in ipairs(dead) do
    local id, fields = unpack(entry)
    for i = 1, #fields, 2 do
      if fields[i] == 'kept' and fields[i + 1] ~= 'masked' then redis.call('XDEL', KEYS[6], id) end
    end
  end
  redis.call('HSET', KEYS[2], 'privacy', privacy, 'revision', revision)
  if profile_fields ~= '' then redis.call('HSET', KEYS[2], 'fields', profile_fields) end
  return {1, generation}
end

-- hold: KEYS 1 a lock   Keep it for so long from now, if it still has this value.
if verb == 'hold' then
  local value, ms = unpack(ARGV, 2, 3)
  if redis.call('GET', KEYS[1]) ~= value then return {0, 'lease'} end
  redis.call('PEXPIRE', KEYS[1], ms)
  return {1}
end

-- release: KEYS 1 a lease or lock   Give it up, if it still has this value.
if verb == 'release' then
  local value = unpack(ARGV, 2, 2)
  if redis.call('GET', KEYS[1]) ~= value then return {0, 'lease'} end
  redis.call('DEL', KEYS[1])
  return {1}
end

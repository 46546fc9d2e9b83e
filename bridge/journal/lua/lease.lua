-- The journal's script: the only code that changes mailboxes, the directory, the cursor and the lease. It is one script
-- in four files, joined in this order: lease, reading, writing, counts.
--
-- Redis does not roll back, so each verb decides everything before its first write. Keys are written as literal KEYS[n],
-- because managed Redis refuses computed ones. For every verb that needs the lease they are:
--   1 lease  2 commits  3 generation  4 the stream's state (hash)  5 the stream's log  6 events  7… by verb
-- A verb names its arguments in its first line, and the parts of an answer where it reads them; nothing else is addressed
-- by its place. Arguments are strings: use tonumber() before comparing. Numbers become text with %.0f, because ".."
-- writes 1e+14.
--
-- A writing verb returns {1, epoch, seq, …} published · {2} duplicate · {3} unchanged · {4, seq} moved ·
-- {5} again (this call number was applied before, and its answer was lost) · {6, ver} the cursor is another ·
-- {0, why, …} refused: nothing was written, and the call number is not used up.

local verb = ARGV[1]

local function whole(n) return string.format('%.0f', n) end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
end

-- A master that has no replica, was none, and belongs to no cluster, as far as it knows itself.
local function is_single()
  local replication, cluster = redis.call('INFO', 'replication'), redis.call('INFO', 'cluster')
  return string.find(replication, 'role:master%s') and string.find(replication, 'connected_slaves:0%s')
    and string.find(replication, 'repl_backlog_active:0%s') and string.find(replication, 'master_replid2:0+%s')
    and string.find(cluster, 'cluster_enabled:0%s')
end

-- Whether this process came straight after the one that ended while the claimer's lease stood: what the claimer saw of
-- that, compared with the clock and the age of this one. A clock that ran ahead may have ended the lease before its time.
-- A process that began long after the last look at the place, or long before it, is not the next one there. It begins
-- up to five seconds before it listens: with modules to load, or on a busy machine. uptime_in_seconds is a difference of
-- whole seconds.
local function is_next(granted, since, vacant, lease_ms)
  local age = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)') or '-1') * 1000
  local unwatched = vacant - age
  return now_ms() <= granted + since + lease_ms / 3 and unwatched >= -6000 and unwatched <= lease_ms / 2 + 1000
end

-- ------------------------------------------------------------------------------------------ the lease
-- Two things prove that Redis went back: commits below those that were confirmed to the worker; or, on another server
-- process than the one that answered it last, below those that it sent (an answer may be lost together with its commit).
-- A server process is identified by its run id, which a restart changes. It is another one if it differs from the one
-- that the worker remembers, or from the one recorded in the data.
local function is_another(server, recorded, remembered)
  return recorded ~= server or (remembered ~= '' and remembered ~= server)
end

-- claim: KEYS 1 lease 2 commits 3 generation 4 fence 5 server 6 format 7 upstream 8 corporation
--   known_fence: the highest that this worker knows ('' = none)  known_commits: those confirmed to it under that fence
--   ('' = another held it)  known_format: the newest layout that it can read  known_generation: its generation
--   sent: the highest call number that it sent  last_server: run id of the server that answered it last ('' = none)
--   remembered: the greatest generation of those who remember more than this server has ('' = nobody does)
--   ours: the corporation that the namespace must belong to ('' = any)  seen_generation: the greatest generation that it
--   led in or saw another lead in  over: a lease whose holder's process has ended ('' = none); it is as good as run out
--   granted: '' or, if the URL names one server and nobody listened there while the claimer's lease stood, nor at any look
--   since: when that lease was granted, by Redis's clock  since, vacant: ms since it was asked for, since the last look
--   sharded: how this worker will publish what concerns a mailbox, for the edges: off|beside|instead
--   returns {1, fence, commits, generation, heard, run id, granted now, former}: the fence grew by one, or by more if
--   another led in between; former: '<fence>:<generation>:<token>' of who led here before our claim was first applied;
--   or {0, 'held', the holder's fence, run id, generation, the lease}, {0, 'format', number}, {0, 'corporation'}
if verb == 'claim' then
  local token, lease_ms, known_fence, known_commits, known_format, known_generation, sent, last_server, remembered, ours,
    seen_generation, granted, since, vacant, over, sharded = unpack(ARGV, 2, 17)
  local holder, server = redis.call('GET', KEYS[1]), run_id()
  if holder == over then holder = false end
  local corporation = redis.call('GET', KEYS[8])
  if corporation and ours ~= '' and corporation ~= ours then return {0, 'corporation'} end
  local mine = holder and string.sub(holder, -#token - 1) == ':' .. token
  local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
  if holder and not mine then
    return {0, 'held', tonumber(string.match(holder, '^%d+') or '0'), server, generation, holder}
  end
  local format = tonumber(redis.call('GET', KEYS[6]) or '0')
  if format > tonumber(known_format) then return {0, 'format', format} end
  local fence = tonumber(redis.call('GET', KEYS[4]) or '0')
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local last_fence, confirmed = tonumber(known_fence), tonumber(known_commits)
  local last_generation, proven = tonumber(known_generation), tonumber(remembered)
  -- Two servers that diverged continue from the same fence; only the name of its holder distinguishes them.
  local leader = redis.call('HGET', KEYS[7], 'leader') or ''
  local same = confirmed and leader == known_fence .. ':' .. known_generation .. ':' .. token
  -- Another worker led here meanwhile: it had the same fence as we, or a later generation.
  local another = confirmed and not same and (fence == last_fence or generation > last_generation)
  -- Our last claim was applied here and its answer was lost, so it has already compared the servers.
  local judged = mine and fence > (last_fence or 0)
  -- A generation later than all that this worker knows was begun here by another, who has compared them too. Whatever
  -- another server did before it counts as absent. So one restart begins one generation.
  local begun = generation > tonumber(seen_generation)
  local moved = is_another(server, redis.call('GET', KEYS[5]), (judged or begun) and '' or last_server)
  local lost = generation == 0 or (last_fence and fence < last_fence) or (same and commits < confirmed)
    or (same and moved and commits < tonumber(sent)) or (proven and proven >= generation)
  -- Another server may lack what the one before it published for another worker, who led after our lease had run out:
  -- unless the claimer saw that this cannot be, and all is here that it sent and was given, its last lease too.
  local leased = tonumber(redis.call('HGET', KEYS[7], 'leased') or '0')
  local kept = same and granted ~= '' and leased >= tonumber(granted)
    and is_next(tonumber(granted), tonumber(since), tonumber(vacant), tonumber(lease_ms)) and is_single()
  local back = lost or (moved and not (same and (mine or kept)))
  local former = judged and redis.call('HGET', KEYS[7], 'former') or leader
  if back then
    -- Above everything that anybody remembers: this server's clock may be behind, and readers need growing ids.
    generation = math.max(now_ms(), math.max(generation, last_generation, proven or 0) + 1)
    if lost then redis.call('HSET', KEYS[7], 'lost', whole(generation)) end
  end
  if not mine or back then fence = math.max(fence, (last_fence or 0) + (another and 1 or 0)) + 1 end
  leader = whole(fence) .. ':' .. whole(generation) .. ':' .. token
  local now = now_ms()
  redis.call('HSET', KEYS[7], 'former', former, 'leader', leader, 'leased', whole(now))
  if sharded == 'off' then
    redis.call('HDEL', KEYS[7], 'sharded')
  else
    redis.call('HSET', KEYS[7], 'sharded', sharded .. ':' .. whole(fence))
  end
  redis.call('SET', KEYS[4], whole(fence))
  redis.call('SET', KEYS[1], whole(fence) .. ':' .. token, 'PX', lease_ms)
  redis.call('SET', KEYS[3], whole(generation))
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[6], known_format)
  if ours ~= '' then redis.call('SET', KEYS[8], ours) end
  local heard = redis.call('HGET', KEYS[7], 'heard')
  if heard and (#heard > 15 or not string.find(heard, '^%d+$')) then
    -- Somebody else's value. Since when pushes may be missing is unknown then, as where there is none.
    redis.call('HDEL', KEYS[7], 'heard')
    heard = false
  end
  -- A leader may read pushes and die before its first commit: a gap would have to begin here.
  redis.call('HSETNX', KEYS[7], 'heard', whole(now))
  return {1, fence, commits, generation, heard, server, now, former}
end

-- compare: KEYS 1 lease 2 commits 3 generation 4 the state of a stream 5 forgotten
--   remembered: the greatest generation that others remember  known_commits: the number of commits in it
--   known_epoch, known_seq: the position of the stream that they received ('' = none)
--   They received it before they were asked, so a server that has not gone back must know it: {1}. Otherwise {0, 'back'},
--   or {0, 'lease'}. A position that was deleted on purpose is no proof.
if verb == 'compare' then
  local lease, remembered, known_commits, known_epoch, known_seq, stream = unpack(ARGV, 2, 7)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local generation = redis.call('GET', KEYS[3]) or '0'
  if tonumber(remembered) < tonumber(generation) then return {1} end
  local commits = tonumber(redis.call('GET', KEYS[2]) or '0')
  local of, epoch, seq = unpack(redis.call('HMGET', KEYS[4], 'generation', 'epoch', 'seq'))
  if tonumber(remembered) > tonumber(generation) or commits < tonumber(known_commits) or (known_epoch ~= ''
    and not redis.call('ZSCORE', KEYS[5], stream .. ' ' .. known_epoch)
    and (of ~= generation or epoch ~= known_epoch or (tonumber(seq) or 0) < tonumber(known_seq))) then
    return {0, 'back'}
  end
  return {1}
end

-- renew: KEYS 1 lease 2 commits 3 server 4 upstream
--   known_commits: those confirmed to this worker  heard: when the provider was last heard ('' = not)  sent: the highest
--   call number that it sent  last_server: run id of the server that answered it last
--   returns {1, run id, granted now}: when, by Redis's clock
if verb == 'renew' then
  local lease, lease_ms, known_commits, heard, sent, last_server = unpack(ARGV, 2, 7)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local commits, server = tonumber(redis.call('GET', KEYS[2]) or '0'), run_id()
  if commits < tonumber(known_commits) then return {0, 'back'} end
  if is_another(server, redis.call('GET', KEYS[3]), last_server) then
    if commits < tonumber(sent) then return {0, 'back'} end
    -- A promoted replica that lost nothing becomes the recorded server.
    redis.call('SET', KEYS[3], server)
  end
  if heard ~= '' then redis.call('HSET', KEYS[4], 'heard', heard) end
  local now = now_ms()
  redis.call('HSET', KEYS[4], 'leased', whole(now))
  redis.call('PEXPIRE', KEYS[1], lease_ms)
  return {1, server, now}
end

-- adopt: KEYS 1 lease 2 corporation 3 token 4 ver
--   corporation: the namespace's new corporation  api: the beginning of that mark, which names the API
--   returns {1, 1 if it was another's} or {0, 'held'}
if verb == 'adopt' then
  local corporation, api = unpack(ARGV, 2, 3)
  if redis.call('EXISTS', KEYS[1]) == 1 then return {0, 'held'} end
  local before = redis.call('GET', KEYS[2])
  redis.call('SET', KEYS[2], corporation)
  if not before or before == corporation then return {1, 0} end
  redis.call('DEL', KEYS[3])
  -- The Ver of one API means nothing to another.
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

-- retype: KEYS 1 lease 2 a key   kind: the type that it has with us
--   Deletes it if it is of another type.   returns {1} or {1, that type}
if verb == 'retype' then
  local lease, kind = unpack(ARGV, 2, 3)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  local is = redis.call('TYPE', KEYS[2]).ok
  if is == 'none' or is == kind then return {1} end
  redis.call('DEL', KEYS[2])
  return {1, is}
end

-- made: KEYS 1 lease 2 made
if verb == 'made' then
  local lease, privacy, fields, revision = unpack(ARGV, 2, 5)
  if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end
  redis.call('HSET', KEYS[2], 'privacy', privacy, 'fields', fields, 'revision', revision)
  return {1}
end

-- begin: KEYS 1 lease 2 made 3 generation 4 upstream 5 events 6 dead
--   profile_fields: '' = not known  fence, token: the leader's own
--   Begins a new generation, in which nothing counts that was stored before. The stream of all events keeps its groups.
--   Dead documents stay only if their texts are masked.   returns {1, generation}
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

-- hold: KEYS 1 a lock   Prolongs it if it still has this value.
if verb == 'hold' then
  local value, ms = unpack(ARGV, 2, 3)
  if redis.call('GET', KEYS[1]) ~= value then return {0, 'lease'} end
  redis.call('PEXPIRE', KEYS[1], ms)
  return {1}
end

-- release: KEYS 1 a lease or lock   Deletes it if it still has this value.
if verb == 'release' then
  local value = unpack(ARGV, 2, 2)
  if redis.call('GET', KEYS[1]) ~= value then return {0, 'lease'} end
  redis.call('DEL', KEYS[1])
  return {1}
end

-- ------------------------------------------------------------------------------------------ counts
-- record: mails with their counts, counts that were pushed, counts that were asked for: many calls in one run, because
-- what is done once for all of them is most of what one alone would cost. Call by call they have
--   KEYS 4 the mailbox's state  5 its log  7 its seen, which are moved there from the end of KEYS
--   8 upstream  9 wanted  10 dead (if a mail was recovered from it)  more_keys…: state, log and seen of each call
--   more: of each call its kind (mail, push, poll), its mailbox, its new_epoch, and what the kind has
--   unread: '' = not known (only with a mail)  body: the event up to its stamp
-- mailbox_channels, sharded_channels: what stands before the mailbox in the name of its channel ('' = there is none)
-- The calls have one number after the other; all have one stamp. Returns the list of their answers. If one fails, those
-- before it have been applied, and those behind it have not.
-- After a gap in the pushes the count from before it is kept as the base, and mails published since are counted as its
-- news. The provider's count, asked for later, then shows how many were missed. It is asked for twice, because the push
-- of a mail that the first answer counts may still be under way, and then it was not missed. A mail whose count is higher
-- than one mail explains is evidence of a gap too, in this mailbox only. A count that rises by a poll although no gap is
-- known is suspected: the connection may have died unnoticed, and the gap found later reaches back before this poll.
-- With 1 and 3 they also return how many mails were missed as far as is known, and 1 if that must be asked again.
if verb == 'record' then
  local seen_ms, seen_max, history_max, history_ms, events_max, mailbox_channels, sharded_channels, mail_new_channel,
    mail_unread_channel, mail_missed_channel = unpack(ARGV, 6, 15)
  local more, more_keys = 16, 11
  local now = now_ms()
  local now_text, seen_since = whole(now), now - tonumber(seen_ms)
  local gap, lost = unpack(redis.call('HMGET', KEYS[8], 'gap', 'lost'))
  gap = gap or '0'
  -- Of the call that is applied now: whether it was applied before, its mailbox, its stamp, and what was known of the
  -- mailbox before it.
  local is_again, mailbox, as_of, doubtful, had_base
  -- The highest call number that is used up.
  local used = commits

  -- Whether it is a number as events have them.
  local function is_time(text) return #text < 16 and not string.find(text, '%D') end

  -- Use up the call number; the rest of the step cannot fail.
  local function commit() used = call end

  local function publish_here(kind, body, stamp, kind_channel)
    publish(kind, mailbox, body, stamp, history_max, history_ms, events_max,
      mailbox_channels ~= '' and mailbox_channels .. mailbox or '', kind_channel,
      sharded_channels ~= '' and sharded_channels .. mailbox or '')
    -- Now and then is enough: whoever asks looks at the age too, and never more than seen_max are kept. If it is of another
    -- type the next mail fails at it, before anything is written; here it would be too late.
    if seq % 16 == 0 then
      redis.pcall('ZREMRANGEBYSCORE', KEYS[7], '-inf', whole(seen_since))
      redis.pcall('ZREMRANGEBYRANK', KEYS[7], 0, 14 - tonumber(seen_max))
    end
  end

  -- Keep a base beside the count: the one that there is, or the current count.
  local function keep_base(suspect)
    if not state.base then state.base, state.base_at, state.news = state.unread, state.as_of or '0', '0' end
    state.suspect = suspect
  end

  local function note_base()
    if state.base then
      store_base(state)
    elseif had_base then
      redis.call('HDEL', KEYS[4], 'base', 'base_at', 'news', 'suspect')
    end
  end

  local function pending() return state.base and 1 or 0 end

  -- The end if nothing is published: the count equals the stored one, which is confirmed as of now.
  local function confirm(unread)
    if unread ~= '' and state.unread then redis.call('HSET', KEYS[4], 'as_of', as_of, 'gap', gap) end
    if not state.absent then note_base() end
  end

  -- The end if something was published.
  local function store_count(unread, missed)
    if unread == '' then
      store_position()
    elseif state.absent or not state.has_gap or state.gap ~= gap then
      redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', epoch, 'seq', seq_text, 'unread', unread,
        'as_of', as_of, 'gap', gap)
    else
      redis.call('HSET', KEYS[4], 'seq', seq_text, 'unread', unread, 'as_of', as_of)
    end
    return {1, epoch, seq, missed, pending()}
  end

  local apply = {}

  -- mail: correction: body of the mail.unread to publish instead if the mail is known and its count is new
  --   dead: the entry that this mail was recovered from ('' = none); it is deleted in this step
  function apply.mail()
    local mail_id, unread, body, correction, dead = unpack(ARGV, more, more + 4)
    more = more + 5
    if is_again then return {5} end
    local seen_at = mail_id ~= '' and redis.call('ZSCORE', KEYS[7], mail_id)
    local known = seen_at and tonumber(seen_at) > seen_since
    local leapt, uncounted = false, false
    if state.unread and not known then
      leapt = unread ~= '' and tonumber(unread) > tonumber(state.unread) + 1
      -- A mail without its count makes the stored count outdated; it is counted as news.
      uncounted = unread == ''
    end
    if doubtful or leapt or uncounted then keep_base(nil) end
    if state.base and not known then state.news = whole(tonumber(state.news) + 1) end
    commit()
    -- Of another type it is put right by whoever takes from it.
    if leapt then redis.pcall('SADD', KEYS[9], mailbox) end
    if dead ~= '' then redis.call('XDEL', KEYS[10], dead) end
    if known and (unread == '' or unread == state.unread) then
      confirm(unread)
      return {2}
    end
    begin_stream()
    note_base()
    if known then
      publish_here('exmail.mail.unread', correction, as_of .. '}}', mail_unread_channel)
      return store_count(unread, 0)
    end
    if mail_id ~= '' then
      redis.call('ZADD', KEYS[7], now_text, mail_id)
      redis.call('PEXPIRE', KEYS[7], seen_ms)
    end
    publish_here('exmail.mail.new', body, as_of .. '}}', mail_new_channel)
    return store_count(unread, 0)
  end

  function apply.push()
    local unread, body = unpack(ARGV, more, more + 1)
    more = more + 2
    if is_again then return {5} end
    if doubtful then keep_base(nil) end
    commit()
    if unread == state.unread then
      confirm(unread)
      return {3, 0, pending()}
    end
    begin_stream()
    note_base()
    publish_here('exmail.mail.unread', body, as_of .. '}}', mail_unread_channel)
    return store_count(unread, 0)
  end

  -- poll: asked_at: seq when the question was sent  proven: the count of an earlier answer ('' = this is the first)
  --   missed_body: of the mail.missed that may have to be published too, up to its first number
  function apply.poll()
    local unread, asked_at, proven, body, missed_body = unpack(ARGV, more, more + 4)
    more = more + 5
    if is_again then return {5} end
    if tonumber(asked_at) ~= seq then
      commit()
      return {4, seq}
    end
    local count, sure = tonumber(unread), tonumber(proven)
    local missed, missed_since = 0, nil
    if doubtful then
      if not state.base then keep_base(nil) end
      missed_since = state.base_at
      missed = math.max(0, (sure or count) - tonumber(state.base) - tonumber(state.news))
      if missed > 0 and not sure then keep_base(nil) else state.base = nil end
      if sure and count > sure then
        -- The rest was counted only after the first answer, so it is merely suspected.
        state.base, state.base_at, state.news, state.suspect = whole(sure), state.as_of or '0', '0', gap
      end
    elseif state.unread and count > tonumber(state.unread) then
      if sure then state.base = nil end
      keep_base(gap)
    elseif sure then
      state.base = nil
    end
    local is_missed = missed > 0 and sure
    commit()
    if unread == state.unread and not is_missed then
      confirm(unread)
      return {3, missed, pending()}
    end
    begin_stream()
    note_base()
    if is_missed then
      publish_here('exmail.mail.missed', missed_body, whole(math.min(tonumber(missed_since), tonumber(as_of))) .. ',"until":' .. as_of
        .. ',"at_least":' .. whole(missed) .. '}}', mail_missed_channel)
    end
    if unread ~= state.unread then
      publish_here('exmail.mail.unread', body, as_of .. '}}', mail_unread_channel)
    end
    return store_count(unread, missed)
  end

  local answers = {}
  local is_whole, fault = pcall(function()
    while more <= #ARGV do
      local kind, first_epoch
      kind, mailbox, first_epoch = unpack(ARGV, more, more + 2)
      more = more + 3
      KEYS[4], KEYS[5], KEYS[7] = unpack(KEYS, more_keys, more_keys + 2)
      more_keys = more_keys + 3
      is_again = call <= commits
      if not is_again then
        enter_stream(first_epoch)
        carried_base(state, lost)
        doubtful, had_base = is_doubtful(state, gap), state.base or state.odd_base
        -- A stamp is not before the last one; what is more than a day ahead is no clock's.
        local last = tonumber(state.as_of or '0')
        as_of = last > now and last < now + 86400000 and is_time(state.as_of) and state.as_of or now_text
      end
      answers[#answers + 1] = apply[kind]()
      call = call + 1
    end
  end)
  -- Once for all of them, and also if one failed: what was published before must not be published again.
  if used > commits then redis.call('SET', KEYS[2], whole(used)) end
  if not is_whole then error(type(fault) == 'table' and fault or {err = fault}) end
  return answers
end

return {0, 'verb', verb}

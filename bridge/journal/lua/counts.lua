-- ------------------------------------------------------------------------------------------ counts
-- mail, push, poll: a mail with its count, a count that was pushed, a count that was asked for. All three have
--   KEYS 7 seen  8 upstream  9 wanted  10 dead (only for a mail that was recovered from it)
--   unread: '' = not known (only with a mail)  body: the event up to its stamp
-- After a gap in the pushes the count from before it is kept as the base, and mails published since are counted as its
-- news. The provider's count, asked for later, then shows how many were missed. It is asked for twice, because the push
-- of a mail that the first answer counts may still be under way, and then it was not missed. A mail whose count is higher
-- than one mail explains is evidence of a gap too, in this mailbox only. A count that rises by a poll although no gap is
-- known is suspected: the connection may have died unnoticed, and the gap found later reaches back before this poll.
-- With 1 and 3 they also return how many mails were missed as far as is known, and 1 if that must be asked again.
if verb == 'mail' or verb == 'push' or verb == 'poll' then
  local now = now_ms()
  local gap, lost = unpack(redis.call('HMGET', KEYS[8], 'gap', 'lost'))
  gap = gap or '0'
  carried_base(state, lost)
  local doubtful, had_base = is_doubtful(state, gap), state.base
  local as_of = whole(math.max(now, tonumber(state.as_of or '0')))

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
    else
      redis.call('HSET', KEYS[4], 'generation', generation, 'epoch', epoch, 'seq', whole(seq), 'unread', unread,
        'as_of', as_of, 'gap', gap)
    end
    return {1, epoch, seq, missed, pending()}
  end

  -- mail: correction: body of the mail.unread to publish instead if the mail is known and its count is new
  --   dead: the entry that this mail was recovered from ('' = none); it is deleted in this step
  if verb == 'mail' then
    local mailbox, mail_id, unread, body, correction, dead, seen_ms, seen_max, history_max, history_ms, events_max,
      mailbox_channel, mail_new_channel, mail_unread_channel = unpack(ARGV, 6, 19)
    local seen_at = mail_id ~= '' and redis.call('ZSCORE', KEYS[7], mail_id)
    local known = seen_at and tonumber(seen_at) > now - tonumber(seen_ms)
    local leapt, uncounted = false, false
    if state.unread and not known then
      leapt = unread ~= '' and tonumber(unread) > tonumber(state.unread) + 1
      -- A mail without its count makes the stored count outdated; it is counted as news.
      uncounted = unread == ''
    end
    if doubtful or leapt or uncounted then keep_base(nil) end
    if state.base and not known then state.news = whole(tonumber(state.news) + 1) end
    if leapt then redis.call('SADD', KEYS[9], mailbox) end
    commit()
    if dead ~= '' then redis.call('XDEL', KEYS[10], dead) end
    if known and (unread == '' or unread == state.unread) then
      confirm(unread)
      return {2}
    end
    begin_stream()
    note_base()
    if known then
      publish('exmail.mail.unread', mailbox, correction .. as_of .. '}}', history_max, history_ms, events_max,
        mailbox_channel, mail_unread_channel)
      return store_count(unread, 0)
    end
    if mail_id ~= '' then
      redis.call('ZADD', KEYS[7], whole(now), mail_id)
      redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', whole(now - tonumber(seen_ms)))
      redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1 - tonumber(seen_max))
      redis.call('PEXPIRE', KEYS[7], seen_ms)
    end
    publish('exmail.mail.new', mailbox, body .. as_of .. '}}', history_max, history_ms, events_max,
      mailbox_channel, mail_new_channel)
    return store_count(unread, 0)
  end

  -- push
  if verb == 'push' then
    local mailbox, unread, body, history_max, history_ms, events_max, mailbox_channel, mail_unread_channel =
      unpack(ARGV, 6, 13)
    if doubtful then keep_base(nil) end
    commit()
    if unread == state.unread then
      confirm(unread)
      return {3, 0, pending()}
    end
    begin_stream()
    note_base()
    publish('exmail.mail.unread', mailbox, body .. as_of .. '}}', history_max, history_ms, events_max,
      mailbox_channel, mail_unread_channel)
    return store_count(unread, 0)
  end

  -- poll: asked_at: seq when the question was sent  proven: the count of an earlier answer ('' = this is the first)
  --   missed_body: of the mail.missed that may have to be published too, up to its first number
  if verb == 'poll' then
    local mailbox, unread, asked_at, proven, body, missed_body, history_max, history_ms, events_max, mailbox_channel,
      mail_unread_channel, mail_missed_channel = unpack(ARGV, 6, 17)
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
      publish('exmail.mail.missed', mailbox, missed_body .. whole(tonumber(missed_since)) .. ',"until":' .. as_of
        .. ',"at_least":' .. whole(missed) .. '}}', history_max, history_ms, events_max, mailbox_channel,
        mail_missed_channel)
    end
    if unread ~= state.unread then
      publish('exmail.mail.unread', mailbox, body .. as_of .. '}}', history_max, history_ms, events_max, mailbox_channel,
        mail_unread_channel)
    end
    return store_count(unread, missed)
  end
end

return {0, 'verb', verb}

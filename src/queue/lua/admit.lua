-- Accepts or refuses one request, and reserves its place, its credits and its slot in the caps, in one step.
-- Own keys: those of the job, of its user, community, kind and day, and withdrawn (of this call). Where it has no
--   community, activeCommunity is not looked at.
-- ARGV: JSON request
--   request: id contract callId user community roles[] preset kind cost now day cooldownMs limits{queue,user,community,credits} data
--     madeFrom
--   now: ms since 1970; Redis's own time where it is left out
--   isRestored: it was accepted before, and Redis has lost it: it gets its place, and is charged what there is
--   isLook: only asks what the answer would be; nothing is reserved
--   callId: id of this call; the same call, sent twice by a broken connection, gets the same answer again
-- Returns JSON: { decision, ... }. Decisions: accepted duplicate banned paused draining queue-full
--   user-full community-full cooldown quota
local request = cjson.decode(ARGV[1])
local now = request.now or redisTime()
local function answer(decision, fields)
  fields = fields or {}
  fields.decision = decision
  return cjson.encode(fields)
end

local jobKey = keys.job
local known = redis.call('HGET', jobKey, 'state')
if known then
  local stored = redis.call('HMGET', jobKey, 'tag', 'ask', 'left', 'granted')
  local priority = tonumber(stored[1]) + 1
  if known == 'reserved' and stored[2] == request.callId then
    return answer('accepted', { priority = priority, left = tonumber(stored[3]), granted = tonumber(stored[4]) })
  end
  return answer('duplicate', { state = known, priority = priority })
end
-- The user has already been told that this request was not accepted.
if redis.call('EXISTS', keys.withdrawn) == 1 then
  return answer('duplicate', { state = 'cancelled', priority = 1 })
end

-- Whose bans, allowances and weights hold.
local settingsOf = { user = current(request.user), community = request.community and current(request.community) }
local limits = request.limits

-- Why the request is not taken, or nil.
local function refusal()
  for _, owner in ipairs({ settingsOf.user, settingsOf.community or false }) do
    local ban = owner and redis.call('HGET', keys.bans, owner)
    if ban then
      -- What another version wrote holds nobody back; the reconciler says so and removes it.
      local isJson, entry = pcall(cjson.decode, ban)
      local untilMs = isJson and type(entry) == 'table' and tonumber(entry.untilMs)
      if untilMs and (untilMs == 0 or untilMs > now) then
        return answer('banned', { untilMs = untilMs, reason = tostring(entry.reason), owner = owner })
      end
      if untilMs then redis.call('HDEL', keys.bans, owner) end
    end
  end

  local mode = redis.call('GET', keys.mode)
  if mode == 'paused' or mode == 'draining' then return answer(mode) end

  if redis.call('SCARD', keys.activeAll) >= limits.queue then return answer('queue-full', { limit = limits.queue }) end
  if redis.call('SCARD', keys.activeUser) >= limits.user then return answer('user-full', { limit = limits.user }) end
  if request.community and redis.call('SCARD', keys.activeCommunity) >= limits.community then
    return answer('community-full', { limit = limits.community })
  end

  if request.cooldownMs > 0 then
    local left = redis.call('PTTL', keys.cooldown)
    if left > 0 then return answer('cooldown', { waitMs = left }) end
  end
end
local refused = not request.isRestored and refusal()
if refused then return refused end

-- The user's own value wins, then the largest of their roles, then the community's, then the default.
local function override(name, fallback)
  local own = tonumber(redis.call('HGET', name, 'user:' .. settingsOf.user) or nil)
  if own then return own end
  local best = nil
  for _, role in ipairs(request.roles) do
    local value = tonumber(redis.call('HGET', name, 'role:' .. role) or nil)
    if value and (not best or value > best) then best = value end
  end
  if best then return best end
  if settingsOf.community then
    local shared = tonumber(redis.call('HGET', name, 'community:' .. settingsOf.community) or nil)
    if shared then return shared end
  end
  return fallback
end

local creditLimit = override(keys.limits, limits.credits)
local used = tonumber(redis.call('HGET', keys.used, request.user) or '0')
local granted = tonumber(redis.call('HGET', keys.grants, request.user) or '0')
local fromDay = math.max(0, math.min(request.cost, creditLimit - used))
local fromGrant = request.cost - fromDay
if request.isRestored then fromGrant = math.min(fromGrant, granted) end
if fromGrant > granted then
  return answer('quota', { limit = creditLimit, used = used, granted = granted, cost = request.cost })
end
if request.isLook then
  return answer('accepted', { priority = 1, left = creditLimit - used - fromDay, granted = granted - fromGrant })
end
if fromDay > 0 then
  redis.call('HINCRBY', keys.used, request.user, fromDay)
  redis.call('EXPIRE', keys.used, 8 * 86400)
end
if fromGrant > 0 then redis.call('HINCRBY', keys.grants, request.user, -fromGrant) end

-- Start-time fair queueing (Goyal, Vin, Cheng 1996): jobs are served in the order of their virtual start. It is the
-- later of two times: the virtual time, which is the virtual start of the latest job that was started, so that an idle
-- user saves up no claim; and the virtual finish of the user's previous job, so that fifty jobs of one user line up
-- behind each other. The virtual finish is the start plus the job's cost divided by the user's weight: with weight 2
-- the next job starts half as far away, so a busy user with it is served twice as often as one with weight 1.
local idle = redis.call('SCARD', keys.activeAll) == 0
if idle then
  redis.call('DEL', keys.vtime, keys.vfinish)
end
local vtime = tonumber(redis.call('GET', keys.vtime) or '0')
local previous = tonumber(redis.call('HGET', keys.vfinish, request.user) or '0')
local tag = math.max(vtime, previous)
local weight = override(keys.weights, 1)
local span = math.max(1, math.floor(request.cost * 12 / weight + 0.5))
redis.call('HSET', keys.vfinish, request.user, string.format('%d', tag + span))
local sequence = redis.call('INCR', keys.sequence)

redis.call('HSET', jobKey,
  'contract', request.contract, 'state', 'reserved', 'user', request.user, 'community', request.community or '',
  'preset', request.preset, 'kind', request.kind, 'cost', request.cost, 'fromDay', fromDay, 'fromGrant', fromGrant, 'day', request.day,
  'tag', string.format('%d', tag), 'span', span, 'sequence', sequence, 'createdAt', string.format('%d', now), 'starts', 0,
  'ask', request.callId, 'left', creditLimit - used - fromDay, 'granted', granted - fromGrant,
  'request', request.data, 'asleep', redis.call('GET', keys.asleep) or '0')
if request.madeFrom then redis.call('HSET', jobKey, 'madeFrom', request.madeFrom) end
redis.call('ZADD', keys.pending, now, request.id)
redis.call('ZADD', keys.history, now, request.id)
redis.call('SADD', keys.activeAll, request.id)
redis.call('SADD', keys.activeUser, request.id)
if request.community then redis.call('SADD', keys.activeCommunity, request.id) end
redis.call('SADD', keys.presets, request.kind)
redis.call('ZADD', keys.waiting, servingOrder(tag, sequence), request.id)
if request.cooldownMs > 0 then redis.call('SET', keys.cooldown, '1', 'PX', request.cooldownMs) end
return answer('accepted', { priority = tag + 1, left = creditLimit - used - fromDay, granted = granted - fromGrant })

-- Prepended to every script of this folder: functions that more than one of them needs. Before it stand `keys`, the names
-- that scripts.ts declares for the script, and `named`, how many those are.
setmetatable(keys, { __index = function(_, name) error('the key ' .. name .. ' is not declared in scripts.ts') end })

-- Milliseconds since 1970 by the clock of Redis, the one that all machines share.
local function redisTime()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A time that was given as an argument, or that of Redis where it is empty.
local function timeOr(text) return tonumber(text) or redisTime() end

-- Whether the caller has named the keys of a job's user, community, kind and day as they are in its entry, where they
-- never change. It has read them before: if the job was not there then, and is now, it reads them again.
local function isNamed(jobKey, owner)
  local fields = redis.call('HMGET', jobKey, 'user', 'community', 'kind', 'preset', 'day')
  local kind = fields[3] or fields[4] or ''
  return table.concat({ fields[1] or '', fields[2] or '', kind, fields[5] or '' }, '\n') == owner
end

-- What a job waits as: its preset and its model. Jobs of an earlier version have no model.
local function kindOf(jobKey)
  return redis.call('HGET', jobKey, 'kind') or redis.call('HGET', jobKey, 'preset')
end

-- Gives credits of a job back: fromDay to the day's allowance, fromGrant to the extra credits.
local function giveBack(jobKey, fromDay, fromGrant)
  local user = redis.call('HGET', jobKey, 'user')
  local usedKey = keys.used
  -- An admin may have reset the day's count since: it never goes below zero.
  local used = tonumber(redis.call('HGET', usedKey, user) or '0')
  if fromDay > 0 and used > 0 then redis.call('HINCRBY', usedKey, user, -math.min(fromDay, used)) end
  if fromGrant > 0 then redis.call('HINCRBY', keys.grants, user, fromGrant) end
end

-- Gives all credits of a job back, once.
local function refund(jobKey)
  if redis.call('HSETNX', jobKey, 'settled', 'refunded') == 0 then return end
  local fromDay = tonumber(redis.call('HGET', jobKey, 'fromDay'))
  local fromGrant = tonumber(redis.call('HGET', jobKey, 'fromGrant'))
  giveBack(jobKey, fromDay, fromGrant)
end

-- Score that sorts by virtual start, then by order of arrival; both fit a double exactly.
local function servingOrder(tag, sequence) return tag * 4294967296 + sequence % 4294967296 end

-- Gives a job its final state and frees its slots in the caps. The caller has checked that the state allows it.
local function endJob(jobKey, id, state, now)
  local function field(name) return redis.call('HGET', jobKey, name) end
  local user, community, was = field('user'), field('community'), field('state')
  if state ~= 'generated' and (was == 'reserved' or was == 'waiting') then
    -- A job that never ran must not delay the user's next one.
    local finish = tonumber(redis.call('HGET', keys.vfinish, user) or '0')
    redis.call('HSET', keys.vfinish, user, string.format('%d', math.max(0, finish - tonumber(field('span')))))
  end
  redis.call('ZREM', keys.waiting, id)
  redis.call('SREM', keys.activeAll, id)
  redis.call('SREM', keys.activeUser, id)
  if community ~= '' then redis.call('SREM', keys.activeCommunity, id) end
  redis.call('HSET', jobKey, 'state', state, 'endedAt', now)
  if state ~= 'generated' then refund(jobKey) end
end

-- Adds a line to the audit trail. before and after are texts, or nil where there is no value.
local function audit(now, by, action, target, before, after, reason)
  redis.call('XADD', keys.audit, 'MAXLEN', '=', 10000, '*', 'at', now, 'by', by, 'action', action, 'target', target,
    'before', before or '', 'after', after or '', 'reason', reason or '')
end

-- The key under which a community goes on.
local function current(owner) return redis.call('HGET', keys.moved, owner) or owner end

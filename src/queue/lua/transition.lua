-- Moves a job to its next state. An event that does not fit the present state changes nothing, so of two racing
-- events only the first counts.
-- Own keys: those of the job, and of its user, community, kind and day as `owner` tells them. Events that touch the job
--   alone need no owner.
-- ARGV: owner, job id, event, now (Redis's own time where it is empty), JSON fields to store
-- Events: confirm (BullMQ has it) · start · handback (will run again) · generated · deliver (its upload begins) ·
--   undeliver (the upload failed and will be tried again) · failed · cancelled · expired (failed, but only while it waits)
-- Returns JSON { changed, state, starts }; state is '' when the ledger does not know the job. Or "again" when owner is
-- another by now.
local id, event, now = ARGV[2], ARGV[3], timeOr(ARGV[4])
local jobKey = keys.job
local isAlone = event == 'confirm' or event == 'deliver' or event == 'undeliver'
if not isAlone and not isNamed(jobKey, ARGV[1]) then return 'again' end
local function answer(changed)
  local state = redis.call('HGET', jobKey, 'state') or ''
  local starts = tonumber(redis.call('HGET', jobKey, 'starts') or '0')
  return cjson.encode({ changed = changed, state = state, starts = starts })
end

local allowed = {
  confirm = { reserved = true },
  start = { reserved = true, waiting = true, running = true },
  handback = { running = true },
  generated = { reserved = true, waiting = true, running = true },
  deliver = { generated = true, delivering = true },
  undeliver = { delivering = true },
  failed = { reserved = true, waiting = true, running = true },
  cancelled = { reserved = true, waiting = true, running = true, generated = true, delivering = true },
  expired = { reserved = true, waiting = true },
}
local state = redis.call('HGET', jobKey, 'state')
if not state or not allowed[event][state] or redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 then
  return answer(false)
end
local function field(name) return redis.call('HGET', jobKey, name) end

if event == 'confirm' then
  redis.call('HSET', jobKey, 'state', 'waiting')
elseif event == 'start' then
  local vtime = tonumber(redis.call('GET', keys.vtime) or '0')
  local tag = field('tag')
  if tonumber(tag) > vtime then redis.call('SET', keys.vtime, tag) end
  redis.call('ZREM', keys.waiting, id)
  -- The worker's turn has been used; see turn.lua.
  local worker = cjson.decode(ARGV[5]).worker
  if worker then redis.call('HDEL', keys.turns, worker) end
  redis.call('HINCRBY', jobKey, 'starts', 1)
  redis.call('HSET', jobKey, 'state', 'running', 'startedAt', now)
elseif event == 'handback' then
  -- It keeps its virtual start, which is in the past, so it comes first again.
  redis.call('ZADD', keys.waiting, servingOrder(tonumber(field('tag')), tonumber(field('sequence'))), id)
  redis.call('HSET', jobKey, 'state', 'waiting')
elseif event == 'deliver' then
  redis.call('HSET', jobKey, 'state', 'delivering')
elseif event == 'undeliver' then
  redis.call('HSET', jobKey, 'state', 'generated')
else
  endJob(jobKey, id, event == 'expired' and 'failed' or event, now)
end

local fields = cjson.decode(ARGV[5])
-- A video that was made smaller than asked for costs less, never more. Extra credits are given back first.
if event == 'generated' and fields.cost then
  local surplus = tonumber(field('cost')) - tonumber(fields.cost)
  if surplus > 0 then
    local fromDay, fromGrant = tonumber(field('fromDay')), tonumber(field('fromGrant'))
    local toGrant = math.min(surplus, fromGrant)
    local toDay = math.min(surplus - toGrant, fromDay)
    giveBack(jobKey, toDay, toGrant)
    redis.call('HSET', jobKey, 'fromDay', fromDay - toDay, 'fromGrant', fromGrant - toGrant)
  else
    fields.cost = nil
  end
end
for name, value in pairs(fields) do redis.call('HSET', jobKey, name, value) end
if fields.failure and (event == 'failed' or event == 'expired') then
  redis.call('HINCRBY', keys.failures, cjson.decode(fields.failure).code, 1)
end
return answer(true)

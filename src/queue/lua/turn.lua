-- Chooses from which of its models' jobs a worker takes the next one. The fair order comes first. Among jobs that are
-- about equally next in it, one whose model is loaded is preferred: a later job may go before another one as long as the
-- virtual times of both overlap, which means that ideal fair sharing would serve both now, and as long as the other one
-- was passed over less than `most` times in all. So no job is passed over more often, whatever comes in and however many
-- workers there are; and those of one person, whose virtual times follow each other, keep their order.
-- ARGV: what the keys of jobs and of sets of waiting jobs begin with, JSON { models, loaded, most, reads }; models: those whose jobs can be taken now, '' for jobs that name none;
--   loaded: those of them that are ready; reads: the latest contract that the worker understands. Jobs of later ones stay in
--   the sets while they wait for another worker, and are nobody's turn here
-- Returns the place of the chosen one in models, from 1; 0 when none of them has a waiting job.
local jobStem, waitingStem, ask = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
-- More than these are not about equally next; nor are more of later contracts looked through.
local mostPassed = 50

local function isReadable(id)
  return (tonumber(redis.call('HGET', jobStem .. id, 'contract') or nil) or 1) <= ask.reads
end

-- The sets of waiting jobs of each model.
local sets = {}
for _, kind in ipairs(redis.call('SMEMBERS', keys.presets)) do
  local model = string.match(kind, '@([^@]*)$') or ''
  sets[model] = sets[model] or {}
  table.insert(sets[model], waitingStem .. kind)
end

local function first(model)
  local best
  for _, set in ipairs(sets[model] or {}) do
    local found = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
    if found[1] and not isReadable(found[1]) then
      found = redis.call('ZRANGE', set, 1, mostPassed, 'WITHSCORES')
      while found[1] and not isReadable(found[1]) do
        table.remove(found, 1)
        table.remove(found, 1)
      end
    end
    if found[1] and (not best or tonumber(found[2]) < best.score) then
      best = { score = tonumber(found[2]), id = found[1], scoreText = found[2] }
    end
  end
  return best
end

local isLoaded = {}
for _, model in ipairs(ask.loaded) do isLoaded[model] = true end
local fair, ready
for place, model in ipairs(ask.models) do
  local job = first(model)
  if job then
    job.place = place
    if not fair or job.score < fair.score then fair = job end
    if isLoaded[model] and (not ready or job.score < ready.score) then ready = job end
  end
end
if not fair then return 0 end
if not ready or ready.place == fair.place then return fair.place end

local tag = tonumber(redis.call('HGET', jobStem .. ready.id, 'tag') or nil)
if not tag then return fair.place end
local passed = {}
for _, model in ipairs(ask.models) do
  for _, set in ipairs(sets[model] or {}) do
    local before = redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. ready.scoreText, 'LIMIT', 0, mostPassed + 1)
    for _, id in ipairs(before) do
      if isReadable(id) then table.insert(passed, id) end
    end
  end
end
if #passed > mostPassed then return fair.place end
for _, id in ipairs(passed) do
  local other = redis.call('HMGET', jobStem .. id, 'tag', 'span', 'passed')
  local finish = (tonumber(other[1] or nil) or 0) + (tonumber(other[2] or nil) or 0)
  if tag >= finish or (tonumber(other[3] or nil) or 0) >= ask.most then return fair.place end
end
for _, id in ipairs(passed) do redis.call('HINCRBY', jobStem .. id, 'passed', 1) end
return ready.place

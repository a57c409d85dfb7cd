-- Chooses from which of its models' jobs a worker takes the next one. The fair order comes first. Among jobs that are
-- about equally next in it, one whose model is loaded is preferred: a later job may go before another one as long as the
-- virtual times of both overlap, which means that ideal fair sharing would serve both now, and as long as the other one
-- was passed over less than `most` times in all. So no job that waits is passed over more often, whatever comes in; and
-- those of one person, whose virtual times follow each other, keep their order.
-- A worker takes its job in another step, from BullMQ, which hands out the first of the model. Until it has started one, its
-- turn stands in `turns`, and of each model as many first jobs as have turns are as good as taken: other workers choose among
-- those behind. So the bound holds over all workers. A turn that is not used, since its worker died or found nothing, stands
-- for turnMs, in which the first job may be passed over uncounted. A worker that is slower than that may pass a job over once
-- more.
-- ARGV: what the keys of jobs and of sets of waiting jobs begin with, JSON { worker, models, loaded, most, reads }; models: those whose jobs can be taken now, '' for jobs that name none;
--   loaded: those of them that are ready; reads: the latest contract that the worker understands. Jobs of later ones stay in
--   the sets while they wait for another worker, and are nobody's turn here
-- Returns the place of the chosen one in models, from 1; 0 when none of them has a waiting job.
local jobStem, waitingStem, ask = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
-- More than these are not about equally next; nor are more of later contracts looked through.
local mostPassed = 50
-- As long as the job of a dead worker waits for another one.
local turnMs = 20000
local now = redisTime()

-- How many turns of other workers each model has.
local turns = {}
redis.call('HDEL', keys.turns, ask.worker)
local stored = redis.call('HGETALL', keys.turns)
for i = 1, #stored, 2 do
  local untilMs, model = string.match(stored[i + 1], '^(%d+):(.*)$')
  if tonumber(untilMs) <= now then
    redis.call('HDEL', keys.turns, stored[i])
  else
    turns[model] = (turns[model] or 0) + 1
  end
end

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

-- The first jobs of a set that the worker can read, at most `count`.
local function firstOf(set, count)
  local jobs = {}
  for _, last in ipairs({ count - 1, count + mostPassed }) do
    jobs = {}
    local found = redis.call('ZRANGE', set, 0, last, 'WITHSCORES')
    for i = 1, #found, 2 do
      if #jobs < count and isReadable(found[i]) then
        table.insert(jobs, { id = found[i], score = tonumber(found[i + 1]), scoreText = found[i + 1] })
      end
    end
    if #jobs == count or #found < 2 * count then break end
  end
  return jobs
end

local isTaken = {}

-- The first job of a model that nobody is about to take.
local function first(model)
  local skipped = turns[model] or 0
  local jobs = {}
  for _, set in ipairs(sets[model] or {}) do
    for _, job in ipairs(firstOf(set, skipped + 1)) do table.insert(jobs, job) end
  end
  table.sort(jobs, function(one, other) return one.score < other.score end)
  for i = 1, math.min(skipped, #jobs) do isTaken[jobs[i].id] = true end
  return jobs[skipped + 1]
end

-- Gives the worker its turn.
local function answer(job)
  redis.call('HSET', keys.turns, ask.worker, string.format('%d:%s', now + turnMs, ask.models[job.place]))
  return job.place
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
if not ready or ready.place == fair.place then return answer(fair) end

local tag = tonumber(redis.call('HGET', jobStem .. ready.id, 'tag') or nil)
if not tag then return answer(fair) end
local passed = {}
for _, model in ipairs(ask.models) do
  for _, set in ipairs(sets[model] or {}) do
    local before = redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. ready.scoreText, 'LIMIT', 0, mostPassed + 1)
    -- Some may lie behind these, though few of them count.
    if #before > mostPassed then return answer(fair) end
    for _, id in ipairs(before) do
      if not isTaken[id] and isReadable(id) then table.insert(passed, id) end
    end
  end
end
if #passed > mostPassed then return answer(fair) end
for _, id in ipairs(passed) do
  local other = redis.call('HMGET', jobStem .. id, 'tag', 'span', 'passed')
  local finish = (tonumber(other[1] or nil) or 0) + (tonumber(other[2] or nil) or 0)
  if tag >= finish or (tonumber(other[3] or nil) or 0) >= ask.most then return answer(fair) end
end
for _, id in ipairs(passed) do redis.call('HINCRBY', jobStem .. id, 'passed', 1) end
return answer(ready)

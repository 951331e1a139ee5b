-- Sends the tokens in a file in turn, again and again: `wrk … -- FILE COUNT SENT`, where SENT says how many were sent
-- before. Many tokens are read as they are sent: a million requests take a gigabyte, and seconds to prepare.
local MOST_PREPARED = 100000
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  count, sent = tonumber(args[2]), tonumber(args[3])
  if count > MOST_PREPARED then
    file = io.open(args[1])
    for _ = 1, sent % count do
      file:read()
    end
    return
  end
  requests = {}
  for token in io.lines(args[1]) do
    requests[#requests + 1] = with(token)
  end
end

function with(token)
  return wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
end

function request()
  sent = sent + 1
  return requests and requests[(sent - 1) % #requests + 1] or with(read())
end

function read()
  local token = file:read()
  if not token then
    file:seek("set")
    token = file:read()
  end
  return token
end

function done(summary, latency)
  local errors = summary.errors
  local form = '{"requests":%d,"microseconds":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d,"sent":%d}\n'
  io.write(string.format(form, summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, threads[1]:get("sent")))
end

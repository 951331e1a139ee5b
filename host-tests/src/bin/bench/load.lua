-- Sends each of the tokens in a file in turn: `wrk … -- FILE START ONCE`. With ONCE = 1 it stops after the last one.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  requests = {}
  for token in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
  end
  sent = tonumber(args[2])
  once = args[3] == "1"
end

function request()
  if once and sent >= #requests then
    wrk.thread:stop()
    return requests[#requests]
  end
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  local form = '{"requests":%d,"microseconds":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d,"sent":%d}\n'
  io.write(string.format(form, summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, threads[1]:get("sent")))
end

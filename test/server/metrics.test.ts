import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics, METRICS, type Gauges } from '../../src/server/metrics.ts'

const gauges: Gauges = { connections: () => ({ pinghub: 3, sse: 1 }), topics: () => 5, patterns: () => 2, webhooks: () => ({ registrations: 4, running: 2, waiting: 1 }), registry: () => undefined, links: () => ({}), calls: () => ({ running: 0, waiting: 0 }), workers: () => ({}), spoolBytes: () => 77, logBytes: () => 1_234 }

/** The samples of a page by name and labels. */
async function samples(metrics: ReturnType<typeof createMetrics>): Promise<Map<string, number>> {
  const { text } = await metrics.page()
  return new Map(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))]
  }))
}

test('every metric of the table is on the page from the start, with its help and type', async () => {
  const { contentType, text } = await createMetrics(gauges, { process: false }).page()
  assert.match(contentType, /^text\/plain; version=0\.0\.4/)
  for (const [name, { help, type }] of Object.entries(METRICS)) {
    assert.ok(text.includes(`# HELP ${name} ${help}\n`), name)
    assert.ok(text.includes(`# TYPE ${name} ${type}\n`), name)
  }
  const others = text.match(/^# TYPE (\S+)/gm)?.map((line) => line.slice(7)).filter((name) => !Object.hasOwn(METRICS, name))
  assert.deepEqual(others, [])
})

test('gauges are asked for when somebody looks', async () => {
  let topics = 1
  const metrics = createMetrics({ ...gauges, topics: () => topics }, { process: false })
  const first = await samples(metrics)
  assert.deepEqual(
    ['waystation_topics', 'waystation_patterns', 'waystation_log_bytes', 'waystation_connections{transport="pinghub"}', 'waystation_connections{transport="sse"}'].map((name) => first.get(name)),
    [1, 2, 1_234, 3, 1],
  )
  topics = 9
  assert.equal((await samples(metrics)).get('waystation_topics'), 9)
})

test('a transport that has no connections any more is not remembered with its last number', async () => {
  let connections: Record<string, number> = { pinghub: 3 }
  const metrics = createMetrics({ ...gauges, connections: () => connections }, { process: false })
  await samples(metrics)
  connections = {}
  assert.equal((await samples(metrics)).get('waystation_connections{transport="pinghub"}'), undefined)
})

test('what is counted adds up, by transport, and is not lost or doubled by looking', async () => {
  const metrics = createMetrics(gauges, { process: false })
  const { meter } = metrics
  for (let i = 0; i < 3; i++) meter.published('pinghub', 100)
  meter.published('embedded', 7)
  meter.delivered('pinghub', 12, 0.0002)
  meter.delivered('sse', 5, 0.0002)
  meter.slow('pinghub', 'a topic')
  meter.gap('sse')
  metrics.refused('too_many_connections')
  for (let look = 0; look < 3; look++) {
    const page = await samples(metrics)
    const expected = {
      'waystation_messages_published_total{transport="pinghub"}': 3,
      'waystation_messages_published_total{transport="embedded"}': 1,
      'waystation_published_bytes_total{transport="pinghub"}': 300,
      'waystation_deliveries_total{transport="pinghub"}': 12,
      'waystation_deliveries_total{transport="sse"}': 5,
      'waystation_slow_consumers_total{transport="pinghub"}': 1,
      'waystation_gaps_total{transport="sse"}': 1,
      'waystation_connections_refused_total{reason="too_many_connections"}': 1,
    }
    for (const [name, value] of Object.entries(expected)) assert.equal(page.get(name), value, name)
  }
  meter.published('pinghub', 1)
  assert.equal((await samples(metrics)).get('waystation_messages_published_total{transport="pinghub"}'), 4)
})

test('a topic never becomes a label: whoever makes up topics makes no metrics', async () => {
  const metrics = createMetrics(gauges, { process: false })
  for (let i = 0; i < 1_000; i++) metrics.meter.slow('pinghub', `topic ${i}`)
  const page = await samples(metrics)
  assert.equal(page.get('waystation_slow_consumers_total{transport="pinghub"}'), 1_000)
  assert.ok(page.size < 50, `${page.size} samples`)
})

test('the histogram counts each write once, in every bucket that is long enough', async () => {
  const metrics = createMetrics(gauges, { process: false })
  const times = [0, 0.0001, 0.00011, 0.004, 0.04, 0.4, 4, 40]
  for (const seconds of times) metrics.meter.delivered('pinghub', 10, seconds)
  const page = await samples(metrics)
  const bucket = (le: string): number | undefined => page.get(`waystation_publish_to_write_seconds_bucket{transport="pinghub",le="${le}"}`)
  assert.deepEqual(['0.0001', '0.00025', '0.005', '0.05', '0.5', '2.5', '+Inf'].map(bucket), [2, 3, 4, 5, 6, 6, 8])
  assert.equal(page.get('waystation_publish_to_write_seconds_count{transport="pinghub"}'), 8)
  const sum = page.get('waystation_publish_to_write_seconds_sum{transport="pinghub"}') as number
  assert.ok(Math.abs(sum - times.reduce((a, b) => a + b)) < 1e-9)
  const counts = [...page].filter(([name]) => name.includes('_bucket')).map(([, value]) => value)
  assert.deepEqual(counts, counts.toSorted((a, b) => a - b), 'buckets do not fall')
})

test('counting never throws, whatever it is given', () => {
  const { meter, refused } = createMetrics(gauges, { process: false })
  for (const name of ['', '"', '\n', 'constructor', '__proto__']) {
    meter.published(name, Number.NaN)
    meter.delivered(name, -1, Infinity)
    meter.slow(name, name)
    meter.gap(name)
    refused(name)
  }
})

test('numbers of the process are there when they are asked for, and two hubs of one process do not meet', async () => {
  const [one, other] = [createMetrics(gauges, { process: true }), createMetrics(gauges, { process: false })]
  assert.match((await one.page()).text, /^process_cpu_seconds_total /m)
  assert.doesNotMatch((await other.page()).text, /^process_cpu_seconds_total /m)
  one.meter.gap('sse')
  assert.equal((await samples(other)).get('waystation_gaps_total{transport="sse"}'), undefined)
})
